"""A ``/proc`` of processes that fork, spend, end and are waited for, and the control groups they are in."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulated.procfs import TICK_S, Procfs

__all__ = ["CgroupTree", "ProcessTable"]


@dataclass
class _Entry:
    pid: int
    parent: int
    start: int
    name: str
    threads: tuple[int, ...]
    user_s: float = 0.0
    system_s: float = 0.0
    waited_user_s: float = 0.0
    waited_system_s: float = 0.0
    state: str = "S"
    children: dict[int, list[int]] = field(default_factory=dict)


class ProcessTable:
    """Processes under ``proc`` of a root, as Linux shows them.

    Args:
        root: what stands for ``/``.
        lists_children: whether the kernel has CONFIG_PROC_CHILDREN.
        cpus: number of processors.
    """

    def __init__(self, root: Path, *, lists_children: bool = True, cpus: int = 4) -> None:
        self.root = root
        self.machine = Procfs(root / "proc", threads=cpus)
        self._lists_children = lists_children
        self._entries: dict[int, _Entry] = {}
        self._starts = 0
        self.fork(1, parent=0, name="init")

    def fork(
        self, pid: int, *, parent: int, name: str = "python", by_thread: int | None = None, threads: int = 1
    ) -> None:
        """Let a process come to life, forked by a thread of its parent."""
        self._starts += 100
        self._entries[pid] = _Entry(pid, parent, self._starts, name, tuple(range(pid, pid + threads)))
        if parent in self._entries:
            self._entries[parent].children.setdefault(by_thread or parent, []).append(pid)
            self._write(parent)
        self._write(pid)

    def spend(self, pid: int, *, user: float = 0.0, system: float = 0.0) -> None:
        """Let a process use CPU time, in seconds; the machine is as busy."""
        self._entries[pid].user_s += user
        self._entries[pid].system_s += system
        self.machine.spend(user=user, system=system)
        self._write(pid)

    def end(self, pid: int) -> None:
        """Let a process end: it stays as a zombie, and its children go to init."""
        entry = self._entries[pid]
        entry.state = "Z"
        for child in [c for children in entry.children.values() for c in children]:
            self._entries[child].parent = 1
            self._entries[1].children.setdefault(1, []).append(child)
            self._write(child)
        entry.children.clear()
        self._write(1)
        self._write(pid)

    def wait(self, pid: int) -> None:
        """Let the parent wait for a process that has ended: its time goes into the parent's line."""
        entry = self._entries[pid]
        parent = self._entries[entry.parent]
        parent.waited_user_s += entry.user_s + entry.waited_user_s
        parent.waited_system_s += entry.system_s + entry.waited_system_s
        self.vanish(pid)

    def vanish(self, pid: int) -> None:
        """Let a process that has ended go without anybody waiting for it: its parent ignores SIGCHLD."""
        entry = self._entries.pop(pid)
        shutil.rmtree(self.root / "proc" / str(pid))
        for children in self._entries[entry.parent].children.values():
            if pid in children:
                children.remove(pid)
        self._write(entry.parent)

    def _write(self, pid: int) -> None:
        entry = self._entries[pid]
        folder = self.root / "proc" / str(pid)
        times = (entry.user_s, entry.system_s, entry.waited_user_s, entry.waited_system_s)
        ticks = " ".join(str(int(t / TICK_S + 1e-6)) for t in times)  # the kernel cuts off
        line = f"{pid} ({entry.name}) {entry.state} {entry.parent} 1 1 0 -1 4194304 9 9 9 9 {ticks} 20 0"
        line += f" {len(entry.threads)} 0 {entry.start} 3133440 390 18446744073709551615 1 1 0 0 0\n"
        for thread in entry.threads:
            (folder / "task" / str(thread)).mkdir(parents=True, exist_ok=True)
            if self._lists_children:
                children = entry.children.get(thread, [])
                (folder / "task" / str(thread) / "children").write_text("".join(f"{c} " for c in children))
        (folder / "stat").write_text(line)


class CgroupTree:
    """Mounted control groups, and the one that this process is in.

    Args:
        root: what stands for ``/``; its ``proc/self`` is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._self = root / "proc/self"
        self._self.mkdir(parents=True, exist_ok=True)
        self._mounts = ["23 1 254:0 / / rw,relatime - ext4 /dev/root rw"]
        self._memberships: list[str] = []
        self._points: set[str] = set()
        self._write()

    def mount_v2(self, *, point: str = "/sys/fs/cgroup", source: str = "/", root_group: bool = False) -> None:
        """Mount version 2; `source` is the part of the hierarchy that is shown."""
        self._mount(f"31 23 0:28 {source} {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate")
        self._points.add(point)
        if not root_group:
            (self._folder(point) / "cgroup.type").write_text("domain\n")

    def mount_v1(
        self,
        *,
        point: str = "/sys/fs/cgroup/cpu,cpuacct",
        source: str = "/",
        controllers: str = "cpu,cpuacct",
        root_group: bool = False,
    ) -> None:
        """Mount a hierarchy of version 1 with some controllers."""
        self._mount(f"33 23 0:30 {source} {point} rw,nosuid - cgroup cgroup rw,{controllers}")
        self._folder(point)
        if root_group:
            (self._folder(point) / "release_agent").write_text("\n")

    def join(self, *memberships: str) -> None:
        """Set the lines of ``/proc/self/cgroup``, such as ``0::/user.slice``."""
        self._memberships = list(memberships)
        self._write()

    def mount_over(self, point: str, kind: str) -> None:
        """Mount another file system, such as lxcfs over ``/proc/stat``."""
        self._mount(f"99 23 0:77 {point} {point} rw,nosuid - {kind} {kind} rw")

    def use_v2(self, folder: str, seconds: float) -> None:
        """Set the CPU time of a group by its folder."""
        place = self._folder(folder)
        if folder not in self._points:
            (place / "cgroup.type").write_text("domain\n")
        (place / "cpu.stat").write_text(f"usage_usec {round(seconds * 1e6)}\nuser_usec 1\nsystem_usec 1\n")

    def use_v1(self, folder: str, seconds: float) -> None:
        """Set the CPU time of a group by its folder."""
        (self._folder(folder) / "cpuacct.usage").write_text(f"{round(seconds * 1e9)}\n")

    def _mount(self, line: str) -> None:
        self._mounts.append(line)
        self._write()

    def _folder(self, path: str) -> Path:
        folder = self.root / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write(self) -> None:
        _lines(self._self / "mountinfo", self._mounts)
        _lines(self._self / "cgroup", self._memberships)


def _lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
