"""NVIDIA GPUs through NVML (``nvidia-ml-py``)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain
from joulemark.sensors.visible import Device, Selection, cuda_visible

__all__ = ["NvmlSensor"]

T = TypeVar("T")

_YANG = Source(
    name="Part-time power measurements",
    citation="Yang, Adámek, Armour, SC'24, doi:10.1109/SC41406.2024.00028 (arXiv:2312.02741): steady-state error "
    "proportional, about ±5 %, different from board to board; readings updated every 20 to 100 ms",
)
_UNTIMED = Source(
    name="Assumption of Joulemark",
    citation="nothing is published on how this GPU's sensor samples: taken to be as that of the H100, which shows 25 "
    "of every 100 ms",
)
_PARTS = Source(
    name="NVML API Reference, Field Value Enums",
    citation="NVML_FI_DEV_POWER_AVERAGE and _INSTANT with a scope, in milliwatts; the width of ±10 % is an assumption "
    "of ours: nothing is published",
)

_GAIN = 0.05 / 1.96
"""±5 % (Yang et al.) taken as a 95 % width."""

_PARTS_GAIN = 0.10 / 1.96

_COUNTER_PERIOD_S = 0.1
"""The counter moves about every 100 ms (ML.ENERGY, "Measuring GPU energy: best practices")."""

_LOOKS_AWAY = math.log(1 / 0.3) / 1.96
"""Relative error of a gauge that sees a part of the time only.

Energy from its readings is off by 39 % in the mean and by about 70 % at worst (Yang et al.): where it shows 30 % of
what flowed, the truth is 1 / 0.3 of the reading. Taken as the 95 % limit of a log-normal error.
"""

_AVERAGE_S = 1.0
"""Field 185 is "averaged over 1 sec interval", and so is nvmlDeviceGetPowerUsage on "Ampere (except GA100) or newer"
(NVML API Reference)."""

_EXCURSION = 2.0
"""Most power over the highest limit that can be set: the limit is held in the mean only. An assumption of ours."""

_UNTOLD_MOST_W = 2000.0
"""Where no limit is told: more than any board draws, an assumption of ours."""

_MODULE_MOST_W = 4000.0
"""More than any module of processor and GPUs draws, an assumption of ours."""

_HOST_PIDS = "pid:[4026531836]"
"""The machine's own process numbers: ``PROC_PID_INIT_INO`` (Linux, include/linux/proc_ns.h)."""

_ARCHITECTURES = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}
"""``NVML_DEVICE_ARCH_*`` of nvml.h."""

_CCF = Source(
    name="Cloud Carbon Footprint coefficients",
    citation="cloud-carbon-footprint, GPU power at rest and at full load in watts; linear in between",
    licence="Apache-2.0",
)
_POWER_RANGES_W = {
    "T4": (8.0, 71.0),
    "V100": (35.0, 306.0),
    "A100": (46.0, 407.0),
    "A10G": (18.0, 153.0),
    "P100": (36.0, 306.0),
    "P4": (9.0, 76.5),
}
"""Watts at rest and at full load by model (CCF), for the model of boards that show no power."""
_IDLE_OF_MOST = 46 / 407
"""At rest as a fraction of full load: the A100's (CCF); the other boards of the table lie within 0.005 of it."""
# NVML calls a GPU busy when any kernel ran in a sample, however little of the chip it filled, so that the power at
# "100 %" may be a third of the most: e^(1.96 * 0.5) to either side. An assumption of ours, as is the gain, which is
# that of load models within a family of processors. Samples: "between 1 second and 1/6 second" (nvml.h).
_LOAD_ACCURACY = Accuracy(gain=0.30, mix=0.50, period_s=1.0, sources=(_CCF,))


@dataclass(frozen=True, slots=True)
class _Timing:
    """How a board's power sensor samples: a new reading every `period_s`, each the mean over `window_s`."""

    period_s: float
    window_s: float
    source: Source = _YANG


