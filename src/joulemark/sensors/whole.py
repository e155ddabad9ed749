"""Meters of a whole machine: what they share, which URL means which of them, and how those with HTTP are asked.

No network call is made unless the user has named a device by its URL. Neither addresses nor passwords get into a
domain, a sensor's name or an error of a device, for all of these end up in records.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorUnavailable, UnknownName, UsageError
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

if TYPE_CHECKING:
    import ssl
    from urllib.parse import SplitResult

    from joulemark.sensors.seam import Sensor

__all__ = [
    "MACHINE",
    "TIMEOUT_S",
    "NotFound",
    "get_json",
    "machine_domain",
    "microwatts",
    "wall_address",
    "wall_sensor",
]

MACHINE = "machine"
"""Name of the domain: there is one machine, whoever measures it."""
TIMEOUT_S = 2.0
"""A device in the same room or rack that has not answered by then is not there (assumption of ours)."""
MOST_BYTES = 1_000_000


def machine_domain(accuracy: Accuracy, *, max_power_w: float, model: str = "") -> Domain:
    """Give the domain of a machine measured where its power supplies take the power in.

    It contains every other domain, so that it is shown and never added to them.

    Args:
        accuracy: of the meter.
        max_power_w: most that the meter can show, in watts.
        model: what the meter calls itself, without anything that tells one exemplar from another.
    """
    parts = (Component.CPU, Component.DRAM, Component.GPU, Component.BOARD, Component.PSU_LOSS)
    return Domain(
        name=MACHINE,
        components=frozenset(parts),
        kind="measured",
        reading="gauge",
        accuracy=accuracy,
        max_power_w=max_power_w,
        container=True,
        parameters={"model": model} if model else {},
    )


def microwatts(power_w: object, meter: str) -> int:
    """Turn what a meter says into microwatts.

    Raises:
        SensorUnavailable: if it is no number, or none that a running machine can draw. A machine that computes this
            draws power, so that zero watts are no reading but a meter with nothing behind it.
    """
    if isinstance(power_w, bool) or not isinstance(power_w, int | float) or not math.isfinite(power_w):
        raise SensorUnavailable(f"{meter} gives no power but {power_w!r}")
    if power_w <= 0:
        raise SensorUnavailable(
            f"{meter} shows {power_w:g} W, which no running machine draws: it measures something else"
        )
    return round(power_w * 1e6)


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


# ---- HTTP ------------------------------------------------------------------------------------------------------------


class NotFound(SensorUnavailable):
    """The device answers, but has no such resource."""


def get_json(
    url: str,
    meter: str,
    *,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Any:
    """Ask a device for a JSON document. Only ever asks: no request of ours changes anything.

    Args:
        url: where.
        meter: what errors are to call the device, instead of its address.
        headers: of the request; they are sent to no other host, whatever the device answers.
        tls: how its certificate is checked.
        timeout_s: how long it may take, in seconds, for the answer as a whole.

    Raises:
        SensorUnavailable: if it does not answer in time, or not with JSON.
        NotFound: if it has no such resource.
        PermissionDenied: if it wants a name and a password, or other ones.
    """
    # Imported here: with TLS it takes some 30 ms, which a meter without such a device need not spend.
    import http.client
    import urllib.error
    import urllib.request
    from urllib.parse import urlsplit

    class SameHost(urllib.request.HTTPRedirectHandler):
        """Follows a device that adds a slash, not one that sends the password elsewhere."""

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
                raise SensorUnavailable(f"{meter} sends to another address, which is not followed")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    # Not `build_opener`: it adds proxies, which have no business with a device's password, FTP and files, and from
    # Python 3.12 on reads all certificates of the system for every request.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPSHandler(context=tls) if tls is not None else urllib.request.HTTPHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        SameHost(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"Accept": "application/json", **(headers or {})})  # noqa: S310
    deadline_s = time.monotonic() + timeout_s
    try:
        with opener.open(request, timeout=timeout_s) as response:
            body = _read_until(response, deadline_s, meter)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error.code, meter) from error
    except TimeoutError as error:
        raise SensorUnavailable(f"{meter} did not answer within {timeout_s:g} s") from error
    except urllib.error.URLError as error:
        raise _unreached(error.reason, meter, timeout_s) from error
    except (http.client.HTTPException, ValueError, OSError) as error:
        raise SensorUnavailable(f"{meter} gives no answer that is HTTP: {type(error).__name__}") from error
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SensorUnavailable(f"{meter} answers with something that is no JSON") from error


def _read_until(response: Any, deadline_s: float, meter: str) -> bytes:
    """Read an answer; the time-out of a socket is for each piece only, and pieces may trickle for ever."""
    body = b""
    while piece := response.read1(65_536):
        body += piece
        if len(body) > MOST_BYTES:
            raise SensorUnavailable(f"{meter} answers with more than {MOST_BYTES:,} bytes")
        if time.monotonic() > deadline_s:
            raise TimeoutError
    return body


def _refused(code: int, meter: str) -> SensorUnavailable | PermissionDenied:
    if code in {401, 403}:
        return PermissionDenied(f"{meter} wants a name and a password, or other ones (HTTP {code})")
    if code == 404:
        return NotFound(f"{meter} has no such resource (HTTP 404)")
    return SensorUnavailable(f"{meter} answers with HTTP {code}")


def _unreached(reason: object, meter: str, timeout_s: float) -> SensorUnavailable:
    import ssl

    if isinstance(reason, TimeoutError):
        return SensorUnavailable(f"{meter} did not answer within {timeout_s:g} s")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return SensorUnavailable(
            f"the certificate of {meter} cannot be verified ({reason.verify_message}); add ?insecure=1 to trust it "
            "without a proof, in a network that you trust"
        )
    text = reason.strerror if isinstance(reason, OSError) else None
    return SensorUnavailable(f"{meter} cannot be reached: {text or reason}")
