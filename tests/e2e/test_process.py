"""What a measured program may do, and what it must not notice, with a sampling process beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import CounterReset, PermissionDenied, SensorUnavailable
from joulemark.meter import launch, ring
from joulemark.meter.follow import Point
from joulemark.meter.launch import birth
from joulemark.meter.ring import RingReader, RingWriter
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain
from tests.e2e.programs import Program, result, right
from tests.simulated.nvml import nvml_library

__all__ = ["nvml_library"]

GPU = Domain(
    name="gpu-0",
    components=frozenset({Component.GPU}),
    kind="measured",
    reading="counter",
    accuracy=Accuracy(gain=0.0, period_s=0.1),
)
METER = "meter = jm.Meter(['nvml'])\nwith meter.measure(): pass\n"


def gone(pid: int, seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while birth(pid) is not None and time.monotonic() < end:
        time.sleep(0.02)
    return birth(pid) is None


# What a workload does


def test_a_workload_that_holds_the_interpreter_lock_is_measured_exactly(nvml_library: Path) -> None:
    said = result(
        METER + "sleep = ctypes.PyDLL(None).usleep\n"
        "with meter.measure() as window: sleep(2_000_000)\n"
        "say(**told(window))",
        nvml_library,
    )
    assert right(said)
    assert said["seconds"] == pytest.approx(2.0, abs=0.2)


def test_a_workload_that_takes_every_processor_twice_is_measured_exactly(nvml_library: Path) -> None:
    said = result(
        METER + "busy = [subprocess.Popen([sys.executable, '-c', 'while True: pass'])"
        " for _ in range(2 * os.cpu_count())]\n"
        "try:\n"
        "    with meter.measure() as window:\n"
        "        until(2.5)\n"
        "    say(**told(window))\n"
        "finally:\n"
        "    for one in busy: one.kill(); one.wait()\n",
        nvml_library,
    )
    assert right(said)


def test_a_workload_that_closes_all_descriptors_gets_no_bytes_of_ours_into_its_own(
    nvml_library: Path, tmp_path: Path
) -> None:
    said = result(
        METER + "with meter.measure() as window:\n"
        "    os.closerange(3, 4096)\n"
        f"    files = [open(f'{tmp_path}/{{n}}', 'w+b') for n in range(40)]\n"
        "    time.sleep(0.5)\n"
        "with meter.measure() as later: time.sleep(0.5)\n"
        "sizes = [os.fstat(file.fileno()).st_size for file in files]\n"
        "say(window=told(window), later=told(later), written=sum(sizes), moved=sum(f.tell() for f in files))",
        nvml_library,
    )
    assert right(said["window"])
    assert right(said["later"])
    assert said["written"] == said["moved"] == 0


@pytest.mark.parametrize("signals", ["", "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"])
def test_a_program_that_waits_for_its_children_finds_none_of_ours(nvml_library: Path, signals: str) -> None:
    said = result(
        signals + "\n" + METER + "with meter.measure() as window:\n"
        "    time.sleep(0.3)\n"
        "    try: found = os.wait()\n"
        "    except ChildProcessError: found = None\n"
        "say(found=found, **told(window))",
        nvml_library,
    )
    assert said["found"] is None
    assert right(said)


@pytest.mark.skipif(not Path("/proc/self/wchan").exists(), reason="the kernel does not tell what processes wait for")
def test_the_first_process_of_a_container_that_waits_for_its_children_is_not_kept_waiting(nvml_library: Path) -> None:
    said = result(
        "ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans are given to this process\n" + METER + "\n"
        "started = sampler(meter)\n"
        "mine = subprocess.Popen(['sleep', '0.5'])\n"
        "waited = []\n"
        "with contextlib.suppress(ChildProcessError):\n"
        "    while True: waited.append(os.wait()[0])\n"
        "with meter.measure() as window: time.sleep(0.5)\n"
        "say(waited=waited, expected=[mine.pid, started], again=sampler(meter) != started, **told(window))",
        nvml_library,
    )
    assert said["waited"] == said["expected"]
    assert said["again"]
    assert right(said)


def test_a_window_open_across_a_fork_is_right_in_both_processes(nvml_library: Path) -> None:
    said = result(
        METER + "reading, writing = os.pipe()\n"
        "window = meter.measure().start()\n"
        "time.sleep(0.4)\n"
        "child = os.fork()\n"
        "time.sleep(0.4 if child else 0.8)\n"
        "window.stop()\n"
        "if not child:\n"
        "    with meter.measure() as own: time.sleep(0.4)\n"
        "    os.write(writing, json.dumps({'inherited': told(window), 'own': told(own)}).encode())\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "say(parent=told(window), **json.loads(os.read(reading, 9999)))",
        nvml_library,
    )
    assert right(said["parent"])
    assert right(said["inherited"])
    assert right(said["own"])
    assert said["inherited"]["joules"] > said["parent"]["joules"]


def test_a_child_that_closes_an_inherited_window_does_not_end_the_sampling_of_its_parent(nvml_library: Path) -> None:
    said = result(
        METER + "window = meter.measure().start()\n"
        "for _ in range(3):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        window.stop()\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "time.sleep(1.5)\n"
        "window.stop()\n"
        "say(**told(window))",
        nvml_library,
        faults="no-counter",  # a gauge is not followed between windows
        FAKE_NVML_GAUGE_S="0.1,0.1",
    )
    assert said["off_j"] == pytest.approx(0.0, abs=0.05 * said["joules"])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_measure_on_their_own(nvml_library: Path, tmp_path: Path, method: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import multiprocessing, os, time\n"
        "import joulemark as jm\n"
        "def work(_):\n"
        "    with jm.Meter(['nvml']) as meter, meter.measure() as window: time.sleep(0.3)\n"
        "    return window.domains['gpu-0'].available, os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    meter = jm.Meter(['nvml'])\n"
        f"    with meter.measure() as window, multiprocessing.get_context('{method}').Pool(2) as pool:\n"
        "        found = pool.map(work, range(2), chunksize=1)\n"
        "    assert window.domains['gpu-0'].available, window.domains['gpu-0']\n"
        "    print(found)\n"
    )
    said = result(
        f"done = subprocess.run([sys.executable, {str(script)!r}], capture_output=True, text=True)\n"
        "say(out=done.stdout, err=done.stderr)",
        nvml_library,
    )
    assert said["err"] == ""
    assert said["out"].count("True") == 2


def test_windows_of_threads_and_of_tasks_overlap(nvml_library: Path) -> None:
    said = result(
        METER + "import asyncio\n"
        "windows = []\n"
        "def worker(delay_s):\n"
        "    with meter.measure() as window: time.sleep(delay_s)\n"
        "    windows.append(window)\n"
        "async def task(delay_s):\n"
        "    with meter.measure() as window: await asyncio.sleep(delay_s)\n"
        "    windows.append(window)\n"
        "async def tasks(): await asyncio.gather(*(task(0.3 + 0.1 * n) for n in range(4)))\n"
        "threads = [threading.Thread(target=worker, args=(0.3 + 0.1 * n,)) for n in range(4)]\n"
        "for thread in threads: thread.start()\n"
        "asyncio.run(tasks())\n"
        "for thread in threads: thread.join()\n"
        "say(windows=[told(window) for window in windows])",
        nvml_library,
    )
    assert len(said["windows"]) == 8
    assert all(right(told) for told in said["windows"])


def test_a_thousand_nested_and_overlapping_windows_of_sixteen_threads_are_all_right(nvml_library: Path) -> None:
    said = result(
        METER + "windows = []\n"
        "def worker(number):\n"
        "    for turn in range(16):\n"
        "        with meter.measure() as outer:\n"
        "            time.sleep(0.02)\n"
        "            with meter.measure() as middle:\n"
        "                with meter.measure() as inner: time.sleep(0.02 + number / 1000)\n"
        "            last = meter.measure().start()\n"
        "        time.sleep(0.01)\n"
        "        windows.extend((outer, middle, inner, last.stop()))\n"
        "threads = [threading.Thread(target=worker, args=(n,)) for n in range(16)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "told_all = [told(window) for window in windows]\n"
        "off = [abs(one['off_j']) / one['edges_j'] for one in told_all if 'off_j' in one]\n"
        "say(count=len(told_all), figures=len(off), beyond=sum(x > 3 for x in off), worst=max(off),"
        " reasons=sorted({one.get('reason', '') for one in told_all}))",
        nvml_library,
    )
    assert said["count"] == said["figures"] == 1024, said
    assert said["beyond"] <= 10, said  # 3 standard uncertainties


def test_the_program_runs_with_a_wall_clock_that_jumps(nvml_library: Path) -> None:
    said = result(
        "jumps = iter(range(10**9, 0, -10**6))\n"
        "time.time = lambda: float(next(jumps))\n"
        "time.time_ns = lambda: next(jumps) * 10**9\n" + METER + "with meter.measure() as window: time.sleep(0.5)\n"
        "say(**told(window))",
        nvml_library,
    )
    assert right(said)


# How a program ends


@pytest.mark.parametrize(
    "end",
    ["", "meter.close()", "os._exit(0)", "os.execv('/bin/sleep', ['sleep', '9'])", "os.kill(os.getpid(), 9)"],
    ids=["returns", "closes", "exits at once", "becomes another program", "is killed"],
)
def test_the_sampling_process_ends_with_a_program_that(nvml_library: Path, end: str) -> None:
    program = Program(
        METER + "window = meter.measure().start()\n"
        "print(json.dumps({'pid': sampler(meter), 'folder': meter._host._launched.folder}), flush=True)\n"
        "time.sleep(0.2)\n" + end,
        nvml_library,
    )
    said = program.line()
    try:
        assert gone(said["pid"], 7.0 if "exec" in end else 3.0)
        assert not Path(said["folder"]).exists()
    finally:
        program.process.kill()
        out, err = program.process.communicate()
    assert (out, err) == ("", "")


def test_a_window_may_be_opened_while_the_program_ends(nvml_library: Path) -> None:
    said = result(
        "import atexit\n"
        "@atexit.register\n"
        "def last():\n"
        "    with meter.measure() as window: time.sleep(0.3)\n"
        "    say(**told(window))\n" + METER,
        nvml_library,
    )
    assert "off_j" in said or "reason" in said


def test_a_program_and_its_sampling_process_killed_at_once_leave_no_memory_behind(nvml_library: Path) -> None:
    program = Program(
        METER + "print(json.dumps({'pid': sampler(meter), 'folder': meter._host._launched.folder}), flush=True)\n"
        "time.sleep(9)",
        nvml_library,
    )
    said = program.line()
    os.kill(said["pid"], signal.SIGSTOP)
    program.process.kill()
    os.kill(said["pid"], signal.SIGKILL)
    program.process.communicate()
    left = list(Path(said["folder"]).iterdir())
    assert [path.is_fifo() for path in left] == [True]
    left[0].unlink()
    left[0].parent.rmdir()


def test_ctrl_c_reaches_the_program_and_not_the_sampling_process(nvml_library: Path) -> None:
    program = Program(
        METER + "try:\n"
        "    with meter.measure() as window:\n"
        "        print(json.dumps({'pid': sampler(meter)}), flush=True)\n"
        "        time.sleep(9)\n"
        "except KeyboardInterrupt: interrupted = True\n"
        "say(interrupted=interrupted, same=not gone(sampler(meter), 0), **told(window))",
        nvml_library,
    )
    pid = program.line()["pid"]
    time.sleep(0.4)
    os.killpg(program.process.pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)  # a job's end is told to all of its processes
    said = program.result()
    assert said["interrupted"]
    assert said["same"]
    assert right(said)


def test_a_program_with_thousands_of_open_files_is_measured(nvml_library: Path) -> None:
    said = result(
        "import resource\n"
        "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (min(2000, most) if most > 0 else 2000, most))\n"
        "files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]\n" + METER + "\n"
        "with meter.measure() as window: time.sleep(0.5)\n"
        "say(**told(window))",
        nvml_library,
    )
    assert right(said)


def test_a_program_without_a_file_to_spare_gets_figures_or_reasons(nvml_library: Path) -> None:
    said = result(
        METER + "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "files = []\n"
        "with contextlib.suppress(OSError):\n"
        "    while True: files.append(os.open(os.devnull, os.O_RDONLY))\n"
        "with meter.measure() as window: time.sleep(1)\n"
        "for file in files: os.close(file)\n"
        "with meter.measure() as later: time.sleep(0.5)\n"
        "say(window=told(window), later=told(later))",
        nvml_library,
    )
    assert right(said["window"]) or "reason" in said["window"]
    assert right(said["later"])


# The sampling process in trouble


def test_windows_over_a_killed_sampling_process_are_unavailable_and_later_ones_are_not(nvml_library: Path) -> None:
    said = result(
        METER + "with meter.measure() as window:\n"
        "    time.sleep(0.3)\n"
        "    os.kill(sampler(meter), signal.SIGKILL)\n"
        "    folder = meter._host._launched.folder\n"
        "    time.sleep(0.6)\n"
        "asked = time.monotonic()\n"
        "lost = told(window)\n"
        "waited_s = time.monotonic() - asked\n"
        "with meter.measure() as later: time.sleep(0.5)\n"
        "say(lost=lost, waited_s=waited_s, later=told(later), left=os.path.exists(folder))",
        nvml_library,
    )
    assert said["lost"]["reason"] == "gpu-0: the process that read it has ended"
    assert said["waited_s"] < 0.5
    assert right(said["later"])
    assert not said["left"]


def test_a_sampling_process_that_stood_still_for_three_seconds_catches_up(nvml_library: Path) -> None:
    said = result(
        METER + "with meter.measure() as window:\n"
        "    time.sleep(0.3)\n"
        "    os.kill(sampler(meter), signal.SIGSTOP)\n"
        "    time.sleep(3)\n"
        "    os.kill(sampler(meter), signal.SIGCONT)\n"
        "    time.sleep(0.3)\n"
        "say(**told(window))",
        nvml_library,
    )
    assert right(said)


def test_a_program_that_stood_still_for_three_seconds_is_measured_over_them(nvml_library: Path) -> None:
    program = Program(
        METER + "with meter.measure() as window:\n"
        "    print(json.dumps({}), flush=True)\n"
        "    time.sleep(0.5)\n"
        "say(**told(window))",
        nvml_library,
    )
    program.line()
    program.process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    program.process.send_signal(signal.SIGCONT)
    said = program.result()
    assert right(said)
    assert said["seconds"] >= 3


def test_two_threads_that_measure_first_leave_one_sampling_process(nvml_library: Path) -> None:
    said = result(
        "started = []\n"
        "spawn = os.posix_spawn\n"
        "os.posix_spawn = lambda *a, **k: started.append(spawn(*a, **k)) or started[-1]\n"
        "windows = []\n"
        "def worker():\n"
        "    with jm.measure() as window: time.sleep(0.3)\n"
        "    windows.append(window)\n"
        "threads = [threading.Thread(target=worker) for _ in range(4)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "time.sleep(1.5)\n"
        "mine = f\"'parent': {os.getpid()}\".encode()\n"
        "folders = [f for f in os.listdir('/dev/shm') if f.startswith('joulemark-')]\n"
        "running = [p for p in os.listdir('/proc') if p.isdigit() and launch.birth(int(p))"
        " and any(f.encode() in open(f'/proc/{p}/cmdline', 'rb').read() for f in folders)"
        " and os.environ['FAKE_NVML_ORIGIN_NS'].encode() in open(f'/proc/{p}/environ', 'rb').read()]\n"
        "say(running=len(running), windows=[told(window) for window in windows])",
        nvml_library,
    )
    assert said["running"] == 1
    assert all(right(told) for told in said["windows"])


# No sampling process


@pytest.mark.parametrize(
    "hindrance",
    [
        "sys.executable = ''",
        "sys.executable = None",
        "sys.executable = '/bin/false'",
        "sys.frozen = True",
        "sys.executable = DEAF",
        "os.posix_spawn = refuse",
        "launch.MEMORY = '/nowhere'; os.environ['TMPDIR'] = '/nowhere'",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1))",
    ],
    ids=["no Python", "none", "another program", "a frozen one", "does not start", "refused", "no folder", "full disk"],
)
def test_without_a_sampling_process_threads_read_the_sensors(
    nvml_library: Path, tmp_path: Path, hindrance: str
) -> None:
    deaf = tmp_path / "python-deaf"
    deaf.write_text("#!/bin/sh\nexit 1\n")
    deaf.chmod(0o755)
    said = result(
        "import resource\n"
        f"DEAF = {str(deaf)!r}\n"
        "def refuse(*_, **__): raise PermissionError(1, 'Operation not permitted')\n"
        f"{hindrance}\n" + METER + "with meter.measure() as window: time.sleep(0.5)\n"
        "try: found = os.wait()\n"
        "except ChildProcessError: found = None\n"
        "say(host=type(meter._host).__name__, found=found, **told(window))",
        nvml_library,
    )
    assert said["host"] == "ThreadHost"
    assert said["found"] is None
    assert right(said)


def test_without_room_in_memory_the_process_meets_the_program_in_a_temporary_folder(
    nvml_library: Path, tmp_path: Path
) -> None:
    said = result(
        "launch.MEMORY = '/nowhere'\n" + METER + "with meter.measure() as window: time.sleep(0.5)\n"
        "say(folder=meter._host._launched.folder, **told(window))",
        nvml_library,
        TMPDIR=str(tmp_path),
    )
    assert Path(said["folder"]).parent == tmp_path
    assert right(said)
    assert not list(tmp_path.iterdir())


def test_without_proc_a_process_lives_as_long_as_it_can_be_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["sleep", "9"])
    with_proc = birth(child.pid)
    monkeypatch.setattr(launch, "PROC", "/nowhere")
    assert with_proc
    assert birth(child.pid) == ()
    child.kill()
    child.wait()
    assert birth(child.pid) is None


def test_a_process_that_nobody_has_waited_for_has_ended() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    assert gone(child)
    os.waitpid(child, 0)


# What both tell each other


def _ring(folder: Path) -> tuple[RingWriter, RingReader]:
    (folder / "ring").write_bytes(bytes(launch.RING_BYTES))
    return RingWriter(folder, [GPU]), RingReader(folder)


def test_the_ring_is_as_large_as_the_memory_that_is_set_aside_for_it() -> None:
    assert launch.RING_BYTES == ring.BYTES


def test_a_program_that_has_not_looked_for_long_gets_the_latest_points(tmp_path: Path) -> None:
    writer, reader = _ring(tmp_path)
    for number in range(ring.ENTRIES + 1000):
        writer.point(GPU, Point(number, 1, 2 * number, 0.5, 3))
    found = [entry.point for entry in reader.entries()]
    assert len(found) == ring.ENTRIES - 1
    assert found[-1] == Point(ring.ENTRIES + 999, 1, 2 * (ring.ENTRIES + 999), 0.5, 3)
    assert not list(reader.entries())


def test_an_error_keeps_its_kind_its_text_and_its_remedy(tmp_path: Path) -> None:
    writer, reader = _ring(tmp_path)
    writer.failed(GPU, PermissionDenied("gpu-0: nicht für dich – leider", remedy="sudo chmod a+r"))
    writer.broke(GPU, CounterReset("gpu-0: it fell"))
    error = reader.error(0)
    assert isinstance(error, PermissionDenied)
    assert (str(error), error.remedy) == ("gpu-0: nicht für dich – leider", "sudo chmod a+r")
    (entry,) = reader.entries()
    assert isinstance(entry.reason, CounterReset)
    assert str(entry.reason) == "gpu-0: it fell"
    writer.failed(GPU, None)
    assert reader.error(0) is None


def test_errors_without_number_take_no_more_room_and_the_latest_are_told(tmp_path: Path) -> None:
    writer, reader = _ring(tmp_path)
    for number in range(3 * ring.MESSAGES):
        writer.broke(GPU, SensorUnavailable(f"gpu-0: {number} {'x' * 1000}"))
    reasons = [str(entry.reason) for entry in reader.entries()]
    assert reasons[0] == "its reason is no longer on record"
    assert reasons[-1].startswith(f"gpu-0: {3 * ring.MESSAGES - 1} xxx")
