"""Text-to-image diffusion through ONNX Runtime: text encoder, UNet, and a DDIM loop in numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import WorkloadFailed
from joulemark.workloads.backends import onnx
from joulemark.workloads.backends.ddim import Ddim, starting_noise, to_bytes
from joulemark.workloads.backends.image_settings import ImageSettings
from joulemark.workloads.backends.options import require, role
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["OnnxDiffusion"]

_PURPOSE = "Image generation with ONNX Runtime"


class OnnxDiffusion:
    """A pixel-space diffusion model exported to ONNX.

    `files` names the graphs ``text_encoder`` (token ids (n, tokens) -> text (n, tokens, width)) and ``unet``
    (picture (n, channels, height, width), time (n,), text -> prediction of the picture's shape), the
    ``tokenizer`` (a tokenizer.json that pads) and the ``scheduler`` (a diffusers scheduler_config.json).

    Settings: those of `ImageSettings`. Output: uint8 array (height, width), or (height, width, channels) in
    colour.
    """

    distributions = onnx.DISTRIBUTIONS
    accepts = ("steps", "guidance", "seed", "threads")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        self._graphs = role(files, "text_encoder"), role(files, "unet")
        self._vocabulary, self._schedule = role(files, "tokenizer"), role(files, "scheduler")
        self.settings = ImageSettings.read(settings)
        self._text_encoder: Any = None
        self._unet: Any = None
        self._tokenizer: Any = None
        self._sampler: Ddim | None = None

    def load(self) -> None:
        """Open both graphs, the tokenizer and the schedule.

        Raises:
            MissingExtra: if onnxruntime or tokenizers is not installed.
            WorkloadFailed: if a file is not what its role says.
            UsageError: if more steps are asked for than the model has.
        """
        self._text_encoder, self._unet = (
            onnx.session(graph, self.settings.threads, purpose=_PURPOSE) for graph in self._graphs
        )
        # Not `onnx.tokenizer`: this file's own padding and length are those that the model was trained with.
        tokenizers = require("tokenizers", package="tokenizers", extra="onnxruntime", purpose=_PURPOSE)
        self._tokenizer = tokenizers.Tokenizer.from_str(self._vocabulary.read_text(encoding="utf-8"))
        self._sampler = Ddim.read(self._schedule)
        self._sampler.times(self.settings.steps)

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Paint one picture an item, all of them in one batch."""
        import numpy as np

        if self._sampler is None:
            raise WorkloadFailed("The image model was asked before it was loaded. Call load() first.")
        if not batch:
            return []
        steps, guidance = self.settings.steps, np.float32(self.settings.guidance)
        guided = guidance > 1

        encoded = self._tokenizer.encode_batch([str(item.content) for item in batch])
        prompts = [e.ids for e in encoded]
        if guided:
            prompts = [self._tokenizer.encode("").ids] * len(batch) + prompts
        (text,) = self._text_encoder.run(None, {"input_ids": np.array(prompts, dtype=np.int64)})

        shape = tuple(self._unet.get_inputs()[0].shape[1:])
        sample = np.stack([starting_noise(self.settings.seed, item.id, shape) for item in batch])
        for time in self._sampler.times(steps):
            noisy = np.concatenate([sample, sample]) if guided else sample
            inputs = {"sample": noisy, "timestep": np.full(len(noisy), time), "encoder_hidden_states": text}
            (predicted,) = self._unet.run(None, inputs)
            if guided:
                free, asked = np.split(predicted, 2)
                predicted = free + guidance * (asked - free)
            sample = self._sampler.step(sample, predicted, int(time), steps)
        return [
            Answer(output=to_bytes(picture), tokens_in=sum(e.attention_mask))
            for picture, e in zip(sample, encoded, strict=True)
        ]

    def close(self) -> None:
        """Free the graphs."""
        self._text_encoder = self._unet = self._tokenizer = self._sampler = None
