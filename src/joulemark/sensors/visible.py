"""Which GPUs programs of this process may use: ``CUDA_VISIBLE_DEVICES`` and its like, read as the runtimes read them.

Management libraries (NVML, AMD SMI) show every GPU of the machine, whatever these variables say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Device", "Selection", "cuda_visible", "hip_visible"]


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU as the management library shows it; its place in the sequence is its index there.

    Attributes:
        uuid: ``GPU-`` and hexadecimal digits; empty where the driver does not tell.
        model: its name.
    """

    uuid: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The GPUs that are visible.

    Attributes:
        indices: their places among the devices.
        doubt: why the mapping is unsure; empty if it is not.
    """

    indices: frozenset[int]
    doubt: str = ""


def cuda_visible(
    environ: Mapping[str, str],
    devices: Sequence[Device],
    board_of_mig: Callable[[str], str | None] = lambda uuid: None,
) -> Selection:
    """Read ``CUDA_VISIBLE_DEVICES``.

    Rules (CUDA C++ Programming Guide, "CUDA Environment Variables"): indices, UUIDs or unique beginnings of UUIDs,
    MIG instances; unset shows all devices, empty shows none, and whatever stands behind the first invalid entry is
    ignored. Where the guide is silent we do as PyTorch does (``torch.cuda._parse_visible_devices``): the form of the
    first entry is that of all, and an entry that comes twice shows none.

    A MIG instance makes its whole board visible, for power is measured by board. CUDA itself uses one instance only
    (NVIDIA MIG User Guide, "CUDA Device Enumeration").

    Args:
        environ: the variables.
        devices: all GPUs, in the order of their PCI bus numbers, which is NVML's.
        board_of_mig: gives the UUID of the board that a MIG instance, named by its UUID, lies on; None if there is
            no such instance.
    """
    text = environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return _all(devices)
    entries = [entry.strip() for entry in text.split(",")]
    if entries[0].startswith("MIG-"):
        return Selection(_until_invalid(entries, lambda entry: _mig_board(entry, devices, board_of_mig)))
    if entries[0].startswith("GPU-"):
        return Selection(_until_invalid(entries, lambda entry: _by_uuid(entry, devices)))
    found = _until_invalid(entries, lambda entry: _by_index(entry, len(devices)))
    return Selection(found, _doubt(environ, devices) if found else "")


def hip_visible(environ: Mapping[str, str], devices: Sequence[Device]) -> Selection:
    """Read ``ROCR_VISIBLE_DEVICES`` and then, within what it leaves, ``HIP_VISIBLE_DEVICES``.

    Rules (ROCm documentation, "GPU isolation techniques", and the runtimes' sources): ROCR takes indices and UUIDs or
    their unique beginnings, and an empty value shows none (ROCR-Runtime, ``RvdFilter``). HIP's indices count what
    ROCR shows, ``CUDA_VISIBLE_DEVICES`` stands in for an unset ``HIP_VISIBLE_DEVICES``, and an empty value is as good
    as none (ROCclr, ``Device::init``). Whatever stands behind the first invalid entry is ignored.

    Args:
        environ: the variables.
        devices: all GPUs, in the order in which HIP counts them.
    """
    order = list(range(len(devices)))
    rocr = environ.get("ROCR_VISIBLE_DEVICES")
    if rocr is not None:
        order = _ordered(rocr, lambda entry: _by_uuid(entry, devices) if entry[:1] == "G" else _plain(entry, order))
    hip = environ.get("HIP_VISIBLE_DEVICES") or environ.get("CUDA_VISIBLE_DEVICES")
    if hip:
        shown = [devices[index] for index in order]
        places = _ordered(hip, lambda entry: _by_uuid(entry, shown) if entry[:1] == "G" else _plain(entry, shown))
        order = [order[place] for place in places]
    return Selection(frozenset(order))


def _all(devices: Sequence[Device]) -> Selection:
    return Selection(frozenset(range(len(devices))))


def _ordered(text: str, find: Callable[[str], int | None]) -> list[int]:
    """Give what the entries name, each once, up to the first that names nothing."""
    found: list[int] = []
    for entry in text.split(","):
        place = find(entry.strip())
        if place is None:
            break
        if place not in found:
            found.append(place)
    return found


def _until_invalid(entries: Sequence[str], find: Callable[[str], int | None]) -> frozenset[int]:
    """Give what the entries name, up to the first that names nothing; nothing at all if one of these comes twice."""
    found: dict[str, int] = {}
    for entry in entries:
        if entry in found:
            return frozenset()
        place = find(entry)
        if place is None:
            break
        found[entry] = place
    return frozenset(found.values())


def _by_index(entry: str, count: int) -> int | None:
    """Read an index as C's ``strtoul`` does: the digits that it begins with."""
    digits = re.match(r"\+?(\d+)", entry)
    return int(digits[1]) if digits and int(digits[1]) < count else None


def _plain(entry: str, among: Sequence[object]) -> int | None:
    """Read an index that is a number and nothing else."""
    return int(entry) if re.fullmatch(r"\d+", entry) and int(entry) < len(among) else None


def _by_uuid(entry: str, devices: Sequence[Device]) -> int | None:
    """Find the one device whose UUID begins like this."""
    if not entry.startswith("GPU-") or entry == "GPU-":
        return None
    matching = [index for index, device in enumerate(devices) if device.uuid.startswith(entry)]
    return matching[0] if len(matching) == 1 else None


def _mig_board(entry: str, devices: Sequence[Device], board_of_mig: Callable[[str], str | None]) -> int | None:
    """Find the board of a MIG instance: ``MIG-<uuid>``, or ``MIG-GPU-<uuid>/<gi>/<ci>`` of drivers before R470."""
    older = re.fullmatch(r"MIG-(GPU-[^/]+)/\d+/\d+", entry)
    if older:
        return _by_uuid(older[1], devices)
    board = board_of_mig(entry) if re.fullmatch(r"MIG-[^/]+", entry) else None
    return None if board is None else _by_uuid(board, devices)


def _doubt(environ: Mapping[str, str], devices: Sequence[Device]) -> str:
    """Say whether CUDA may count the devices in another order than NVML does."""
    if environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({device.model for device in devices}) <= 1:
        return ""
    return (
        "unsure: CUDA counts the fastest GPU first, and these are of several models; "
        "set CUDA_DEVICE_ORDER=PCI_BUS_ID or name GPUs by their UUID"
    )
