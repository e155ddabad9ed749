"""Whose energy: what is counted of a tree and of a group, and what follows for energy and interval."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from joulemark.attribution import WORTH_OF_CPU_TIME, Attributed, IdlePolicy, Share, attribute
from joulemark.boundary import Boundary
from joulemark.errors import CounterReset, SensorUnavailable, UsageError
from joulemark.figures import Error, Figure, Kind, Part, total
from joulemark.meter.cpu_time import TICK_S, Cgroup, CpuTime, ProcessTree, Scope, WholeMachine, share
from tests.simulated.processes import CgroupTree, ProcessTable

CPU = Boundary.of(["cpu"])
ROOT, CHILD, GRANDCHILD = 100, 200, 300


@pytest.fixture(params=[True, False], ids=["children listed", "children scanned for"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> ProcessTable:
    table = ProcessTable(tmp_path, lists_children=request.param)
    table.fork(ROOT, parent=1)
    return table


def spent_s(scope: Scope, before: CpuTime) -> float:
    return scope.read().scope_s - before.scope_s


# --- Process trees --------------------------------------------------------------------------------


def test_a_tree_is_a_process_and_all_that_it_forked(table: ProcessTable) -> None:
    table.fork(CHILD, parent=ROOT)
    table.fork(GRANDCHILD, parent=CHILD)
    table.fork(900, parent=1, name="somebody else")
    tree = ProcessTree(ROOT, root=table.root)
    before = tree.read()

    table.spend(ROOT, user=1, system=0.5)
    table.spend(CHILD, user=2)
    table.spend(GRANDCHILD, user=4)
    table.spend(900, user=8)

    assert spent_s(tree, before) == pytest.approx(7.5)
    assert tree.read().machine_busy_s - before.machine_busy_s == pytest.approx(15.5)


def test_children_forked_by_any_thread_count(tmp_path: Path) -> None:
    table = ProcessTable(tmp_path)
    table.fork(ROOT, parent=1, threads=3)
    table.fork(CHILD, parent=ROOT, by_thread=ROOT + 2)
    tree = ProcessTree(ROOT, root=tmp_path)
    before = tree.read()
    table.spend(CHILD, user=2)

    assert spent_s(tree, before) == pytest.approx(2)


def test_names_with_parentheses_and_blanks_are_no_trap(table: ProcessTable) -> None:
    table.fork(CHILD, parent=ROOT, name="a) S 1 (b")
    tree = ProcessTree(ROOT, root=table.root)
    before = tree.read()
    table.spend(CHILD, user=2)

    assert spent_s(tree, before) == pytest.approx(2)


def test_what_was_spent_before_the_window_is_not_in_it(table: ProcessTable) -> None:
    table.spend(ROOT, user=50)
    table.fork(CHILD, parent=ROOT)
    table.spend(CHILD, user=30)
    tree = ProcessTree(ROOT, root=table.root)
    before = tree.read()
    table.end(CHILD)
    table.wait(CHILD)

    assert spent_s(tree, before) == 0


def test_a_child_that_lives_and_ends_within_the_window_is_counted_once(table: ProcessTable) -> None:
    tree = ProcessTree(ROOT, root=table.root)
    before = tree.read()
    table.fork(CHILD, parent=ROOT)
    table.spend(CHILD, user=3)
    table.end(CHILD)
    assert spent_s(tree, before) == pytest.approx(3), "a zombie still has its time"
    table.wait(CHILD)
    assert spent_s(tree, before) == pytest.approx(3), "its parent has it now"


def test_a_whole_branch_that_ends_in_order_is_counted_once(table: ProcessTable) -> None:
    table.fork(CHILD, parent=ROOT)
    table.fork(GRANDCHILD, parent=CHILD)
    tree = ProcessTree(ROOT, root=table.root)
    before = tree.read()
    table.spend(CHILD, user=1)
    table.spend(GRANDCHILD, user=2)
    tree.read()
    table.spend(GRANDCHILD, user=4)
    for pid in (GRANDCHILD, CHILD):
        table.end(pid)
        table.wait(pid)

    assert spent_s(tree, before) == pytest.approx(7)


def test_a_child_that_nobody_waits_for_keeps_what_was_last_seen_of_it(table: ProcessTable) -> None:
    """The parent ignores SIGCHLD: since Linux 2.6.9 the child's time is in nobody's line."""
    table.fork(CHILD, parent=ROOT)
    tree = ProcessTree(ROOT, root=table.root)
    before = tree.read()
    table.spend(CHILD, user=3)
    tree.read()
    table.end(CHILD)
    table.vanish(CHILD)

    assert spent_s(tree, before) == pytest.approx(3)
    table.spend(ROOT, user=1)
    assert spent_s(tree, before) == pytest.approx(4)


def test_an_orphan_is_followed_to_init(table: ProcessTable) -> None:
    table.fork(CHILD, parent=ROOT)
    table.fork(GRANDCHILD, parent=CHILD)
    tree = ProcessTree(ROOT, root=table.root)
    before = tree.read()
    table.spend(GRANDCHILD, user=1)
    table.end(CHILD)
    table.wait(CHILD)
    table.spend(GRANDCHILD, user=2)
    assert spent_s(tree, before) == pytest.approx(3)

    table.end(GRANDCHILD)
    table.wait(GRANDCHILD)  # by init, which is not in the tree

    assert spent_s(tree, before) == pytest.approx(3)


def test_a_pid_that_is_used_again_by_a_stranger_is_not_followed(table: ProcessTable) -> None:
    table.fork(CHILD, parent=ROOT)
    tree = ProcessTree(ROOT, root=table.root)
    before = tree.read()
    table.spend(CHILD, user=1)
    table.end(CHILD)
    table.wait(CHILD)
    table.fork(CHILD, parent=1, name="stranger")
    table.spend(CHILD, user=100)

    assert spent_s(tree, before) == pytest.approx(1)


def test_a_child_waited_for_in_the_middle_of_a_reading_is_neither_lost_nor_doubled(tmp_path: Path) -> None:
    table = ProcessTable(tmp_path)
    table.fork(ROOT, parent=1)
    table.fork(CHILD, parent=ROOT)

    class Interrupted(ProcessTree):
        """The child is waited for just after, or just before, it was looked at."""

        at = ""

        def _process(self, pid: int) -> object:  # type: ignore[override]
            if pid == CHILD and self.at == "before":
                self._reap()
            seen = super()._process(pid)
            if pid == CHILD and self.at == "after":
                self._reap()
            return seen

        def _reap(self) -> None:
            self.at = ""
            table.end(CHILD)
            table.wait(CHILD)

    for at in ("before", "after"):
        tree = Interrupted(ROOT, root=tmp_path)
        before = tree.read()
        table.spend(CHILD, user=3)
        tree.at = at

        assert spent_s(tree, before) == pytest.approx(3), at
        assert tree.at == "", "it did happen"
        table.fork(CHILD, parent=ROOT)


def test_the_end_of_the_root_is_named(table: ProcessTable) -> None:
    tree = ProcessTree(ROOT, root=table.root)
    table.end(ROOT)
    tree.read()
    table.wait(ROOT)

    with pytest.raises(SensorUnavailable, match="process 100 has ended"):
        tree.read()
    with pytest.raises(SensorUnavailable, match="no process 100"):
        ProcessTree(ROOT, root=table.root)


def test_more_processes_have_more_counters_that_are_cut_off(table: ProcessTable) -> None:
    alone = ProcessTree(ROOT, root=table.root).read()
    for pid in (200, 201, 202):
        table.fork(pid, parent=ROOT)

    assert alone.scope_u_s == pytest.approx(TICK_S * math.sqrt(4 / 12))
    assert ProcessTree(ROOT, root=table.root).read().scope_u_s == pytest.approx(2 * alone.scope_u_s)


def test_real_children_are_counted_once_on_this_machine() -> None:
    tree = ProcessTree()
    before, used = tree.read(), _used_s()
    burn = "import time\nwhile time.process_time() < .15: pass"
    then_wait = f"{burn}\nimport sys\nprint(flush=True)\nsys.stdin.read()"
    running = subprocess.Popen([sys.executable, "-c", then_wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    tree.read()
    running.communicate()
    subprocess.run([sys.executable, "-c", burn], check=True)
    after = tree.read()

    assert after.scope_s - before.scope_s == pytest.approx(_used_s() - used, abs=6 * TICK_S)
    assert share(before, after).of_busy > 0


def _used_s() -> float:
    """The same by another way: resource usage, which counts what was waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in both)