_UNKNOWN_TIMING = _Timing(0.1, 0.025, _UNTIMED)
_PART_TIME = _Timing(0.1, 0.025)  # A100 (GA100) and H100
_GH200 = _Timing(0.1, 0.020)
_TIMINGS = {  # Yang et al., SC'24: what they measured
    "Pascal": _Timing(0.02, 0.01),
    "Volta": _Timing(0.02, 0.01),
    "Turing": _Timing(0.1, 0.1),
    "Ampere": _Timing(0.1, 0.1),
    "Hopper": _PART_TIME,
}


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A way to read power: its name, the time that each reading is the mean over, and how to read it, in microwatts."""

    title: str
    window_s: float
    read: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Board:
    """A GPU as it was found; one that could not be opened keeps the error."""

    index: int
    handle: Any = None
    error: SensorError | None = None
    device: Device = field(default_factory=Device)
    architecture: str = ""
    ga100: bool = False
    mig: bool | None = None
    limit_w: float | None = None
    most_w: float | None = None

    @property
    def name(self) -> str:
        return f"gpu-{self.index}"

    @property
    def timing(self) -> _Timing:
        if "GH200" in self.device.model:
            return _GH200
        return _PART_TIME if self.ga100 else _TIMINGS.get(self.architecture, _UNKNOWN_TIMING)

    @property
    def averages(self) -> bool:
        """Whether nvmlDeviceGetPowerUsage is known to give the mean of one second."""
        return not self.ga100 and self.architecture in {"Ampere", "Ada", "Hopper", "Blackwell", "Rubin"}


@dataclass(frozen=True, slots=True)
class _Channel:
    """A domain and how to read it: µJ or µW, or an error of NVML or ours."""

    domain: Domain
    read: Callable[[], int] = field(repr=False)


class NvmlSensor:
    """Reads the energy counter of every GPU (Volta and later), else its power.

    ==================== =============================================================================================
    domain               what it is
    ==================== =============================================================================================
    ``gpu-0`` ...        a board, in the order of PCI bus numbers: its energy counter; else power, of the ways that
                         the driver offers the one that lags least (field 186, field 185, nvmlDeviceGetPowerUsage)
    ``gpu-0/memory``     its memory, a part of it (NVML_POWER_SCOPE_MEMORY), where the driver tells
    ``gpu-module-0``     the module of a Grace Hopper: processor, its memory and GPU (NVML_POWER_SCOPE_MODULE), a
                         container. The ACPI meter of the same module is `HwmonSensor`'s ``module-0``.
    ==================== =============================================================================================

    Energy and power are those of a board. Its MIG instances cannot be told apart, and the domain's parameters say so.

    Args:
        environ: where ``CUDA_VISIBLE_DEVICES`` is looked up; ``os.environ`` without it.
        parts: whether memory and module get domains. They are gauges, which a meter has to sample.
        procfs: where the numbering of processes is looked up.

    Raises:
        SensorUnavailable: if there is no NVIDIA driver, no GPU, or none that can be read.
        PermissionDenied: if the driver refuses this user.
    """

    def __init__(
        self, environ: Mapping[str, str] | None = None, *, parts: bool = True, procfs: Path = Path("/proc")
    ) -> None:
        import pynvml

        self._nvml: Any = pynvml
        self._procfs = procfs
        self._open = False
        try:
            pynvml.nvmlInit()
            self._open = True
            self.name = f"nvml {pynvml.nvmlSystemGetDriverVersion()}"
            self._boards = [self._board(index) for index in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            self.close()
            raise self._named(error) from error
        visible = cuda_visible(
            os.environ if environ is None else environ, [b.device for b in self._boards], self._board_of_mig
        )
        channels = [c for board in self._boards for c in self._channels_of(board, visible, parts)]
        self.domains = tuple(channel.domain for channel in channels)
        self._readers = {channel.domain.name: channel.read for channel in channels}
        self._twins: dict[str, _Gauge | SensorError] = {}
        errors = [reading for reading in self.read(0).values() if isinstance(reading, SensorError)]
        if len(errors) == len(self.domains):
            self.close()
            raise errors[0] if errors else SensorUnavailable("NVML finds no GPU")

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read every domain: microjoules from counters, microwatts from gauges."""
        return {name: self._tried(read) for name, read in self._readers.items()}

    def read_domain(self, name: str, now_ns: int) -> int | SensorError:
        """Read one domain, as `read` does."""
        return self._tried(self._readers[name])

    def power_uw(self, name: str) -> int | SensorError:
        """Read the power of a GPU, in microwatts, also where its domain is the counter: to check one by the other."""
        if name not in self._twins:
            board = next((b for b in self._boards if b.name == name), None)
            if board is None:
                return SensorUnavailable(f"there is no {name}")
            self._twins[name] = board.error or self._gauge(board)
        gauge = self._twins[name]
        return gauge if isinstance(gauge, SensorError) else self._tried(gauge.read)

    def shares(self, pids: Collection[int], since_us: int) -> Mapping[str, float | SensorError]:
        """Give the share of each GPU's work that was done by some processes: a number from 0 to 1.

        It is their part of the SM utilisation that the driver has seen in all processes
        (nvmlDeviceGetProcessUtilization), added up over its samples. Utilisation says when a process had kernels
        running, not how much of the chip they filled: as a key to energy this is a model.

        The driver numbers processes as the machine does. In a container with numbers of its own, nobody's share can
        be told, nor with MIG, nor under WSL.

        Args:
            pids: the processes.
            since_us: what was sampled before this is left out; in microseconds, on the clock of the driver's samples
                (NVML: "CPU timestamp"). 0 for all that the driver still holds.
        """
        return {board.name: self._share(board, pids, since_us) for board in self._boards}

    def close(self) -> None:
        """Shut NVML down."""
        if self._open:
            self._open = False
            self._nvml.nvmlShutdown()

    def _board(self, index: int) -> _Board:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            return _Board(index=index, error=self._named(error))
        number = self._if_told(lambda: int(nvml.nvmlDeviceGetArchitecture(handle)), -1)
        capability = self._if_told(lambda: tuple(map(int, nvml.nvmlDeviceGetCudaComputeCapability(handle))), None)
        mig = self._if_told(lambda: int(nvml.nvmlDeviceGetMigMode(handle)[0]), None)
        limit_mw = self._if_told(lambda: int(nvml.nvmlDeviceGetEnforcedPowerLimit(handle)), None)
        most_mw = self._if_told(lambda: int(nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)[1]), None)
        return _Board(
            index=index,
            handle=handle,
            device=Device(
                uuid=self._if_told(lambda: str(nvml.nvmlDeviceGetUUID(handle)), ""),
                model=self._if_told(lambda: str(nvml.nvmlDeviceGetName(handle)), ""),
            ),
            architecture=_ARCHITECTURES.get(number, ""),
            # Compute capability 8.0 is the GA100 (A100, A800, A30); the other chips of the generation are 8.6 and 8.7.
            ga100=capability == (8, 0),
            mig=None if mig is None else mig == nvml.NVML_DEVICE_MIG_ENABLE,
            limit_w=None if limit_mw is None else limit_mw / 1e3,
            most_w=None if most_mw is None else most_mw / 1e3,
        )

    def _board_of_mig(self, uuid: str) -> str | None:
        nvml = self._nvml

        def board() -> str:
            instance = nvml.nvmlDeviceGetHandleByUUID(uuid)
            return str(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)))

        return self._if_told(board, None)

    def _channels_of(self, board: _Board, visible: Selection, parts: bool) -> Iterator[_Channel]:
        seen = board.index in visible.indices
        parameters = _parameters(board, visible.doubt)
        if board.error is not None:
            yield _Channel(_domain(board, "counter", _counter_accuracy(), seen, parameters), _raising(board.error))
            return
        if self._counts(board):
            parameters["reading"] = "energy counter"
            yield _Channel(
                _domain(board, "counter", _counter_accuracy(), seen, parameters),
                lambda: int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(board.handle)) * 1000,  # mJ
            )
        else:
            yield self._power_channel(board, seen, parameters)
        if parts:
            yield from self._parts(board, seen)

    def _counts(self, board: _Board) -> bool:
        """Tell whether the board has an energy counter, which may be out of order just now."""
        nvml = self._nvml
        try:
            nvml.nvmlDeviceGetTotalEnergyConsumption(board.handle)
        except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
            return False
        except nvml.NVMLError:
            return True
        return True

    def _power_channel(self, board: _Board, seen: bool, parameters: Mapping[str, float | str]) -> _Channel:
        gauge = self._gauge(board)
        if isinstance(gauge, SensorUnavailable) and (modelled := self._modelled(board, seen, parameters)) is not None:
            return modelled
        if isinstance(gauge, SensorError):
            return _Channel(_domain(board, "gauge", _gauge_accuracy(board), seen, parameters), _raising(gauge))
        domain = _domain(
            board,
            "gauge",
            _gauge_accuracy(board, gauge.window_s),
            seen,
            {**parameters, "reading": gauge.title},
            window_s=gauge.window_s,
        )
        return _Channel(domain, gauge.read)

    def _gauge(self, board: _Board) -> _Gauge | SensorError:
        """Find the way to read the board's power that lags least, or say why there is none."""
        scope = self._nvml.NVML_POWER_SCOPE_GPU
        return self._first(
            (
                *self._fields(board, scope),
                _Gauge(
                    "nvmlDeviceGetPowerUsage",
                    _AVERAGE_S if board.averages else board.timing.window_s,
                    lambda: _flowing(int(self._nvml.nvmlDeviceGetPowerUsage(board.handle))),
                ),
            )
        )

    def _modelled(self, board: _Board, seen: bool, parameters: Mapping[str, float | str]) -> _Channel | None:
        """Model the power of a board that shows none (virtual GPUs, old ones) from how busy it is, if it tells that."""

        def percent() -> int:
            return int(self._nvml.nvmlDeviceGetUtilizationRates(board.handle).gpu)

        range_w = _power_range_w(board)
        if range_w is None or self._if_told(percent, None) is None:
            return None
        idle_w, most_w = range_w
        domain = replace(
            _domain(board, "gauge", _LOAD_ACCURACY, seen, parameters, window_s=_LOAD_ACCURACY.period_s),
            kind="modelled",
            parameters={**parameters, "reading": "model of utilisation", "idle_w": idle_w, "max_w": most_w},
        )
        return _Channel(domain, lambda: round((idle_w + (most_w - idle_w) * percent() / 100) * 1e6))

    def _parts(self, board: _Board, seen: bool) -> Iterator[_Channel]:
        """Find what the driver tells besides the board: its memory, and the module that it sits on.

        A driver that does not know the scope may answer with the board's own power. So a part is believed only if it
        shows less than the board, and a module only if it shows more.
        """
        nvml = self._nvml
        memory = self._first(self._fields(board, nvml.NVML_POWER_SCOPE_MEMORY))
        module = self._first(self._fields(board, nvml.NVML_POWER_SCOPE_MODULE))
        if isinstance(memory, SensorError) and isinstance(module, SensorError):
            return
        whole = self._gauge(board)
        whole_uw = whole if isinstance(whole, SensorError) else self._tried(whole.read)
        for gauge, is_module in ((memory, False), (module, True)):
            if isinstance(gauge, SensorError) or isinstance(whole_uw, SensorError):
                continue
            shown_uw = self._tried(gauge.read)
            if isinstance(shown_uw, SensorError) or shown_uw == whole_uw or (shown_uw > whole_uw) != is_module:
                continue
            yield _Channel(_part(board, gauge, seen, is_module=is_module), gauge.read)

    def _fields(self, board: _Board, scope: int) -> tuple[_Gauge, ...]:
        """Give the two fields that show the power of a scope: of this moment, and averaged."""
        nvml = self._nvml

        def reader(number: int) -> Callable[[], int]:
            return lambda: self._field_uw(board.handle, number, scope)

        return (
            _Gauge("field 186, instant", board.timing.window_s, reader(nvml.NVML_FI_DEV_POWER_INSTANT)),
            _Gauge("field 185, average", _AVERAGE_S, reader(nvml.NVML_FI_DEV_POWER_AVERAGE)),
        )

    def _field_uw(self, handle: Any, number: int, scope: int) -> int:
        answer = self._nvml.nvmlDeviceGetFieldValues(handle, [(number, scope)])[0]
        if answer.nvmlReturn != self._nvml.NVML_SUCCESS:
            raise self._nvml.NVMLError(answer.nvmlReturn)
        return _flowing(int(answer.value.uiVal))

    def _first(self, gauges: Sequence[_Gauge]) -> _Gauge | SensorError:
        """Give the first that answers, or the last one's error."""
        answer: int | SensorError = SensorUnavailable("NVML offers no power reading")
        for gauge in gauges:
            answer = self._tried(gauge.read)
            if not isinstance(answer, SensorError):
                return gauge
        assert isinstance(answer, SensorError)  # noqa: S101 - for the type checker
        return answer

    def _share(self, board: _Board, pids: Collection[int], since_us: int) -> float | SensorError:
        nvml = self._nvml
        if board.error is not None:
            return board.error
        if board.mig:
            return SensorUnavailable("NVML does not tell processes apart on a GPU with MIG instances")
        if not self._numbers_are_the_hosts():
            return SensorUnavailable(
                "the NVIDIA driver numbers processes as the machine does, and this container has numbers of its own "
                "(start it with --pid=host)"
            )
        idle = SensorUnavailable("NVML has seen no process work on the GPU since then")
        try:
            samples = nvml.nvmlDeviceGetProcessUtilization(board.handle, since_us)
        except nvml.NVMLError as error:
            # Some drivers answer an empty list with success, which nvidia-ml-py raises as well.
            return idle if error.value in (nvml.NVML_SUCCESS, nvml.NVML_ERROR_NOT_FOUND) else self._named(error)
        work = [(int(s.pid), int(s.smUtil)) for s in samples if s.timeStamp > since_us]
        total = sum(percent for _, percent in work)
        return sum(percent for pid, percent in work if pid in pids) / total if total else idle

    def _numbers_are_the_hosts(self) -> bool:
        try:
            return os.readlink(self._procfs / "self" / "ns" / "pid") == _HOST_PIDS
        except OSError:  # no procfs, or one that does not tell: not known to be the same
            return False

    def _tried(self, read: Callable[[], int]) -> int | SensorError:
        try:
            return read()
        except self._nvml.NVMLError as error:
            return self._named(error)
        except SensorError as error:
            return error

    def _if_told(self, ask: Callable[[], T], otherwise: T) -> T:
        """Ask for something that not every driver and GPU tells."""
        try:
            return ask()
        except self._nvml.NVMLError:
            return otherwise

    def _named(self, error: Exception) -> SensorError:
        if isinstance(error, self._nvml.NVMLError_NoPermission):
            return PermissionDenied(f"NVML: {error}", remedy="ask for access to the NVIDIA devices (/dev/nvidia*)")
        return SensorUnavailable(f"NVML: {error}")


