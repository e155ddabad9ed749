"""Metering plugs between machine and wall, over HTTP: Shelly and Tasmota."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain
from joulemark.sensors.whole import MACHINE, TIMEOUT_S, NotFound, get_json, machine_domain, microwatts

__all__ = ["ShellyPlug", "TasmotaPlug"]

_CHIPS = (
    "Tuya gives ±5 % for plugs with metering chips such as BL0937 and HLW8012, ±3 % with BL0942 and HLW8032 "
    "(developer.tuya.com, Energy Metering)"
)
_SHELLY = Source(
    name="Shelly API documentation (shelly-api-docs.shelly.cloud)",
    citation=f"power, apower: watts of the moment; {_CHIPS}, and ±5 % is taken: an assumption of ours, as are updates "
    "every second",
)
_TASMOTA = Source(
    name="Tasmota documentation, Power Monitoring Calibration; xdrv_03_energy",
    citation=f"Power: watts, read from the chip every second; must be calibrated against a known load; {_CHIPS}; ±10 % "
    "is taken, for nobody knows whether it was: an assumption of ours",
)
# Gauges, although these plugs count energy too. A Shelly of the second generation has its total in mWh, but we know of
# no promise of how often it moves (by_minute is complete once a minute), the first generation's is in whole
# watt-minutes (60 J), and Tasmota's in whole watt-hours (3600 J, a minute at 60 W) unless EnergyRes is changed.
_SHELLY_ACCURACY = Accuracy(gain=0.05 / 1.96, period_s=1.0, sources=(_SHELLY,))
_TASMOTA_ACCURACY = Accuracy(gain=0.10 / 1.96, period_s=1.0, sources=(_TASMOTA,))
_MAX_POWER_W = 3680.0  # 16 A at 230 V, the most that a domestic socket of Europe gives (CEE 7)


class _Plug:
    """What the plugs have in common: one gauge, ``machine``, a container, at the wall (AC).

    Attributes:
        name: kind and model, without what would tell one exemplar from another.
        domains: ``machine``.
    """

    who = "the plug"

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._base_url = base_url
        self._timeout_s = timeout_s
        self.name = ""
        self.domains: tuple[Domain, ...] = ()

    def _get(self, path: str) -> Any:
        try:
            return get_json(self._base_url + path, self.who, timeout_s=self._timeout_s)
        except PermissionDenied as error:
            raise self._protected() from error

    def _protected(self) -> PermissionDenied:
        return PermissionDenied(
            f"{self.who} is protected by a password", remedy="take the password off in the plug's own web page"
        )

    def _opened(self, ask_w: Callable[[], object]) -> None:
        """Read it for the first time; `ask_w` gives its power in watts, as it writes them."""
        self._ask_w = ask_w
        reading = self.read(0)[MACHINE]
        if isinstance(reading, SensorError):
            raise reading

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read the machine's power, in microwatts."""
        try:
            return {MACHINE: microwatts(self._ask_w(), self.who)}
        except SensorError as error:
            return {MACHINE: error}

    def close(self) -> None:
        """Nothing is held open."""


class ShellyPlug(_Plug):
    """Reads a Shelly: the first generation's ``/status``, later ones' ``Switch.GetStatus`` or ``PM1.GetStatus``.

    Args:
        base_url: ``http://HOST[:PORT]``.
        channel: which of its meters, from 0.
        timeout_s: how long an answer may take, in seconds.

    Raises:
        SensorUnavailable: if it does not answer, or has no such meter.
        PermissionDenied: if it is protected by a password.
    """

    who = "the Shelly plug"

    def __init__(self, base_url: str, *, channel: int = 0, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(base_url, timeout_s)
        about = self._get("/shelly")  # answered without a password by all generations
        if not isinstance(about, dict) or not ("gen" in about or "type" in about):
            raise SensorUnavailable(f"what answers is no Shelly: it does not say its model ({str(about)[:80]})")
        model = str(about.get("app") or about.get("model") or about.get("type"))
        self.name = f"shelly {model}"
        self.domains = (machine_domain(_SHELLY_ACCURACY, max_power_w=_MAX_POWER_W, model=model),)
        self._channel = channel
        self._opened(self._later() if "gen" in about else self._first)

    def _first(self) -> object:
        meter = _of(self._get("/status"), self.who, "meters", self._channel)
        if _of(meter, self.who, "is_valid") is not True:
            raise SensorUnavailable(f"{self.who} says that its reading is not valid")
        return _of(meter, self.who, "power")

    def _later(self) -> Callable[[], object]:
        """Choose between a plug that switches and one that only meters."""
        try:
            self._get(f"/rpc/Switch.GetStatus?id={self._channel}")
        except NotFound:
            return lambda: self._active(f"/rpc/PM1.GetStatus?id={self._channel}")
        return lambda: self._active(f"/rpc/Switch.GetStatus?id={self._channel}")

    def _active(self, path: str) -> object:
        status = self._get(path)
        if isinstance(status, dict) and status.get("errors"):
            raise SensorUnavailable(f"{self.who} reports {', '.join(map(str, status['errors']))}")
        return _of(status, self.who, "apower")


class TasmotaPlug(_Plug):
    """Reads a plug with Tasmota: ``Status 8``.

    Args:
        base_url: ``http://HOST[:PORT]``.
        channel: which of its meters, from 0.
        timeout_s: how long an answer may take, in seconds.

    Raises:
        SensorUnavailable: if it does not answer, or has no such meter.
        PermissionDenied: if it is protected by a password.
    """

    who = "the Tasmota plug"

    def __init__(self, base_url: str, *, channel: int = 0, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(base_url, timeout_s)
        self.name = "tasmota"
        self.domains = (machine_domain(_TASMOTA_ACCURACY, max_power_w=_MAX_POWER_W),)
        self._channel = channel
        self._opened(self._status)

    def _status(self) -> object:
        answer = self._get("/cm?cmnd=Status%208")
        if isinstance(answer, dict) and "WARNING" in answer:  # it answers 200 and {"WARNING": "Need user=..."}
            raise self._protected()
        power = _of(answer, self.who, "StatusSNS", "ENERGY", "Power")
        return _of(power, self.who, self._channel) if isinstance(power, list) else power


def _of(document: Any, who: str, *keys: str | int) -> Any:
    """Look into a document of unknown shape."""
    found = document
    for key in keys:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            what = ".".join(str(k) for k in keys)
            raise SensorUnavailable(f"{who} has no power meter of that number: its answer has no {what}") from None
    return found
