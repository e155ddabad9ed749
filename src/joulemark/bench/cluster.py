"""A suite spread over a Ray cluster: one node measures one workload at a time, so that no two share what is measured.

The sensors of a node see the whole host, so a node is never given two workloads at once. Each node runs `run_plan` on
a few workloads at a time (a *hand*), in randomised blocks as on a single machine; journals and finished records come
back as they grow. A node that dies costs its unfinished trials only: what its journals held goes to the next node, if
that is the same kind of machine, else the workload is measured anew.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from joulemark.bench.plan import Planned, Suite, SuiteWorkload, plan_suite
from joulemark.bench.runner import Progress, check_folder, expected_s, run_plan
from joulemark.errors import JoulemarkError, MissingExtra, UsageError, WorkloadFailed
from joulemark.records import Run, load_run
from joulemark.records.files import write_atomically

__all__ = ["run_on_cluster"]

_LOOK_S = 0.5
_CONNECT_S = 10.0
_HANDS = 2
"""So many hands a node, so that a slow node does not hold up the end."""


class _Node:
    """Runs on a node: measures a hand, and hands out what is on its disk."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="joulemark-"))
        self._news: list[tuple[str, str]] = []

    def measure(self, suite: bytes, earlier: Mapping[str, bytes], identify: bool) -> str:
        """Measure the workloads of a suite; give why that was not possible, or nothing.

        Args:
            suite: as JSON.
            earlier: what an earlier node left, by file name.
            identify: whether records name the host.
        """
        for name, content in earlier.items():
            (self._folder / name).write_bytes(content)

        def say(progress: Progress) -> None:
            self._news.append((progress.key, progress.phase))

        hand = msgspec.json.decode(suite, type=Suite)
        try:
            run_plan(hand, self._folder, resume=True, report=say, identify=identify)
        except UsageError:  # another machine than the one that began: measured anew
            for name in earlier:
                (self._folder / name).unlink(missing_ok=True)
            run_plan(hand, self._folder, resume=True, report=say, identify=identify)
        except JoulemarkError as error:
            return str(error)
        return ""

    def files(self, sizes: Mapping[str, int]) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
        """Give the files that have another size than the driver knows, and what has happened since."""
        found = {}
        for file in sorted(self._folder.glob("*.json*")):
            with contextlib.suppress(FileNotFoundError):  # a journal that has just become a record
                content = file.read_bytes()
                if sizes.get(file.name) != len(content):
                    found[file.name] = content
        news, self._news = self._news, []
        return found, news


@dataclass(slots=True)
class _Hand:
    """What a node works on."""

    actor: Any
    node: str
    workloads: Sequence[int]
    measuring: Any
    sizes: dict[str, int] = field(default_factory=dict)


def run_on_cluster(
    suite: Suite,
    out: Path,
    address: str,
    *,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    identify: bool = False,
) -> tuple[Run, ...]:
    """Measure a suite on the nodes of a Ray cluster; see `joulemark.bench.run_plan` for what is not said here.

    Every node needs Joulemark, the models' runtimes and their weights.

    Args:
        suite: what to measure.
        out: results folder on this machine.
        address: of the cluster (``auto`` for the one that this machine belongs to, ``ray://HOST:10001``); ``local``
            starts one on this machine.
        resume: go on with what is in `out`.
        report: called at each step of any node.
        identify: whether records name their hosts.

    Raises:
        MissingExtra: if Ray is not installed.
        UsageError: if there is no cluster at that address.
        WorkloadFailed: if all nodes are gone before the suite is done; what they measured is in `out`.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("ray", "ray", "A suite over a cluster") from error
    _reachable(address)
    planned = plan_suite(suite)
    check_folder(out, planned, resume=resume)
    started = not ray.is_initialized()
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"There is no Ray cluster at {address!r}: {error}") from error
    try:
        return _Cluster(ray, suite, planned, out, report, identify).run()
    finally:
        if started:
            ray.shutdown()


def _reachable(address: str) -> None:
    """Find out at once whether somebody listens there: Ray itself tries for minutes.

    Raises:
        UsageError: if nobody does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return  # ``auto`` and ``local`` are Ray's to find
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise UsageError(f"There is no Ray cluster at {address!r}: {error.strerror or error}.") from error


