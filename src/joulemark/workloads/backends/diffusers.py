"""Text-to-image through diffusers: its own pipelines, and that of the digits model."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import UsageError, WeightsMissing, WorkloadFailed
from joulemark.workloads.backends.ddim import starting_noise, to_bytes
from joulemark.workloads.backends.image_settings import ImageSettings
from joulemark.workloads.backends.options import require, text
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["DiffusersImages"]

DTYPES = ("float32", "float16", "bfloat16")


class DiffusersImages:
    """A diffusers pipeline, from a folder (``files["pipeline"]``) or from the hub (the setting ``model_id``).

    Settings: those of `ImageSettings`, and ``dtype`` (float32, float16 or bfloat16), ``device`` ("cpu",
    "cuda:0", "mps" ...), ``height`` and ``width`` in pixels (a pipeline's own size if not given),
    ``revision`` of a hub model. Only weights in the safetensors format are loaded, since others can run code.
    Output: uint8 array (height, width, 3), or (height, width) of a grey pipeline.

    The digits pipeline starts from the same noise as `OnnxDiffusion`; others draw theirs from a torch
    generator an item, seeded by the seed and the item's id.
    """

    distributions = ("diffusers", "transformers", "torch", "numpy")
    accepts = ("steps", "guidance", "seed", "threads", "dtype", "device", "model_id", "revision")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        self.folder = files.get("pipeline")
        self.model_id = settings.get("model_id")
        if self.folder is None and not isinstance(self.model_id, str):
            raise UsageError("Name the model: a folder as the file 'pipeline', or a hub id as the setting 'model_id'.")
        self.settings = ImageSettings.read(settings)
        self.dtype = text(settings, "dtype", "float32", known=DTYPES)
        self.device = text(settings, "device", "cpu")
        self.revision = text(settings, "revision", "main")
        self.size = {name: settings[name] for name in ("height", "width") if name in settings}
        self._pipeline: Any = None

    def load(self) -> None:
        """Bring the pipeline to its device.

        Raises:
            MissingExtra: if torch, transformers or diffusers is not installed.
            WeightsMissing: if the folder holds no pipeline.
            WorkloadFailed: if diffusers refuses the model, or there is no such device.
        """
        torch, transformers, diffusers = (
            require(name, package=name, extra="diffusers", purpose="Image generation with diffusers")
            for name in ("torch", "transformers", "diffusers")
        )
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        source = self.model_id if self.folder is None else self.folder
        options: dict[str, Any] = {
            "dtype": getattr(torch, self.dtype),
            "use_safetensors": True,
            "low_cpu_mem_usage": importlib.util.find_spec("accelerate") is not None,
        }
        if self.folder is None:
            options["revision"] = self.revision
        else:
            options["local_files_only"] = True
            # Bars are for downloads.
            diffusers.utils.logging.disable_progress_bar()
            transformers.utils.logging.disable_progress_bar()
        pipeline_class = _shipped_class(self.folder) or diffusers.DiffusionPipeline
        try:
            pipeline = pipeline_class.from_pretrained(source, **options)
        except (OSError, ValueError, AttributeError) as error:  # the last: a class that diffusers has not
            raise WorkloadFailed(f"diffusers cannot load the pipeline {source}: {error}") from error
        pipeline.set_progress_bar_config(disable=True)
        try:
            self._pipeline = pipeline.to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise WorkloadFailed(f"The model cannot be brought to the device {self.device!r}: {error}") from error

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Paint one picture an item, all of them in one batch; returns when the device has finished."""
        import numpy as np
        import torch

        if self._pipeline is None:
            raise WorkloadFailed("The image model was asked before it was loaded. Call load() first.")
        if not batch:
            return []
        pipeline = self._pipeline
        prompts = [str(item.content) for item in batch]
        result = pipeline(
            prompt=prompts,
            num_inference_steps=self.settings.steps,
            guidance_scale=self.settings.guidance,
            output_type="np",
            **self._randomness(batch),
            **self.size,
        )
        torch.get_device_module(pipeline.device).synchronize()
        pictures = np.asarray(result.images, dtype=np.float32)
        return [
            Answer(output=to_bytes(np.moveaxis(picture, -1, 0) * 2 - 1), tokens_in=tokens)
            for picture, tokens in zip(pictures, self._tokens(prompts), strict=True)
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
