"""What else went on while a trial ran."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from joulemark.bench.surroundings import Surroundings
from joulemark.boundary import Component
from joulemark.readings import Accuracy, DomainRecord
from tests.simulated import FakeNvml, fake_nvml, nvml_library

__all__ = ["fake_nvml", "nvml_library"]  # fixtures

GPU = DomainRecord(
    name="gpu-0",
    components=(Component.GPU,),
    sensor="nvml 575.1",
    kind="measured",
    accuracy=Accuracy(gain=0.05),
)
SPIN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


def test_what_others_compute_is_foreign_and_what_the_worker_does_is_not() -> None:
    around = Surroundings(())
    around.begin()
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", SPIN.format(0.5)], check=True)
    elapsed_s = time.monotonic() - began

    foreign, ours = around.foreign_cpu(0.0), around.foreign_cpu(0.5)

    assert foreign is not None
    assert ours is not None
    assert foreign > 0.1, "half a second of work on a few processors"
    assert ours < foreign
    assert foreign - ours == pytest.approx(0.5 / elapsed_s / (os.cpu_count() or 1), rel=0.3)


@pytest.mark.parametrize(
    ("reasons", "said"),
    [("0", ""), ("0x1", ""), ("0x4", "power cap"), ("0x60", "thermal slowdown, hardware thermal slowdown")],
)
def test_what_holds_a_gpus_clock_down_is_said(fake_nvml: FakeNvml, reasons: str, said: str) -> None:
    fake_nvml.install(300.0, clock_mhz="1410", clock_reasons=reasons)
    around = Surroundings((GPU,))
    assert around.clock_mhz() == 1410
    assert around.throttled() == said


def test_a_driver_that_does_not_tell_is_no_good_news(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300.0)
    around = Surroundings((GPU,))
    assert around.clock_mhz() is None
    assert around.throttled() is None


def test_without_a_gpu_nothing_is_said_of_throttling() -> None:
    assert Surroundings(()).throttled() is None