def _flowing(power_mw: int) -> int:
    """Turn milliwatts into microwatts.

    Raises:
        SensorUnavailable: if they are 0: whatever answers draws some.
    """
    if power_mw == 0:
        raise SensorUnavailable("NVML shows 0 W, which is no reading of a GPU that answers")
    return power_mw * 1000


def _raising(error: SensorError) -> Callable[[], int]:
    def read() -> int:
        raise error

    return read


def _parameters(board: _Board, doubt: str) -> dict[str, float | str]:
    parameters: dict[str, float | str] = {"model": board.device.model or "unknown"}
    if board.architecture:
        parameters["architecture"] = board.architecture
    if board.limit_w is not None:
        parameters["power_limit_w"] = board.limit_w
    if board.mig:
        parameters["mig"] = "enabled: the figure is of the whole board; its instances cannot be told apart"
    elif board.mig is not None:
        parameters["mig"] = "disabled"
    if doubt:
        parameters["visible"] = doubt
    return parameters


def _domain(
    board: _Board,
    reading: Literal["counter", "gauge"],
    accuracy: Accuracy,
    seen: bool,
    parameters: Mapping[str, float | str],
    *,
    window_s: float | None = None,
) -> Domain:
    return Domain(
        name=board.name,
        components=frozenset({Component.GPU}),
        kind="measured",
        reading=reading,
        accuracy=accuracy,
        max_power_w=_most_w(board),
        window_s=window_s,
        visible=seen,
        parameters={**parameters, "update_period_s": accuracy.period_s},
    )


