"""A text-to-image model of handwritten digits that ships with Joulemark: see MODEL_CARD.md beside this file.

It is small (under a million parameters) and was trained from nothing by ``training/digits``, so that what its
pictures cost can be told over its whole life, training included.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["FOLDER", "ONNX_FILES", "TORCH_FILES"]

FOLDER = Path(__file__).resolve().parent

ONNX_FILES = {
    "text_encoder": FOLDER / "onnx" / "text_encoder.onnx",
    "unet": FOLDER / "onnx" / "unet.onnx",
    "tokenizer": FOLDER / "pipeline" / "tokenizer" / "tokenizer.json",
    "scheduler": FOLDER / "pipeline" / "scheduler" / "scheduler_config.json",
}
"""The files by role, for `joulemark.workloads.backends.onnx_diffusion.OnnxDiffusion`."""

TORCH_FILES = {"pipeline": FOLDER / "pipeline"}
"""The folder, for `joulemark.workloads.backends.diffusers.DiffusersImages`."""
