"""What machine this is, without anything that names its owner."""

from __future__ import annotations

import platform
from pathlib import Path

from joulemark.errors import SensorUnavailable
from joulemark.readings import Machine
from joulemark.sensors.load_models import cpu_facts, memory_bytes

__all__ = ["describe_machine"]


def describe_machine(
    procfs: Path = Path("/proc"), *, gpus: tuple[str, ...] = (), gpu_driver: str = "", identify: bool = False
) -> Machine:
    """Describe hardware and system.

    Args:
        procfs: where ``/proc`` is.
        gpus: names of the GPUs.
        gpu_driver: name and version of their driver.
        identify: whether to add the host's name.
    """
    import psutil

    facts = cpu_facts(procfs / "cpuinfo")
    try:
        memory = memory_bytes(procfs)
    except SensorUnavailable:
        memory = int(psutil.virtual_memory().total)
    return Machine(
        processor=facts.get("model name") or platform.processor() or platform.machine(),
        cpus=psutil.cpu_count() or 0,
        memory_bytes=memory,
        system=f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        virtual="hypervisor" in facts.get("flags", "").split(),
        gpus=gpus,
        gpu_driver=gpu_driver,
        hostname=platform.node() if identify else None,
    )
