"""A server's whole power through its management controller, over the network: Redfish."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable, UsageError
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.whole import MACHINE, TIMEOUT_S, NotFound, get_json, machine_domain, microwatts

if TYPE_CHECKING:
    import ssl

__all__ = ["RedfishSensor"]

USER, PASSWORD = "JOULEMARK_REDFISH_USER", "JOULEMARK_REDFISH_PASSWORD"

_SOURCE = Source(
    name="DMTF Redfish schemas Power, EnvironmentMetrics, PowerSupplyMetrics (DSP0268)",
    citation="PowerConsumedWatts is 'the actual power that the chassis consumes', PowerWatts 'the total power, in watt "
    "units, for this resource', InputPowerWatts the input of a power supply; none says how often it is updated: every "
    "10 s with HPE iLO (ProLiant DL360p Gen8 manual), taken for all; the width of ±10 % is an assumption of ours",
)
_ACCURACY = Accuracy(gain=0.10 / 1.96, period_s=10.0, sources=(_SOURCE,))
_MAX_POWER_W = 65_535.0  # as with DCMI, whose readings many controllers show here; an assumption of ours

_WHO = "the management controller (Redfish)"


class RedfishSensor:
    """Reads the power of a chassis: one gauge, ``machine``, a container, at the input of its power supplies.

    Looked for are, beginning with the one that the path names, ``Power`` (``PowerConsumedWatts``),
    ``EnvironmentMetrics`` (``PowerWatts``) and ``PowerSubsystem`` (the sum of what its supplies take in).

    Args:
        base_url: ``https://HOST[:PORT]``.
        path: of the chassis or of one of these below it.
        insecure: whether any certificate will do.
        environ: where name and password are (`USER`, `PASSWORD`); asked without them if they are not there.
        timeout_s: how long an answer may take, in seconds.

    Raises:
        SensorUnavailable: if the controller does not answer, or shows no power.
        PermissionDenied: if it wants a name and a password, or other ones.
        UsageError: if the path is none of Redfish.
    """

    name = "redfish"

    def __init__(
        self,
        base_url: str,
        path: str,
        *,
        insecure: bool = False,
        environ: Mapping[str, str] = os.environ,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if not path.startswith("/redfish/v1/"):
            raise UsageError(f"{path!r} is no path of Redfish; write for example /redfish/v1/Chassis/1/Power.")
        self._base_url = base_url
        self._headers = _authorization(environ)
        self._tls = _tls(insecure) if base_url.startswith("https:") else None
        self._timeout_s = timeout_s
        self._power_w = self._found(path.rstrip("/"))
        self.domains = (machine_domain(_ACCURACY, max_power_w=_MAX_POWER_W),)

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read the machine's power, in microwatts."""
        try:
            return {MACHINE: microwatts(self._power_w(), _WHO)}
        except SensorError as error:
            return {MACHINE: error}

    def close(self) -> None:
        """Nothing is held open."""

    def _found(self, path: str) -> Callable[[], object]:
        """Find the first resource that shows a power; what cannot be reached or entered ends the search."""
        ways = {"Power": self._control, "EnvironmentMetrics": self._environment, "PowerSubsystem": self._subsystem}
        chassis, _, last = path.rpartition("/")
        if last not in ways:
            chassis, last = path, "Power"
        missing: list[str] = []
        for name in sorted(ways, key=lambda name: name != last):
            try:
                power_w = ways[name](f"{chassis}/{name}")
                microwatts(power_w(), _WHO)
            except (NotFound, _NoPower) as error:
                missing.append(f"{name}: {error}")
            else:
                return power_w
        raise SensorUnavailable(f"{_WHO} shows no power of this chassis ({'; '.join(missing)})")

    def _control(self, path: str) -> Callable[[], object]:
        # The first entry is the chassis; Lenovo lists processors and memory after it.
        return lambda: _at(self._get(path), "PowerControl", 0, "PowerConsumedWatts")

    def _environment(self, path: str) -> Callable[[], object]:
        return lambda: _at(self._get(path), "PowerWatts", "Reading")

    def _subsystem(self, path: str) -> Callable[[], object]:
        supplies = self._get(self._link(self._get(path), "PowerSupplies"))
        links = [self._link({"supply": member}, "supply") for member in _at(supplies, "Members")]
        metrics = [self._link(self._get(link), "Metrics") for link in links]
        if not metrics:
            raise _NoPower("it has no power supplies")
        return lambda: sum(_watts(_at(self._get(link), "InputPowerWatts", "Reading")) for link in metrics)

    def _link(self, document: object, name: str) -> str:
        link = _at(document, name, "@odata.id")
        if not isinstance(link, str) or not link.startswith("/"):  # the password goes to this host only
            raise _NoPower(f"{name} leads to another address")
        return link

    def _get(self, path: str) -> Any:
        try:
            return get_json(
                self._base_url + path, _WHO, headers=self._headers, tls=self._tls, timeout_s=self._timeout_s
            )
        except PermissionDenied as error:
            raise PermissionDenied(
                str(error), remedy=f"export {USER}=...; read -rs {PASSWORD}; export {PASSWORD}"
            ) from error


class _NoPower(SensorUnavailable):
    """A resource is there, but shows no power."""


def _at(document: Any, *keys: str | int) -> Any:
    """Look into a document of unknown shape."""
    found = document
    for key in keys:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            raise _NoPower(f"it has no {'.'.join(str(k) for k in keys)}") from None
    if found is None:  # how Redfish says that it does not know
        raise _NoPower(f"its {'.'.join(str(k) for k in keys)} is null")
    return found


def _watts(value: object) -> float:
    """Check one supply of several: one that idles may take in nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise SensorUnavailable(f"{_WHO} gives no power but {value!r}")
    return float(value)


def _authorization(environ: Mapping[str, str]) -> Mapping[str, str]:
    user = environ.get(USER)
    if not user:
        return {}
    words = f"{user}:{environ.get(PASSWORD, '')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(words).decode()}"}


def _tls(insecure: bool) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
