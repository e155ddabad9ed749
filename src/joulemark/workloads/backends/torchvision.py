"""A torchvision that does not fit torch must not take the models down that never needed it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

__all__ = ["mend_torchvision"]

_kept: list[Any] = []


def mend_torchvision() -> None:
    """Make torchvision importable where its compiled part does not fit torch (a CUDA build beside a CPU torch).

    Its import then fails over two operators that it would describe but has not, and with it that of timm and of the
    image processors of transformers, which use neither. Naming the two is enough; whoever calls one still gets an
    error.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error) or _kept:
            raise
        import torch

        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)  # the operators live as long as this does
        importlib.import_module("torchvision")
