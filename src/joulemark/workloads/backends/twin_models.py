"""Building twins: networks of transformers and diffusers with random weights, straight on their device."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joulemark.errors import WorkloadFailed
from joulemark.workloads.backends.stand_in import StandInTokenizer
from joulemark.workloads.twins import Architecture, architecture, architectures

__all__ = ["building", "local_pipeline", "stand_in_for", "twin_config", "twin_model", "twin_pipeline"]


def twin_config(folder: Path | None, model_id: str, revision: str) -> tuple[Any, Architecture]:
    """Give a model's configuration: that of the folder, of the table that ships, or of the hub's cache.

    Raises:
        WorkloadFailed: if there is none of them.
    """
    import transformers

    known = None if folder is not None else architecture(model_id)
    if known is not None:
        if known.parts:
            raise WorkloadFailed(f"{model_id} is a pipeline of diffusers: choose that backend.")
        return getattr(transformers, known.network).config_class(**known.config), known
    source = str(folder) if folder is not None else model_id
    try:
        config = transformers.AutoConfig.from_pretrained(source, revision=revision, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise WorkloadFailed(
            f"There is no architecture of {source} here. Give a folder with its config.json, fetch that alone with "
            f"'hf download {source} config.json', or take one that ships: {', '.join(sorted(architectures()))}. "
            f"Transformers says: {error}"
        ) from error
    return config, Architecture(name="", network=(config.architectures or [""])[0])


def twin_model(
    maker: Any, config: Any, known: Architecture, *, device: str, dtype: str, seed: int, **options: Any
) -> Any:
    """Build one network with random weights.

    Args:
        maker: a class of transformers that makes a model from a configuration (``AutoModelFor...``).
        config: its configuration.
        known: its architecture; its ``network`` must be what `maker` makes, where it is known.
        device: where it is built: the weights are never anywhere else.
        dtype: name of the number format.
        seed: of the weights.
        options: further arguments of the maker.

    Raises:
        WorkloadFailed: if the architecture has no head for the task, or the device cannot be used.
    """
    import torch

    try:
        made = maker._model_mapping[type(config)]
    except KeyError as error:
        raise WorkloadFailed(f"A {config.model_type} has no head for this task: choose another model.") from error
    names = [one.__name__ for one in (made if isinstance(made, list | tuple) else (made,))]
    if known.network and known.network not in names and maker.__name__ != "AutoModel":
        raise WorkloadFailed(f"The model is a {known.network}, and this task needs a {names[0]}: choose another.")
    with building(device, dtype, seed):
        model = maker.from_config(config, dtype=getattr(torch, dtype), **options)
        for name in known.untied:
            part = model.get_submodule(name)
            part.weight = torch.nn.Parameter(torch.empty_like(part.weight).normal_(std=0.02))
    return model


def stand_in_for(config: Any, known: Architecture) -> StandInTokenizer:
    """Give a stand-in for the tokenizer of a text model."""
    inner = config.get_text_config()
    reader = {name: value for name, value in known.reader.items() if name not in {"picture", "sound", "size"}}
    if not known.reader:
        pad = inner.pad_token_id if isinstance(getattr(inner, "pad_token_id", None), int) else 0
        # No published frame: one token before and one behind, as BERT has it.
        reader = {"begin": [1], "end": [2], "pad": max(pad, 0), "mask": 3}
        reader["most"] = getattr(inner, "max_position_embeddings", 512)
    return StandInTokenizer(inner.vocab_size, **reader)


def twin_pipeline(known: Architecture, *, device: str, dtype: str, seed: int) -> Any:
    """Build a pipeline of diffusers with random weights, tokenizers replaced by stand-ins.

    Raises:
        WorkloadFailed: if diffusers or transformers has no such class, or the device cannot be used.
    """
    import diffusers
    import transformers

    built: dict[str, Any] = {}
    for part, given in known.parts.items():
        arguments = dict(given)
        name = arguments.pop("class", "")
        if not name:
            vocabulary = known.parts[part.replace("tokenizer", "text_encoder")]["vocab_size"]
            built[part] = StandInTokenizer(vocabulary, **arguments)
            continue
        made = getattr(diffusers, name, None) or getattr(transformers, name, None)
        if made is None:
            raise WorkloadFailed(f"Neither diffusers nor transformers has the class {name} of {known.name}.")
        if part == "scheduler":  # its tables belong to the processor
            built[part] = made(**arguments)
            continue
        # Classes of transformers take a configuration, those of diffusers its values.
        config = getattr(made, "config_class", None)
        with building(device, dtype, seed):
            built[part] = made(**arguments) if config is None else made(config(**arguments))
    for model in built.values():
        if hasattr(model, "parameters"):
            model.eval()
    pipeline = _pipeline_class(known.network)
    # Parts that only check or steer what is painted.
    asked = inspect.signature(pipeline.__init__).parameters
    absent = {name: None for name in ("safety_checker", "feature_extractor", "image_encoder") if name in asked}
    return pipeline(**{**absent, **built, **known.options})


def local_pipeline(folder: Path) -> Architecture:
    """Read the architecture of a pipeline from its folder, as diffusers saves one; no weights are needed there.

    Raises:
        WorkloadFailed: if the folder is none.
    """
    try:
        index: dict[str, Any] = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        network = index.pop("_class_name")
        parts = {
            name: _local_part(folder / name, value[1])
            for name, value in index.items()
            if isinstance(value, list) and value[1] is not None
        }
    except (OSError, ValueError, KeyError) as error:
        raise WorkloadFailed(f"{folder} holds no pipeline of diffusers: {error}") from error
    options = {name: value for name, value in index.items() if isinstance(value, bool)}
    return Architecture(name=folder.name, network=network, parts=parts, options=options)


def _pipeline_class(name: str) -> Any:
    if name == "DigitsPipeline":
        from joulemark.workloads.backends.digits_pipeline import DigitsPipeline

        return DigitsPipeline
    import diffusers

    found = getattr(diffusers, name, None)
    if found is None:
        raise WorkloadFailed(f"diffusers {diffusers.__version__} has no pipeline {name}.")
    return found


def _local_part(folder: Path, name: str) -> Mapping[str, Any]:
    if "Tokenizer" in name:
        return {"begin": [0], "end": [1], "pad": 1, "most": _longest(folder / "tokenizer_config.json")}
    scheduler = folder / "scheduler_config.json"
    file = scheduler if scheduler.exists() else folder / "config.json"
    given: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {"class": name} | {key: value for key, value in given.items() if not key.startswith("_")}


def _longest(file: Path) -> int:
    """Tokens of the longest input that a tokenizer's configuration states; CLIP's 77 without one."""
    if not file.exists():
        return 77
    return min(int(json.loads(file.read_text(encoding="utf-8")).get("model_max_length", 77)), 512)


@contextmanager
def building(device: str, dtype: str, seed: int) -> Iterator[None]:
    """Let what is built inside lie on the device in the number format, with weights from the seed.

    Raises:
        WorkloadFailed: if the device cannot be used.
    """
    import torch

    before = torch.get_default_dtype()
    torch.manual_seed(seed)
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            yield
    except (RuntimeError, AssertionError) as error:
        raise WorkloadFailed(f"The twin cannot be built on the device {device!r}: {error}") from error
    finally:
        torch.set_default_dtype(before)
