"""Which URL means which meter of a whole machine. No network call is made unless the user has named one so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from joulemark.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from joulemark.sensors.seam import Sensor

__all__ = ["wall_address", "wall_sensor"]


def wall_sensor(url: str) -> Sensor:
    """Open the meter of a whole machine that a URL names.

    ======================================= ============================================================================
    URL                                     meter
    ======================================= ============================================================================
    ``shelly://HOST[:PORT][?channel=N]``    a Shelly plug of any generation
    ``tasmota://HOST[:PORT][?channel=N]``   a plug with Tasmota
    ``redfish://HOST[:PORT]/redfish/v1/..`` a server's management controller: a chassis, or its ``Power``,
                                            ``EnvironmentMetrics`` or ``PowerSubsystem``; ``?insecure=1`` trusts any
                                            certificate
    ``ipmi://local``                        this server's management controller, through ipmitool
    ======================================= ============================================================================

    Raises:
        UsageError: if the URL is none of these.
        SensorUnavailable: if the device does not answer, or has no meter.
        PermissionDenied: if it wants a name and a password, or other ones.
    """
    place = wall_address(url)
    return _OPENERS[place.scheme](place, url)


def wall_address(url: str) -> SplitResult:
    """Take the address of a wall meter apart, without asking it anything.

    Raises:
        UsageError: if it is none that `wall_sensor` knows, or holds a password.
    """
    from urllib.parse import urlsplit

    try:
        place = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{url!r} is no address ({error}); write for example {_EXAMPLES}.") from error
    if place.scheme not in _OPENERS:
        raise UnknownName("kind of wall meter", place.scheme, _OPENERS, hint=f"Write for example {_EXAMPLES}.")
    if place.username is not None or place.password is not None:
        # The address itself is not repeated: this text may end up on a screen or in a log.
        raise UsageError(
            "A password in the address of a wall meter would end up in the shell's history; "
            "put it into the environment instead (redfish: JOULEMARK_REDFISH_USER and JOULEMARK_REDFISH_PASSWORD)."
        )
    return place


def _shelly(place: SplitResult, url: str) -> Sensor:
    from joulemark.sensors.plug import ShellyPlug

    options = _options(place, url, known=("channel",), path=False)
    return ShellyPlug(f"http://{place.netloc}", channel=_channel(options, url))


def _tasmota(place: SplitResult, url: str) -> Sensor:
    from joulemark.sensors.plug import TasmotaPlug

    options = _options(place, url, known=("channel",), path=False)
    return TasmotaPlug(f"http://{place.netloc}", channel=_channel(options, url))


def _redfish(place: SplitResult, url: str) -> Sensor:
    from joulemark.sensors.redfish import RedfishSensor

    options = _options(place, url, known=("insecure",), path=True)
    return RedfishSensor(f"https://{place.netloc}", place.path, insecure=options.get("insecure") == "1")


def _ipmi(place: SplitResult, url: str) -> Sensor:
    from joulemark.sensors.ipmi import IpmiSensor

    _options(place, url, known=(), path=False)
    if place.netloc != "local":
        raise UsageError(f"{url!r}: only this machine's own controller is read through IPMI; write ipmi://local.")
    return IpmiSensor()


_OPENERS = {"shelly": _shelly, "tasmota": _tasmota, "redfish": _redfish, "ipmi": _ipmi}
_EXAMPLES = "shelly://192.168.1.7, tasmota://192.168.1.8, redfish://bmc/redfish/v1/Chassis/1/Power or ipmi://local"


def _options(place: SplitResult, url: str, *, known: Sequence[str], path: bool) -> Mapping[str, str]:
    """Give the options after the question mark; everything that is not understood is refused."""
    if not place.hostname:
        raise UsageError(f"{url!r} names no host; write for example {_EXAMPLES}.")
    if not path and place.path.strip("/"):
        raise UsageError(f"{url!r}: nothing may stand behind the host; leave {place.path!r} out.")
    from urllib.parse import parse_qsl

    options = dict(parse_qsl(place.query, keep_blank_values=True))
    if unknown := options.keys() - set(known):
        raise UsageError(f"{url!r}: unknown option {sorted(unknown)[0]!r}; known: {', '.join(known) or 'none'}.")
    return options


def _channel(options: Mapping[str, str], url: str) -> int:
    text = options.get("channel", "0")
    if not text.isdecimal():
        raise UsageError(f"{url!r}: the channel {text!r} is no number; the first one is 0.")
    return int(text)
