"""What an open window costs: processor seconds and memory of the program and of its sampling process.

Usage: running.py SYSFS SECONDS [SENSOR...]: all sensors without a name; ``bare``: no meter at all.
"""

import json
import sys
import time
from pathlib import Path


def cpu_s(pid: int) -> float:
    """Time on a processor, of all threads that are alive (Linux, Documentation/scheduler/sched-stats.rst)."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def memory_bytes(pid: int | str, kind: str) -> int:
    """``Pss``: what a process shares is counted in parts; ``Rss``: as a whole."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


def sampling_process(folder: str) -> list[int]:
    """Find the process that was given this folder."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder.encode() in command.read_bytes().split(b"\0"):
                found.append(int(command.parent.name))
        except OSError:
            continue  # it has ended
    return found


sysfs, seconds, sensors = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
pids: list[int] = []
told: dict[str, object] = {}
if sensors == ["bare"]:
    time.sleep(seconds)
else:
    import joulemark as jm
    from joulemark.meter.process import ProcessHost
    from joulemark.sensors.discovery import Places

    meter = jm.Meter(sensors or None, places=Places(sysfs=sysfs))
    window = meter.measure().start()
    assert isinstance(meter._host, ProcessHost)  # noqa: S101 - a look inside, for its process
    pids = sampling_process(meter._host._launched.folder)
    begun_s, helper_s = time.process_time(), sum(map(cpu_s, pids))
    time.sleep(seconds)
    told = {
        "domains": [d.name for d in meter.domains],
        "program_s": time.process_time() - begun_s,
        "helper_s": sum(map(cpu_s, pids)) - helper_s,
        "helpers": len(pids),
    }
every: list[int | str] = ["self", *pids]
print(
    json.dumps(
        {
            **told,
            "seconds": seconds,
            "pss_bytes": sum(memory_bytes(pid, "Pss") for pid in every),
            "rss_bytes": sum(memory_bytes(pid, "Rss") for pid in every),
        }
    )
)