def _most_w(board: _Board) -> float:
    return _UNTOLD_MOST_W if board.most_w is None else board.most_w * _EXCURSION


def _power_range_w(board: _Board) -> tuple[float, float] | None:
    """Give a board's power at rest and at full load, in watts: of its model, or from its limit; None without either."""
    for name, range_w in _POWER_RANGES_W.items():
        if name in board.device.model.replace("-", " ").split():
            return range_w
    return None if board.limit_w is None else (_IDLE_OF_MOST * board.limit_w, board.limit_w)


def _part(board: _Board, gauge: _Gauge, seen: bool, *, is_module: bool) -> Domain:
    accuracy = _gauge_accuracy(board, gauge.window_s, gain=_PARTS_GAIN, source=_PARTS)
    parts = (Component.GPU, Component.CPU, Component.DRAM) if is_module else (Component.GPU,)
    return Domain(
        name=f"gpu-module-{board.index}" if is_module else f"{board.name}/memory",
        components=frozenset(parts),
        kind="measured",
        reading="gauge",
        accuracy=accuracy,
        window_s=gauge.window_s,
        max_power_w=_MODULE_MOST_W if is_module else _most_w(board),
        visible=seen,
        parent=None if is_module else board.name,
        container=is_module,
        parameters={"reading": gauge.title, "update_period_s": accuracy.period_s},
    )


def _counter_accuracy() -> Accuracy:
    return Accuracy(gain=_GAIN, period_s=_COUNTER_PERIOD_S, resolution_j=1e-3, sources=(_YANG,))  # it counts mJ


def _gauge_accuracy(
    board: _Board, window_s: float | None = None, *, gain: float = _GAIN, source: Source = _YANG
) -> Accuracy:
    timing = board.timing
    looks_away = (timing.window_s if window_s is None else window_s) < timing.period_s
    return Accuracy(
        gain=gain,
        mix=_LOOKS_AWAY if looks_away else 0.0,
        period_s=timing.period_s,
        sources=tuple(dict.fromkeys((source, timing.source))),
    )