# --- Control groups -------------------------------------------------------------------------------


@pytest.fixture
def groups(tmp_path: Path) -> CgroupTree:
    ProcessTable(tmp_path)
    return CgroupTree(tmp_path)


def test_a_group_of_version_2(groups: CgroupTree) -> None:
    groups.mount_v2(root_group=True)
    groups.join("0::/user.slice/job.scope")
    groups.use_v2("/sys/fs/cgroup/user.slice/job.scope", 12.5)
    scope = Cgroup(root=groups.root)
    before = scope.read()
    groups.use_v2("/sys/fs/cgroup/user.slice/job.scope", 14.000001)

    assert spent_s(scope, before) == pytest.approx(1.500001, abs=1e-9)
    assert before.scope_u_s == 0, "microseconds, no ticks"


def test_a_group_of_version_1(groups: CgroupTree) -> None:
    groups.mount_v1(root_group=True)
    groups.mount_v1(point="/sys/fs/cgroup/memory", controllers="memory")
    groups.join("5:memory:/elsewhere", "3:cpu,cpuacct:/job")
    groups.use_v1("/sys/fs/cgroup/cpu,cpuacct/job", 3)

    assert Cgroup(root=groups.root).read().scope_s == pytest.approx(3)


def test_a_container_that_sees_its_own_group_as_the_root(groups: CgroupTree) -> None:
    """A private cgroup name space: the path is ``/``, and the folder is no root group."""
    groups.mount_v2()
    groups.join("0::/")
    groups.use_v2("/sys/fs/cgroup", 7)

    assert Cgroup(root=groups.root).read().scope_s == 7


