"""Which process of a job this is, so that the ranks of one node do not each count the node.

Launchers tell a process its place in environment variables:

- torchrun: ``RANK``, ``LOCAL_RANK``, ``LOCAL_WORLD_SIZE``, ``GROUP_RANK`` (PyTorch, torch.distributed.run, "Environment
  Variables"; GROUP_RANK is the node's rank where each node runs one group of workers, as is usual);
- Open MPI: ``OMPI_COMM_WORLD_RANK``, ``..._LOCAL_RANK``, ``..._LOCAL_SIZE`` (Open MPI 5.0 documentation, 11.1);
- MVAPICH2: ``MV2_COMM_WORLD_RANK``, ``..._LOCAL_RANK``, ``..._LOCAL_SIZE`` (MVAPICH2 user guide, mpirun_rsh);
- MPICH's Hydra, which is Intel MPI's too: ``PMI_RANK``, ``MPI_LOCALRANKID``, ``MPI_LOCALNRANKS`` (set by Hydra's proxy;
  we found them in no manual, only in the programs that read them, such as libfabric's psm3 provider);
- HPE Cray: ``PMI_RANK``, ``PMI_LOCAL_RANK``, ``PMI_LOCAL_SIZE`` (likewise: as jobs on such machines read them);
- Slurm: ``SLURM_PROCID``, ``SLURM_LOCALID``, ``SLURM_NODEID``, ``SLURM_STEP_TASKS_PER_NODE``,
  ``SLURM_NTASKS_PER_NODE`` (srun(1), "OUTPUT ENVIRONMENT VARIABLES").

Launchers nest: ``srun`` starts one ``torchrun`` a node, which starts the workers; a batch script of Slurm, itself task
0, starts ``mpirun``. The inner one knows the process, so torchrun goes before MPI, and MPI before Slurm; that they
differ is no contradiction.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from joulemark.errors import UsageError

__all__ = ["Job", "job", "node_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A process's place in a job.

    Attributes:
        rank: among all processes of the job; None if the launcher does not say.
        local_rank: among those on this node.
        local_size: how many there are on this node; None if the launcher does not say.
        node: number of the node in the job; None if the launcher does not say.
        source: the launcher; empty for a process that none started.
    """

    rank: int | None = None
    local_rank: int = 0
    local_size: int | None = None
    node: int | None = None
    source: str = ""

    @property
    def counts_node(self) -> bool:
        """Whether this process counts what all of its node share; the others are covered by local rank 0."""
        return self.local_rank == 0

    def __str__(self) -> str:
        if not self.source:
            return "no job"
        of = "" if self.local_size is None else f" of {self.local_size}"
        covered = "" if self.counts_node else ", covered by local rank 0"
        return f"local rank {self.local_rank}{of} ({self.source}){covered}"


@dataclass(frozen=True, slots=True)
class _Launcher:
    """The variables of one launcher, in the order of `Job`; empty for what it does not tell."""

    name: str
    rank: str
    local_rank: str
    local_size: str = ""
    node: str = ""


_LAUNCHERS = (
    _Launcher("torchrun", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK"),
    _Launcher("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    _Launcher("MVAPICH2", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    _Launcher("Hydra", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    _Launcher("PMI", "PMI_RANK", "PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"),
    _Launcher("Slurm", "SLURM_PROCID", "SLURM_LOCALID", "", "SLURM_NODEID"),
)


def job(environ: Mapping[str, str] = os.environ) -> Job:
    """Find out which process of a job this is.

    Args:
        environ: the environment variables.

    Raises:
        UsageError: if a variable holds no number, or two of one launcher contradict each other; names them.
    """
    launcher = next((known for known in _LAUNCHERS if environ.get(known.local_rank)), None)
    if launcher is None:
        return Job()
    local_rank = _number(environ, launcher.local_rank)
    assert local_rank is not None  # noqa: S101 - it was looked for above
    rank = _number(environ, launcher.rank)
    if rank is not None and rank < local_rank:
        raise _contradiction(environ, launcher.rank, launcher.local_rank, "a rank is never below its local rank")
    if launcher.name == "Slurm":
        local_size = _slurm_size(environ, local_rank)
    else:
        local_size = _number(environ, launcher.local_size)
        if local_size is not None and local_rank >= local_size:
            raise _contradiction(environ, launcher.local_rank, launcher.local_size, "local ranks begin at 0")
    node = _number(environ, launcher.node) if launcher.node else None
    return Job(rank=rank, local_rank=local_rank, local_size=local_size, node=node, source=launcher.name)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"The environment variable {name} is {text!r}; it should be a whole number, 0 or more.")
    return int(text)


def _contradiction(environ: Mapping[str, str], first: str, second: str, why: str) -> UsageError:
    return UsageError(
        f"The environment variables {first}={environ[first]} and {second}={environ[second]} contradict each other: "
        f"{why}. One of them may be left over from another launcher; unset it."
    )


def _slurm_size(environ: Mapping[str, str], local_rank: int) -> int | None:
    """Give the number of tasks on this node, where all nodes have as many.

    ``SLURM_STEP_TASKS_PER_NODE`` is what the step has, such as ``4(x2)``; nodes with other numbers are listed with
    commas, and which one is ours it does not say. ``SLURM_NTASKS_PER_NODE`` is only what was asked for, perhaps of the
    whole job and not of this step: one that does not fit is no contradiction.
    """
    step = re.fullmatch(r"(\d+)(\(x\d+\))?", environ.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if step is not None and int(step[1]) > local_rank:
        return int(step[1])
    asked = _number(environ, "SLURM_NTASKS_PER_NODE")
    return asked if asked is not None and asked > local_rank else None


def node_id(root: Path = Path("/")) -> str | None:
    """Give a name for this machine that tells it from others until its next boot, and names nobody.

    SHA-256 of the kernel's ``boot_id``, a random number drawn at every boot (random(4)); containers on one machine
    have the same. None where there is none.

    Args:
        root: the file system that holds ``/proc``.
    """
    try:
        boot = (root / "proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return None
    return hashlib.sha256(b"joulemark node " + boot).hexdigest() if boot else None
