"""Pictures and films from text through diffusers: its own pipelines, twins of them, and that of the digits model."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import UsageError, WeightsMissing, WorkloadFailed
from joulemark.workloads.backends.ddim import starting_noise, to_bytes
from joulemark.workloads.backends.image_settings import ImageSettings
from joulemark.workloads.backends.options import require, text, whole
from joulemark.workloads.backends.torchvision import mend_torchvision
from joulemark.workloads.backends.twin_models import local_pipeline, twin_pipeline
from joulemark.workloads.seam import Answer, Item, Settings
from joulemark.workloads.twins import Architecture, architecture, architectures

__all__ = ["DiffusersImages"]

DTYPES = ("float32", "float16", "bfloat16")
_PURPOSE = "Image generation with diffusers"


class DiffusersImages:
    """A diffusers pipeline, from a folder (``files["pipeline"]`` or ``files["model"]``) or by its hub id.

    A hub model must lie in the local cache already, so that no trial pays for a download. With ``weights`` =
    "random" it is a twin, see `joulemark.workloads.twins`.

    Settings: those of `ImageSettings`, and ``model_id``, ``revision`` and ``variant`` of a hub model, ``weights``,
    ``dtype`` (float32, float16 or bfloat16), ``device`` ("cpu", "cuda:0", "mps" ...), ``height`` and ``width`` in
    pixels (a pipeline's own size if not given), ``frames`` of a film, ``scheduler`` (the name of one of diffusers'
    classes, in place of the pipeline's own). Only weights in the safetensors format are loaded, since others can run
    code.

    Output: uint8 array (height, width, 3), (height, width) of a grey pipeline, (frames, height, width, 3) of a film.

    The digits pipeline starts from the same noise as `OnnxDiffusion`; others draw theirs from a torch
    generator an item, seeded by the seed and the item's id.
    """

    distributions = ("diffusers", "transformers", "torch", "numpy")
    extra = "diffusers"
    concurrent = False
    tasks = ("image-generation", "video-generation")
    accepts = (
        "steps",
        "guidance",
        "seed",
        "threads",
        "dtype",
        "device",
        "model_id",
        "revision",
        "variant",
        "weights",
        "height",
        "width",
        "frames",
        "scheduler",
    )

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        if task not in self.tasks:
            raise UsageError(f"The diffusers backend cannot do {task!r}, only {', '.join(self.tasks)}.")
        self.folder = files.get("pipeline", files.get("model"))
        self.model_id = text(settings, "model_id", "")
        if self.folder is None and not self.model_id:
            raise UsageError("Name the model: a folder as the file 'pipeline', or a hub id as the setting 'model_id'.")
        self.film = task == "video-generation"
        self.settings = ImageSettings.read(settings)
        self.twin = text(settings, "weights", "trained", known=("trained", "random")) == "random"
        self.dtype = text(settings, "dtype", "float32", known=DTYPES)
        self.device = text(settings, "device", "cpu")
        self.revision = text(settings, "revision", "main")
        self.variant = text(settings, "variant", "")
        self.scheduler = text(settings, "scheduler", "")
        self.size = {name: whole(settings, name, 1, least=8) for name in ("height", "width") if name in settings}
        self.frames = whole(settings, "frames", 16) if self.film else 0
        self._pipeline: Any = None

    def load(self) -> None:
        """Bring the pipeline to its device.

        Raises:
            MissingExtra: if torch, transformers or diffusers is not installed.
            WeightsMissing: if the folder holds no pipeline.
            WorkloadFailed: if diffusers refuses the model, or there is no such device or scheduler.
        """
        torch = require("torch", package="torch", extra="diffusers", purpose=_PURPOSE)
        mend_torchvision()
        transformers, diffusers = (
            require(name, package=name, extra="diffusers", purpose=_PURPOSE) for name in ("transformers", "diffusers")
        )
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        # Bars are for downloads.
        diffusers.utils.logging.disable_progress_bar()
        transformers.utils.logging.disable_progress_bar()
        if self.twin:
            pipeline = twin_pipeline(
                self._architecture(), device=self.device, dtype=self.dtype, seed=self.settings.seed
            )
        else:
            pipeline = self._trained(torch, diffusers)
        if self.scheduler:
            made = getattr(diffusers, self.scheduler, None) if self.scheduler.endswith("Scheduler") else None
            if made is None:
                raise WorkloadFailed(f"diffusers has no scheduler {self.scheduler!r}; one is EulerDiscreteScheduler.")
            pipeline.scheduler = made.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline

    def _trained(self, torch: Any, diffusers: Any) -> Any:
        source = self.model_id if self.folder is None else self.folder
        options: dict[str, Any] = {
            "dtype": getattr(torch, self.dtype),
            "use_safetensors": True,
            "low_cpu_mem_usage": importlib.util.find_spec("accelerate") is not None,
            "local_files_only": True,
        }
        if self.folder is None:
            options["revision"] = self.revision
        if self.variant:
            options["variant"] = self.variant
        pipeline_class = _shipped_class(self.folder) or diffusers.DiffusionPipeline
        try:
            pipeline = pipeline_class.from_pretrained(source, **options)
        except (OSError, ValueError, AttributeError) as error:  # the last: a class that diffusers has not
            advice = "" if self.folder is not None else f" Fetch it first: hf download {source}."
            raise WorkloadFailed(f"diffusers cannot load the pipeline {source}.{advice} It says: {error}") from error
        try:
            return pipeline.to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise WorkloadFailed(f"The model cannot be brought to the device {self.device!r}: {error}") from error

    def _architecture(self) -> Architecture:
        if self.folder is not None:
            return local_pipeline(self.folder)
        known = architecture(self.model_id)
        if known is not None and known.parts:
            return known
        import huggingface_hub
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = huggingface_hub.snapshot_download(
                self.model_id, revision=self.revision, allow_patterns=["*.json"], local_files_only=True
            )
        except (LocalEntryNotFoundError, ValueError) as error:
            pipelines = sorted(name for name, one in architectures().items() if one.parts)
            raise WorkloadFailed(
                f"There is no architecture of {self.model_id} here. Give a folder with its model_index.json and the "
                f"config.json of each part, fetch those with 'hf download {self.model_id} --include \"*.json\"', or "
                f"take one that ships: {', '.join(pipelines)}."
            ) from error
        return local_pipeline(Path(folder))

    @property
    def parameters(self) -> int:
        """Number of weights of the loaded pipeline, all parts together."""
        parts = {} if self._pipeline is None else self._pipeline.components
        return sum(w.numel() for part in parts.values() if hasattr(part, "parameters") for w in part.parameters())

    @property
    def facts(self) -> dict[str, int | float | str | bool]:
        """What was loaded, as the pipeline itself says, for the record."""
        if self._pipeline is None:
            return {}
        return {
            "architecture": type(self._pipeline).__name__,
            "device": str(self._pipeline.device),
            "dtype": str(getattr(self._pipeline, "dtype", "float32")).removeprefix("torch."),
            "scheduler": type(self._pipeline.scheduler).__name__,
            "seed": self.settings.seed,
        }

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Paint one picture or film an item, all of them in one batch; returns when the device has finished."""
        import numpy as np
        import torch

        if self._pipeline is None:
            raise WorkloadFailed("The image model was asked before it was loaded. Call load() first.")
        if not batch:
            return []
        pipeline = self._pipeline
        prompts = [str(item.content) for item in batch]
        wanted: dict[str, Any] = {"guidance_scale": self.settings.guidance, **self.size}
        if self.film:
            wanted["num_frames"] = self.frames
        known = inspect.signature(pipeline.__call__).parameters
        refused = sorted(set(wanted) - set(known) - {"guidance_scale"})
        if refused:
            raise WorkloadFailed(f"{type(pipeline).__name__} has no settings for {', '.join(refused)}.")
        result = pipeline(
            prompt=prompts,
            num_inference_steps=self.settings.steps,
            output_type="np",
            **self._randomness(batch),
            **{name: value for name, value in wanted.items() if name in known},
        )
        torch.get_device_module(pipeline.device).synchronize()
        painted = result.frames if self.film else result.images
        return [
            Answer(output=_pixels(np.asarray(one, dtype=np.float32)), tokens_in=tokens)
            for one, tokens in zip(painted, self._tokens(prompts), strict=True)
        ]

    def _randomness(self, batch: Sequence[Item]) -> dict[str, Any]:
        """Where the noise of each item comes from, as arguments of the pipeline."""
        import numpy as np
        import torch

        from joulemark.workloads.backends.digits_pipeline import DigitsPipeline

        seed = self.settings.seed
        if isinstance(self._pipeline, DigitsPipeline):
            config = self._pipeline.unet.config
            shape = (config.in_channels, config.sample_size, config.sample_size)
            noise = np.stack([starting_noise(seed, item.id, shape) for item in batch])
            return {"latents": torch.from_numpy(noise)}
        device = self._pipeline.device
        seeds = [int(np.random.SeedSequence([seed, *item.id.encode()]).generate_state(1)[0]) for item in batch]
        return {"generator": [torch.Generator(device).manual_seed(s) for s in seeds]}

    def _tokens(self, prompts: Sequence[str]) -> list[int | None]:
        """How many tokens of each prompt the model reads; None where the pipeline has no tokenizer to ask."""
        tokenizer = getattr(self._pipeline, "tokenizer", None)
        if tokenizer is None:
            return [None] * len(prompts)
        return [len(ids) for ids in tokenizer(list(prompts), truncation=True).input_ids]

    def close(self) -> None:
        """Free the pipeline, and the device's memory with it."""
        if self._pipeline is None:
            return
        import torch

        kind = self._pipeline.device.type
        self._pipeline = None
        if kind != "cpu":
            torch.get_device_module(kind).empty_cache()


def _pixels(painted: Any) -> Any:
    """Floats in [0, 1], shape (height, width, channels) or (frames, height, width, channels), to bytes."""
    import numpy as np

    if painted.ndim == 4:
        return np.stack([_pixels(frame) for frame in painted])
    return to_bytes(np.moveaxis(painted, -1, 0) * 2 - 1)


def _shipped_class(folder: Path | None) -> Any:
    """`DigitsPipeline` if `folder` holds one, None if diffusers is to choose the class.

    Raises:
        WeightsMissing: if the folder holds no pipeline.
        WorkloadFailed: if its index is not JSON.
    """
    if folder is None:
        return None
    index = folder / "model_index.json"
    try:
        name = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except OSError as error:
        raise WeightsMissing(f"There is no diffusers pipeline in {folder}: model_index.json is missing.") from error
    except (ValueError, KeyError) as error:
        raise WorkloadFailed(f"The pipeline's index {index} does not name its class: {error}.") from error
    if name != "DigitsPipeline":
        return None
    from joulemark.workloads.backends.digits_pipeline import DigitsPipeline

    return DigitsPipeline