def test_a_container_whose_mount_shows_only_its_own_group(groups: CgroupTree) -> None:
    """Version 1 without a name space: the path is the host's, and the mount begins below it."""
    groups.mount_v1(source="/docker/0123")
    groups.join("3:cpu,cpuacct:/docker/0123")
    groups.use_v1("/sys/fs/cgroup/cpu,cpuacct", 5)

    scope = Cgroup(root=groups.root)
    assert scope.read().scope_s == 5
    assert scope.file == groups.root / "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage"


def test_where_both_versions_are_mounted_the_one_that_has_the_controller_goes_first(groups: CgroupTree) -> None:
    groups.mount_v1(root_group=True)
    groups.mount_v2(point="/sys/fs/cgroup/unified", root_group=True)
    groups.join("3:cpu,cpuacct:/docker/0123", "0::/system.slice/docker.service")
    groups.use_v1("/sys/fs/cgroup/cpu,cpuacct/docker/0123", 5)
    groups.use_v2("/sys/fs/cgroup/unified/system.slice/docker.service", 50)

    assert Cgroup(root=groups.root).read().scope_s == 5


def test_mount_points_with_blanks_are_found(groups: CgroupTree) -> None:
    groups.mount_v2(point="/my\\040groups", root_group=True)
    groups.join("0::/job")
    groups.use_v2("/my groups/job", 4)

    assert Cgroup(root=groups.root).read().scope_s == 4


def test_the_root_group_is_the_whole_machine_and_is_refused(groups: CgroupTree) -> None:
    groups.mount_v1(root_group=True)
    groups.use_v1("/sys/fs/cgroup/cpu,cpuacct", 9)
    groups.mount_v2(point="/sys/fs/cgroup/unified", root_group=True)
    groups.use_v2("/sys/fs/cgroup/unified", 9)
    groups.join("3:cpu,cpuacct:/", "0::/")

    with pytest.raises(SensorUnavailable, match="unified is the root group, the whole machine"):
        Cgroup(root=groups.root)


def test_a_machine_without_control_groups_says_what_to_do(groups: CgroupTree) -> None:
    groups.join("0::/")
    with pytest.raises(SensorUnavailable, match="attribution by process"):
        Cgroup(root=groups.root)


def test_a_group_outside_of_the_name_space_is_named(groups: CgroupTree) -> None:
    groups.mount_v2()
    groups.join("0::/../other")
    with pytest.raises(SensorUnavailable, match=r"/\.\./other lies outside"):
        Cgroup(root=groups.root)


def test_a_group_that_is_removed_is_an_error_with_a_name(groups: CgroupTree) -> None:
    groups.mount_v2(root_group=True)
    groups.join("0::/job")
    groups.use_v2("/sys/fs/cgroup/job", 1)
    scope = Cgroup(root=groups.root)
    scope.file.unlink()

    with pytest.raises(SensorUnavailable, match="No such file"):
        scope.read()


def test_a_machine_time_that_a_container_fakes_is_refused(groups: CgroupTree) -> None:
    """lxcfs shows only the container's own time: everybody's share would be 1."""
    groups.mount_over("/proc/stat", "fuse.lxcfs")
    with pytest.raises(SensorUnavailable, match="lxcfs"):
        WholeMachine(root=groups.root)


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="needs Linux")
def test_this_machine_has_a_group_or_says_why_not() -> None:
    try:
        scope = Cgroup()
    except SensorUnavailable as error:
        said = str(error)
    else:
        said = f"the group has spent {scope.read().scope_s} s"
    assert "group" in said


