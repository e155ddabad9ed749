"""Find out on a real GPU what is to be found out: ``python -m benchmarks.gpu.run [STAGE ...]``.

Each stage writes its records under ``records/GPU-NAME/`` before the next begins, and a later call goes on with those
that are missing. Nothing is set on the GPU: no clock, no power limit, no persistence, no MIG, no reset.

    sensors      update period and averaging window of each NVML source; counter against integrated power
    cost         opening and closing a window, the sampler's share of a processor, kernels a second with and without
    intervals    the same work again and again: do the windows' intervals hold its mean?
    study        twins of the study's models in fp32, one at a time
    today        the same in bf16 and batches, and a decoder of 8 billion parameters
    twins        trained weights that ship in packages against random ones: times and energies
    sweep        batch size and number format

``--simulated`` tries all of it without a GPU, over the simulated driver of the tests; ``--quick`` shortens every stage.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.loads import Load, load
from benchmarks.gpu.sensors import cost, intervals, sensors
from benchmarks.gpu.suites import study_suite, sweep_suite
from benchmarks.twins.run import CASES, measure
from joulemark import Meter, run_suite
from joulemark.errors import JoulemarkError
from joulemark.meter import software_versions

RECORDS = Path(__file__).parents[2] / "records"


def main() -> int:
    """Run the stages; the exit code says how many of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", help="all that are missing, in the order above, without it")
    parser.add_argument("--simulated", action="store_true", help="over a simulated driver, without a GPU")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--out", type=Path, default=RECORDS, help="where the records go (default: records/)")
    parser.add_argument("--budget", type=float, default=540.0, help="seconds after which no stage is begun any more")
    asked = parser.parse_args()
    the_load = load(simulated=asked.simulated)
    folder = asked.out / (re.sub(r"[^A-Za-z0-9]+", "-", the_load.name).strip("-").lower() or "gpu")
    folder.mkdir(parents=True, exist_ok=True)
    stages = _stages(folder, the_load, device="cpu" if asked.simulated else "cuda", quick=asked.quick)
    unknown = [name for name in asked.stages if name not in stages]
    if unknown:
        parser.error(f"no stage {unknown[0]!r}; there are {', '.join(stages)}")
    began, failed = time.monotonic(), 0
    for name, run in stages.items():
        if (asked.stages and name not in asked.stages) or (folder / name).with_suffix(".json").exists():
            continue
        if time.monotonic() - began > asked.budget:
            print(f"{name}: left for another call, the time is up", flush=True)
            continue
        start = time.monotonic()
        try:
            found: Mapping[str, Any] = {"stage": name, "result": run()}
        except (JoulemarkError, RuntimeError, OSError) as error:  # a stage that fails must not lose the others
            failed += 1
            print(f"{name}: failed: {error}", flush=True)
            continue
        text = json.dumps({**found, "seconds": time.monotonic() - start, "software": _software()}, indent=1)
        (folder / name).with_suffix(".json").write_text(text + "\n", encoding="utf-8")
        print(f"{name}: {time.monotonic() - start:.0f} s, in {folder / name}.json", flush=True)
    return failed


def _stages(folder: Path, the_load: Load, *, device: str, quick: bool) -> dict[str, Callable[[], Any]]:
    def suite(name: str, make: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> dict[str, str]:
            runs = run_suite(make(), folder / name, resume=True)
            return {run.workload.key: run.failure or run.status for run in runs}

        return run

    return {
        "sensors": lambda: sensors(the_load, quick),
        "cost": lambda: cost(the_load, quick),
        "intervals": lambda: intervals(the_load, quick),
        "study": suite("study", lambda: study_suite(device, today=False, quick=quick)),
        "today": suite("today", lambda: study_suite(device, today=True, quick=quick)),
        "twins": lambda: twins(device, quick=quick),
        "sweep": suite("sweep", lambda: sweep_suite(device, quick=quick)),
    }


def twins(device: str, *, quick: bool) -> dict[str, Any]:
    """Measure trained models against their twins; one that is not installed is left out, with the reason."""
    found: dict[str, Any] = {}
    for case in CASES:
        try:
            with Meter() as meter:
                found[case.name] = measure(case, 3 if quick else 20, 0, device=device, meter=meter)
        except (JoulemarkError, ImportError) as error:
            found[case.name] = f"left out: {error}"
    return found


def _software() -> dict[str, str]:
    found = software_versions()
    try:
        import pynvml

        pynvml.nvmlInit()
        found["nvidia driver"] = str(pynvml.nvmlSystemGetDriverVersion())
    except Exception as error:  # noqa: BLE001 - said in the record, whatever it is
        found["nvidia driver"] = f"not told: {error}"
    if (torch := sys.modules.get("torch")) is not None:
        found["torch"] = str(torch.__version__)
    return found


if __name__ == "__main__":
    sys.exit(main())
