"""Simulated devices with a known truth: an NVIDIA driver, a powercap tree, a ``/proc`` ..."""

from tests.simulated.nvml import FakeNvml, fake_nvml, nvml_library
from tests.simulated.powercap import RANGE_UJ, PowercapTree
from tests.simulated.procfs import Procfs

__all__ = ["RANGE_UJ", "FakeNvml", "PowercapTree", "Procfs", "fake_nvml", "nvml_library"]