# --- Shares ---------------------------------------------------------------------------------------


def times(scope_s: float, busy_s: float, capacity_s: float, *, u_s: float = 0.0, policy: str = "process") -> CpuTime:
    return CpuTime(
        policy=policy,  # type: ignore[arg-type]
        scope_s=scope_s,
        machine_busy_s=busy_s,
        machine_capacity_s=capacity_s,
        scope_u_s=u_s,
        busy_u_s=u_s,
    )


def test_a_share_is_of_busy_time_and_knows_how_busy_the_machine_was() -> None:
    found = share(times(10, 100, 1000), times(13, 104, 1016))

    assert found.of_busy == pytest.approx(0.75)
    assert found.busy_of_capacity == pytest.approx(0.25)
    assert found.of_capacity == pytest.approx(3 / 16)


def test_ticks_are_the_uncertainty_of_short_windows() -> None:
    short = share(times(0, 0, 0, u_s=0.003), times(0.05, 0.1, 0.4, u_s=0.003))
    long = share(times(0, 0, 0, u_s=0.003), times(50, 100, 400, u_s=0.003))

    assert short.uncertainty == pytest.approx(math.hypot(0.003, 0.5 * 0.003) * math.sqrt(2) / 0.1)
    assert long.uncertainty == pytest.approx(short.uncertainty / 1000)


def test_two_clocks_that_disagree_widen_the_share_that_cannot_pass_1() -> None:
    found = share(times(0, 0, 0), times(1.3, 1, 4))
    assert found.of_busy == 1
    assert found.uncertainty == pytest.approx(0.3)


def test_a_window_without_a_busy_tick_has_no_share() -> None:
    assert math.isnan(share(times(0, 5, 5), times(0, 5, 5.01)).of_busy)


def test_time_that_runs_backwards_is_a_reset() -> None:
    with pytest.raises(CounterReset):
        share(times(5, 5, 5), times(1, 6, 6))


def test_the_whole_machine_has_all_of_it(tmp_path: Path) -> None:
    table = ProcessTable(tmp_path)
    scope = WholeMachine(root=tmp_path)
    before = scope.read()
    table.machine.spend(user=1, system=0.5, irq=0.25, softirq=0.25, idle=5, iowait=0.5, steal=0.5)
    found = share(before, scope.read())

    assert (found.of_busy, found.uncertainty) == (1, 0)
    assert found.busy_of_capacity == pytest.approx(2 / 8)


# --- Energy ---------------------------------------------------------------------------------------

GAIN = "gain of rapl:cpu-0 (s)"


def figure(value: float, unit: str, *, gain: float = 0.0, boundary: Boundary = CPU) -> Figure:
    errors = (Error(GAIN, gain * value),) if gain else ()
    return Figure(
        value=value, unit=unit, boundary=boundary, errors=errors, parts=(Part("cpu-0", value, Kind.MEASURED),)
    )


def part_of(
    energy: Figure, of: Share, *, idle_w: Figure | None = None, idle: IdlePolicy = "none", workload: str = "w"
) -> Attributed:
    return attribute(energy, of, duration_s=10, workload=workload, window="s@0+10", idle_power=idle_w, idle=idle)


def a_share(of_busy: float, busy_of_capacity: float = 0.5, *, uncertainty: float = 0.0) -> Share:
    return Share(policy="process", of_busy=of_busy, busy_of_capacity=busy_of_capacity, uncertainty=uncertainty)


def test_active_energy_is_the_scope_s_share_of_what_is_above_idle() -> None:
    found = part_of(figure(1000, "J"), a_share(0.25), idle_w=figure(40, "W"))

    assert found.active.value == pytest.approx(0.25 * 600)
    assert found.active.boundary == replace(CPU, idle="net", attribution="process")
    assert found.idle_part.value == 0
    assert found.whole is found.active


def test_all_scopes_together_have_what_the_machine_drew_above_idle() -> None:
    parts = [part_of(figure(1000, "J"), a_share(s), idle_w=figure(40, "W"), workload=str(s)) for s in (0.2, 0.3, 0.5)]
    assert total(p.active for p in parts).value == pytest.approx(600)


