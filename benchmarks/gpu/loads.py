"""Loads of known course for a GPU; without one (``simulated``) time goes by, and the simulated driver decides."""

from __future__ import annotations

import time
from typing import Any, Protocol

__all__ = ["Load", "load"]


class Load(Protocol):
    """Something that a device can be made to do."""

    name: str

    def work(self, seconds: float) -> None:
        """Keep the device fully busy for so long; returns when it is done."""

    def amount(self, count: int) -> None:
        """Do a fixed amount of work, so many times; returns when it is done."""

    def kernels_per_s(self, seconds: float) -> float:
        """Start small kernels for so long; give how many were done a second."""


class _Cuda:
    """Matrix products in PyTorch: large ones that fill the GPU, and small ones that measure what starting one costs."""

    def __init__(self) -> None:
        import torch

        self._torch: Any = torch
        self.name = str(torch.cuda.get_device_name())
        large = 8192
        self._a = torch.randn(large, large, device="cuda", dtype=torch.bfloat16)
        self._small = torch.randn(256, 256, device="cuda")
        self.work(0.5)

    def work(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.amount(1)

    def amount(self, count: int) -> None:
        for _ in range(count):
            self._a @ self._a
            self._torch.cuda.synchronize()

    def kernels_per_s(self, seconds: float) -> float:
        done, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            for _ in range(100):
                self._small @ self._small
            self._torch.cuda.synchronize()
            done += 100
        return done / (time.monotonic() - began)


class _Simulated:
    name = "simulated"

    def work(self, seconds: float) -> None:
        time.sleep(seconds)

    def amount(self, count: int) -> None:
        time.sleep(0.01 * count)

    def kernels_per_s(self, seconds: float) -> float:
        done, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            sum(range(1000))
            done += 1
        return done / (time.monotonic() - began)


def load(*, simulated: bool) -> Load:
    """Give the load: of the first CUDA device, or simulated.

    Raises:
        RuntimeError: if there is no CUDA device.
    """
    return _Simulated() if simulated else _Cuda()
