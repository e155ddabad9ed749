"""Which GPUs the variables of the CUDA and HIP runtimes leave visible."""

from __future__ import annotations

import pytest

from joulemark.sensors.visible import Device, cuda_visible, hip_visible

A = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
B = "GPU-8a0c11d2-0a5b-4c8e-9d5c-6f2a1e0b7c3d"
C = "GPU-1f22b7e0-5d2e-4c55-8b8f-9a0d3c4b5e6f"
MIG = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"

FOUR = [Device(f"GPU-{n}0000000", "one model") for n in range(4)]
THREE = [Device(A, "one model"), Device(B, "one model"), Device(C, "one model")]


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("2,1", {2, 1}),
        ("0,2,-1,1", {0, 2}),  # the guide's own example
        ("", set()),
        ("-1", set()),
        ("0,9,1", {0}),
        ("0,none,1", {0}),
        (" 1 , 3 ", {1, 3}),
        ("1gpu2,2ampere", {1, 2}),
        ("0,1,0", set()),
        ("NoDevFiles", set()),
    ],
)
def test_cuda_indices_count_up_to_the_first_invalid_one(text: str, visible: set[int]) -> None:
    assert cuda_visible({"CUDA_VISIBLE_DEVICES": text}, FOUR).indices == visible


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        (A, {0}),
        (f"{C},{A}", {2, 0}),
        ("GPU-8932f937", {0}),
        ("GPU-89,GPU-1", {0, 2}),
        ("GPU-8", set()),  # two begin so
        ("GPU-1,GPU-8,GPU-89", {2}),
        ("GPU-", set()),
        (f"{A},{A}", set()),
        (f"{A},1", {0}),  # one form in one list
        (f"0,{B}", {0}),
        ("GPU-ffff", set()),
    ],
)
def test_cuda_uuids_may_be_cut_short_while_they_are_unique(text: str, visible: set[int]) -> None:
    assert cuda_visible({"CUDA_VISIBLE_DEVICES": text}, THREE).indices == visible


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        (MIG, {1}),
        ("MIG-00000000-42e4", set()),
        (f"MIG-{C}/1/0", {2}),
        (f"MIG-{C}/1", set()),
        (f"MIG-GPU-ffff/1/0,{MIG}", set()),
        (f"MIG-{A}/1/0,MIG-{A}/2/0,{MIG}", {0, 1}),
    ],
)
def test_a_mig_instance_shows_its_board(text: str, visible: set[int]) -> None:
    boards = {MIG: B}

    assert cuda_visible({"CUDA_VISIBLE_DEVICES": text}, THREE, boards.get).indices == visible


def test_without_a_variable_all_are_visible() -> None:
    assert cuda_visible({}, FOUR).indices == {0, 1, 2, 3}
    assert hip_visible({}, FOUR).indices == {0, 1, 2, 3}
    assert cuda_visible({"CUDA_VISIBLE_DEVICES": "0"}, []).indices == frozenset()


def test_indices_among_several_models_are_in_doubt_unless_the_order_is_set() -> None:
    mixed = [Device(A, "small"), Device(B, "large")]

    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in cuda_visible({"CUDA_VISIBLE_DEVICES": "0"}, mixed).doubt
    ordered = {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert not cuda_visible(ordered, mixed).doubt
    assert not cuda_visible({"CUDA_VISIBLE_DEVICES": A}, mixed).doubt
    assert not cuda_visible({"CUDA_VISIBLE_DEVICES": "0"}, THREE).doubt
    assert not cuda_visible({}, mixed).doubt
    assert not cuda_visible({"CUDA_VISIBLE_DEVICES": ""}, mixed).doubt


@pytest.mark.parametrize(
    ("variables", "visible"),
    [
        ({"ROCR_VISIBLE_DEVICES": "0,2"}, {0, 2}),
        ({"ROCR_VISIBLE_DEVICES": "1,GPU-3"}, {1, 3}),
        ({"ROCR_VISIBLE_DEVICES": "2x,0"}, set()),
        ({"ROCR_VISIBLE_DEVICES": ""}, set()),
        ({"HIP_VISIBLE_DEVICES": "1"}, {1}),
        ({"HIP_VISIBLE_DEVICES": ""}, {0, 1, 2, 3}),
        ({"HIP_VISIBLE_DEVICES": "-1"}, set()),
        ({"CUDA_VISIBLE_DEVICES": "3"}, {3}),
        ({"HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "3"}, {1}),
        ({"ROCR_VISIBLE_DEVICES": "3,1", "HIP_VISIBLE_DEVICES": "0"}, {3}),  # counted in ROCR's order
        ({"ROCR_VISIBLE_DEVICES": "3,1", "HIP_VISIBLE_DEVICES": "1,2"}, {1}),
    ],
)
def test_hip_counts_what_rocr_leaves(variables: dict[str, str], visible: set[int]) -> None:
    assert hip_visible(variables, FOUR).indices == visible