class _Cluster:
    def __init__(
        self,
        ray: Any,
        suite: Suite,
        planned: Sequence[Planned],
        out: Path,
        report: Callable[[Progress], None],
        identify: bool,
    ) -> None:
        self._ray = ray
        self._suite = suite
        self._planned = planned
        self._out = out
        self._report = report
        self._identify = identify
        self._hands: dict[str, _Hand] = {}
        self._numbers = {one.file_name: number for number, one in enumerate(planned)}
        self._done = {number for number, one in enumerate(planned) if self._is_done(one)}
        self._left: list[int] = [number for number in range(len(planned)) if number not in self._done]
        self._faults: dict[str, str] = {}  # by node: one that could not measure is not asked again

    def _is_done(self, one: Planned) -> bool:
        path = self._out / one.file_name
        return path.exists() and load_run(path).status == "complete"

    def _nodes(self) -> list[str]:
        alive = (str(node["NodeID"]) for node in self._ray.nodes() if node["Alive"])
        return [node for node in alive if node not in self._faults]

    def run(self) -> tuple[Run, ...]:
        """Hand out work until all is done."""
        nodes = self._nodes()
        size = max(1, -(-len(self._left) // (_HANDS * max(1, len(nodes)))))
        while self._left or self._hands:
            for node in self._nodes():
                if self._left and node not in self._hands:
                    self._deal(node, size)
            if not self._hands:
                raise WorkloadFailed(
                    f"No node is left to measure {len(self._left)} workloads; go on with --resume. "
                    + " ".join(dict.fromkeys(self._faults.values()))
                )
            time.sleep(_LOOK_S)
            for hand in list(self._hands.values()):
                self._look_at(hand)
        return tuple(load_run(self._out / one.file_name) for one in self._planned)

    def _deal(self, node: str, size: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        workloads, self._left = self._left[:size], self._left[size:]
        own = tuple(self._workload(n) for n in workloads)
        suite = msgspec.structs.replace(self._suite, workloads=own)
        # No processors are asked for: a node is this suite's alone, and Ray must not count what we measure.
        actor = self._ray.remote(
            num_cpus=0, max_concurrency=2, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        )(_Node).remote()
        earlier = {
            path.name: path.read_bytes()
            for n in workloads
            if (path := (self._out / self._planned[n].file_name).with_suffix(".jsonl")).exists()
        }
        measuring = actor.measure.remote(msgspec.json.encode(suite), earlier, self._identify)
        self._hands[node] = _Hand(actor, node, workloads, measuring)

    def _workload(self, number: int) -> SuiteWorkload:
        return self._suite.each[number]

    def _look_at(self, hand: _Hand) -> None:
        ray = self._ray
        try:
            finished, _ = ray.wait([hand.measuring], timeout=0)
            files, news = ray.get(hand.actor.files.remote(hand.sizes))
            self._take(hand, files, news)
            if not finished:
                return
            fault = ray.get(hand.measuring)
        except ray.exceptions.RayError as error:
            fault = f"A node was lost: {type(error).__name__}."
        del self._hands[hand.node]
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(hand.actor)
        undone = [number for number in hand.workloads if number not in self._done]
        if undone:
            self._faults[hand.node] = fault
            self._left += undone

    def _take(self, hand: _Hand, files: Mapping[str, bytes], news: Sequence[tuple[str, str]]) -> None:
        for name, content in files.items():
            write_atomically(self._out / name, content)
            hand.sizes[name] = len(content)
            if name in self._numbers:
                self._done.add(self._numbers[name])
                (self._out / name).with_suffix(".jsonl").unlink(missing_ok=True)
        done = len(self._done)
        left_s = expected_s(self._suite, len(self._planned) - done) / max(1, len(self._nodes()))
        for key, phase in news:
            self._report(Progress(done, len(self._planned), key, phase, left_s))