def test_idle_by_time_is_what_was_occupied_of_the_machine_not_of_its_busy_time() -> None:
    found = part_of(figure(1000, "J"), a_share(0.25, 0.5), idle_w=figure(40, "W"), idle="by-time")

    assert found.idle_part.value == pytest.approx(400 * 0.25 * 0.5)
    assert found.whole.value == pytest.approx(150 + 50)
    assert found.whole.boundary == replace(CPU, attribution="process")
    assert found.whole.boundary.idle == "gross"


def test_it_is_never_the_gross_energy_times_the_load() -> None:
    """On a machine that is half busy with this scope alone, the scope has all of the energy above idle."""
    found = part_of(figure(1000, "J"), a_share(1.0, 0.5), idle_w=figure(40, "W"))
    assert found.active.value == pytest.approx(600)


def test_without_idle_power_the_boundary_stays_gross_and_says_what_is_in_it() -> None:
    found = part_of(figure(1000, "J"), a_share(0.25))

    assert found.active.value == pytest.approx(250)
    assert found.active.boundary.idle == "gross"
    assert "idle power was not measured" in str(found.idle_part)
    assert found.whole is found.active


def test_cpu_time_of_others_may_be_worth_more_and_what_ran_alone_is_known() -> None:
    half = part_of(figure(600, "J"), a_share(0.5)).active
    alone = part_of(figure(600, "J"), a_share(1.0)).active

    assert half.standard_uncertainty == pytest.approx(WORTH_OF_CPU_TIME * 0.5 * half.value)
    assert alone.standard_uncertainty == 0
    assert {s.name for s in half.sources} == {"Energy-aware process scheduling in Linux", "METRION"}


def test_half_the_cpu_time_at_half_again_the_energy_is_within_the_interval() -> None:
    """The case of Qiao et al.: equal CPU time, energies 1 to 1.5."""
    half = part_of(figure(250, "J"), a_share(0.5)).active
    assert half.low < 100 < 150 < half.high


def test_windows_of_one_workload_share_the_worth_of_its_cpu_time() -> None:
    first, second = (part_of(figure(600, "J"), a_share(0.5), workload=w).active for w in ("a", "a"))
    other = part_of(figure(600, "J"), a_share(0.5), workload="b").active

    assert total([first, second]).standard_uncertainty == pytest.approx(2 * first.standard_uncertainty)
    assert total([first, other]).standard_uncertainty == pytest.approx(math.sqrt(2) * first.standard_uncertainty)


def test_ticks_and_gain_go_into_the_interval() -> None:
    found = part_of(figure(600, "J", gain=0.05), a_share(1.0, uncertainty=0.1)).active
    assert found.standard_uncertainty == pytest.approx(600 * math.hypot(0.05, 0.1))


def test_what_was_measured_of_the_machine_is_modelled_of_a_scope() -> None:
    assert part_of(figure(600, "J"), a_share(0.5)).active.evidence.kind is Kind.MODELLED
    whole = Share(policy="machine", of_busy=1, busy_of_capacity=0.5, uncertainty=0)
    assert part_of(figure(600, "J"), whole).active.evidence.kind is Kind.MEASURED


def test_a_gpu_s_energy_is_not_split_by_cpu_time() -> None:
    with pytest.raises(UsageError, match="nothing about a GPU"):
        part_of(figure(600, "J", boundary=Boundary.of(["cpu", "gpu"])), a_share(0.5))


def test_a_window_without_a_share_is_unavailable_never_zero() -> None:
    found = part_of(figure(600, "J"), a_share(math.nan, uncertainty=math.nan), idle_w=figure(40, "W"), idle="by-time")

    assert not found.active.available
    assert not found.idle_part.available
    assert "no CPU time was counted in 10 s" in str(found.active)
    assert [p.name for p in found.active.evidence.missing] == ["cpu-0"]


def test_an_energy_that_could_not_be_read_keeps_its_reason() -> None:
    gone = Figure.unavailable("J", CPU, [Part("cpu-0", math.nan, Kind.UNAVAILABLE, "no permission")])
    assert "no permission" in str(part_of(gone, a_share(0.5), idle_w=figure(40, "W")).active)


def test_boundaries_of_different_scopes_do_not_compare() -> None:
    process, machine = replace(CPU, attribution="process"), CPU
    assert process.differences(machine) == (
        "energy of one process tree against energy of the whole machine: attribute both in the same way",
    )
    assert str(process) == "CPU; all devices; idle included; the part of one process tree"
    with pytest.raises(ValueError, match="attribute both"):
        process | machine
