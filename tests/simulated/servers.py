"""Devices that speak HTTP, on this machine: a server's Redfish, Shelly plugs of three kinds, a plug with Tasmota."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Device", "redfish", "shelly_gen1", "shelly_gen2", "shelly_meter", "tasmota"]

Documents = Callable[[], Mapping[str, object]]
"""What the device answers now, by path; a text is sent as it is, anything else as JSON."""


class Device:
    """A device that answers on 127.0.0.1, until it is told to misbehave.

    Attributes:
        power_w: what it shows.
        fault: ``""``, ``"slow"`` (never answers), ``"trickle"`` (byte by byte), ``"garbage"`` (no JSON), ``"no-http"``,
            ``"elsewhere"`` (sends to another host), or an HTTP status such as ``"404"``.
        secret: name and password that it wants.
        asked: the paths that were asked for.
        heard: the last request's headers.
    """

    def __init__(self, power_w: float = 123.4) -> None:
        self.power_w = power_w
        self.fault = ""
        self.secret: tuple[str, str] | None = None
        self.documents: Documents = dict
        self.asked: list[str] = []
        self.heard: Mapping[str, str] = {}
        self._ended = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._scheme = "http"

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    @contextmanager
    def serving(self, certificate: Path | None = None) -> Iterator[Device]:
        """Answer while the block runs; with a certificate (and its key in one file) over TLS."""
        device = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                device._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Tests are quiet."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that has gone is part of the test."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            self._scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.close()
            thread.join()

    def close(self) -> None:
        """Pull its plug."""
        self._ended.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        self.heard = dict(request.headers)
        if self.fault == "slow":
            self._ended.wait(10)
            return
        if self.fault == "no-http":
            request.wfile.write(b"\x15\x03\x01 this is something else\r\n\r\n")
            return
        if self.fault == "elsewhere":
            request.send_response(302)
            request.send_header("Location", "http://127.0.0.2:9/")
            request.end_headers()
            return
        if self.fault.isdecimal():
            request.send_error(int(self.fault))
            return
        if self.secret is not None and request.headers["Authorization"] != _basic(*self.secret):
            request.send_error(401)
            return
        document = self.documents().get(request.path)
        if document is None:
            request.send_error(404)
            return
        body = (document if isinstance(document, str) else json.dumps(document)).encode()
        request.send_response(200)
        request.end_headers()
        if self.fault == "trickle":
            while not self._ended.wait(0.02):
                request.wfile.write(b" ")
                request.wfile.flush()
            return
        request.wfile.write(b"<html>busy</html>" if self.fault == "garbage" else body)


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def redfish(kind: str = "Power") -> Device:
    """A server's management controller that shows power in one of three ways."""
    device = Device(350.0)
    chassis = "/redfish/v1/Chassis/1"

    def documents() -> Mapping[str, object]:
        if kind == "Power":
            control = {"MemberId": "0", "PowerConsumedWatts": device.power_w, "PowerCapacityWatts": 1600}
            cpus = {"MemberId": "1", "Name": "CPU Sub-system Power", "PowerConsumedWatts": 90}
            return {f"{chassis}/Power": {"@odata.type": "#Power.v1_7_1.Power", "PowerControl": [control, cpus]}}
        if kind == "EnvironmentMetrics":
            reading = {"DataSourceUri": f"{chassis}/Sensors/TotalPower", "Reading": device.power_w}
            return {f"{chassis}/EnvironmentMetrics": {"PowerWatts": reading}}
        supplies = f"{chassis}/PowerSubsystem/PowerSupplies"
        found: dict[str, object] = {
            f"{chassis}/PowerSubsystem": {"PowerSupplies": {"@odata.id": supplies}},
            supplies: {"Members": [{"@odata.id": f"{supplies}/{n}"} for n in (0, 1)]},
        }
        for n, share in enumerate((0.6, 0.4)):
            found[f"{supplies}/{n}"] = {"Metrics": {"@odata.id": f"{supplies}/{n}/Metrics"}}
            found[f"{supplies}/{n}/Metrics"] = {"InputPowerWatts": {"Reading": share * device.power_w}}
        return found

    device.documents = documents
    return device


def shelly_gen1() -> Device:
    """A Shelly Plug S of the first generation."""
    device = Device()

    def documents() -> Mapping[str, object]:
        meter = {"power": device.power_w, "overpower": 0.0, "is_valid": True, "timestamp": 1600439798, "total": 102}
        return {
            "/shelly": {"type": "SHPLG-S", "mac": "A4CF12BA0F5F", "auth": False, "num_meters": 1},
            "/status": {"relays": [{"ison": True}], "meters": [meter]},
        }

    device.documents = documents
    return device


def shelly_gen2() -> Device:
    """A Shelly Plus Plug S; later generations speak alike."""
    device = Device()

    def documents() -> Mapping[str, object]:
        energy = {"total": 5.125, "by_minute": [0.0, 0.0, 0.0], "minute_ts": 1675718520}
        status = {"id": 0, "source": "HTTP", "output": True, "apower": device.power_w, "voltage": 232.0}
        return {
            "/shelly": {"id": "shellyplusplugs-a8032ab12345", "model": "SNPL-00112EU", "gen": 2, "app": "PlusPlugS"},
            "/rpc/Switch.GetStatus?id=0": {**status, "aenergy": energy},
        }

    device.documents = documents
    return device


def shelly_meter() -> Device:
    """A Shelly Plug PM Gen3, which meters and does not switch."""
    device = Device()
    device.documents = lambda: {
        "/shelly": {"id": "shellyplugpmg3-b08184aabbcc", "gen": 3, "app": "PlugPMG3"},
        "/rpc/PM1.GetStatus?id=0": {"id": 0, "voltage": 229.8, "apower": device.power_w, "freq": 50.0},
    }
    return device


def tasmota() -> Device:
    """A plug with Tasmota."""
    device = Device()

    def documents() -> Mapping[str, object]:
        energy = {"Total": 0.003, "Power": device.power_w, "ApparentPower": 150, "Factor": 0.93, "Voltage": 239}
        return {"/cm?cmnd=Status%208": {"StatusSNS": {"Time": "2022-07-30T10:11:26", "ENERGY": energy}}}

    device.documents = documents
    return device
