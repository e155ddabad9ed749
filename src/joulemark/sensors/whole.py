"""Meters of a whole machine: what they share, and how those with HTTP are asked.

No network call is made unless the user has named a device by its URL (`joulemark.sensors.address`). Neither
addresses nor passwords get into a domain, a sensor's name or an error of a device, for all of these end up in records.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorUnavailable
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

if TYPE_CHECKING:
    import ssl

__all__ = [
    "MACHINE",
    "TIMEOUT_S",
    "NotFound",
    "get_json",
    "machine_domain",
    "microwatts",
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
