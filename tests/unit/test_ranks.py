"""Ranks of one job on one node count the node once, whatever launched them."""

from __future__ import annotations

from pathlib import Path

import pytest

from joulemark.errors import UsageError
from joulemark.meter.ranks import Job, job, node_id

TORCHRUN = {"RANK": "6", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1", "WORLD_SIZE": "8"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
    "OMPI_COMM_WORLD_NODE_RANK": "1",  # across all jobs of the node: not the number of the node
}
SLURM = {
    "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "4(x3)",
    "SLURM_NTASKS_PER_NODE": "4",
}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (TORCHRUN, Job(rank=6, local_rank=2, local_size=4, node=1, source="torchrun")),
        (OPEN_MPI, Job(rank=5, local_rank=1, local_size=4, source="Open MPI")),
        (
            {"MV2_COMM_WORLD_RANK": "3", "MV2_COMM_WORLD_LOCAL_RANK": "3", "MV2_COMM_WORLD_LOCAL_SIZE": "4"},
            Job(rank=3, local_rank=3, local_size=4, source="MVAPICH2"),
        ),
        (
            {"PMI_RANK": "4", "PMI_SIZE": "5", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"},
            Job(rank=4, local_rank=1, local_size=2, source="Hydra"),
        ),
        (
            {"PMI_RANK": "7", "PMI_LOCAL_RANK": "3", "PMI_LOCAL_SIZE": "4"},
            Job(rank=7, local_rank=3, local_size=4, source="PMI"),
        ),
        (SLURM, Job(rank=9, local_rank=1, local_size=4, node=2, source="Slurm")),
    ],
    ids=lambda value: value.source if isinstance(value, Job) else "",
)
def test_each_launcher_s_variables_are_understood(environ: dict[str, str], expected: Job) -> None:
    assert job(environ) == expected


def test_a_process_that_nobody_launched_counts_its_node() -> None:
    assert job({"HOME": "/", "RANK": "3", "PMI_RANK": ""}) == Job()
    assert job({}).counts_node
    assert str(job({})) == "no job"


def test_only_local_rank_0_counts_the_node_and_the_others_say_who_covers_them() -> None:
    first, third = job({**TORCHRUN, "RANK": "4", "LOCAL_RANK": "0"}), job(TORCHRUN)

    assert first.counts_node
    assert not third.counts_node
    assert str(first) == "local rank 0 of 4 (torchrun)"
    assert str(third) == "local rank 2 of 4 (torchrun), covered by local rank 0"


def test_a_local_rank_alone_is_enough() -> None:
    assert job({"LOCAL_RANK": "1"}) == Job(local_rank=1, source="torchrun")


def test_torchrun_within_slurm_is_asked_first_and_their_difference_is_no_contradiction() -> None:
    outer = {"SLURM_PROCID": "1", "SLURM_LOCALID": "0", "SLURM_NODEID": "1"}
    assert job({**outer, **TORCHRUN}).local_rank == 2


def test_mpi_within_a_batch_script_of_slurm_is_asked_first() -> None:
    assert job({**SLURM, "SLURM_LOCALID": "0", "SLURM_PROCID": "0", **OPEN_MPI}).local_rank == 1


@pytest.mark.parametrize("text", ["x", "-1", "1.0", " 1", "²", "0x1"])
def test_a_value_that_is_no_number_is_named_with_its_variable(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        job({**TORCHRUN, "LOCAL_RANK": text})
    assert "LOCAL_RANK" in str(caught.value)
    assert repr(text) in str(caught.value)


def test_every_variable_that_is_read_is_checked() -> None:
    for name in ("RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK"):
        with pytest.raises(UsageError, match=f"{name} is 'many'"):
            job({**TORCHRUN, name: "many"})


def test_a_local_rank_beyond_its_size_is_a_contradiction() -> None:
    with pytest.raises(UsageError, match="LOCAL_RANK=2 and LOCAL_WORLD_SIZE=2 contradict"):
        job({**TORCHRUN, "LOCAL_WORLD_SIZE": "2"})


def test_a_rank_below_its_local_rank_is_a_contradiction() -> None:
    with pytest.raises(UsageError, match="OMPI_COMM_WORLD_RANK=0 and OMPI_COMM_WORLD_LOCAL_RANK=1"):
        job({**OPEN_MPI, "OMPI_COMM_WORLD_RANK": "0"})


@pytest.mark.parametrize(
    ("step", "asked", "size"),
    [
        ("4(x3)", "8", 4),
        ("2", "", 2),
        ("4(x2),3", "4", 4),  # which node is ours it does not say
        ("4(x2),3", "", None),
        ("", "1", None),  # asked of the batch job, not of this step
    ],
)
def test_slurm_s_number_of_tasks_is_what_the_step_has(step: str, asked: str, size: int | None) -> None:
    environ = {**SLURM, "SLURM_STEP_TASKS_PER_NODE": step, "SLURM_NTASKS_PER_NODE": asked}
    assert job(environ).local_size == size


def test_a_node_is_named_by_its_boot_and_by_nothing_that_names_its_owner(tmp_path: Path) -> None:
    place = tmp_path / "proc/sys/kernel/random/boot_id"
    place.parent.mkdir(parents=True)
    place.write_text("fce6b469-0ce9-45d8-99c2-bf68e3a849a2\n")
    first = node_id(tmp_path)
    place.write_text("0ce9b469-fce6-45d8-99c2-bf68e3a849a2\n")

    assert first is not None
    assert len(first) == 64
    assert "fce6b469" not in first
    assert node_id(tmp_path) not in {first, None}


def test_a_machine_without_a_boot_id_has_no_name(tmp_path: Path) -> None:
    assert node_id(tmp_path) is None
