"""An OpenAI-compatible server on this machine, until it is told to misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ChatServer"]

WORDS = ("The", " sea", " is", " calm", " today", ", and", " the", " wind", " is", " low")
STATUSES = {
    "401": '{"error": {"message": "Incorrect API key provided: %s", "type": "invalid_request_error"}}',
    "404": '{"object": "error", "message": "The model does not exist.", "code": 404}',
    "429": '{"error": "Model is overloaded"}',
    "500": "<html><body>Internal Server Error</body></html>",
}
LIES: Mapping[str, Mapping[str, Any]] = {
    "negative": {"completion_tokens": -3},
    "no-prompt": {"prompt_tokens": 0},
    "too-many": {"completion_tokens": 10**9},
    "too-few": {"completion_tokens": 1},
    "fraction": {"completion_tokens": 3.5},
    "words": {"prompt_tokens": "many"},
    "over-cached": {"prompt_tokens_details": {"cached_tokens": 10**6}},
    "over-reasoned": {"completion_tokens_details": {"reasoning_tokens": 10**6}},
    "nan": {"completion_tokens": float("nan")},
}


class ChatServer:
    """Writes the words of a short text, one a piece, as many as it is asked for.

    Attributes:
        fault: ``""``; an HTTP status in `STATUSES`, ``"302"``; a lie about usage in `LIES`; ``"silent"``, ``"trickle"``
            (a byte now and then), ``"cut"`` (in the middle of a chunk), ``"closed"`` (the stream ends early, politely),
            ``"empty"``, ``"blank"``, ``"json"`` (does not stream), ``"no-json"``, ``"no-events"``, ``"no-http"``,
            ``"endless"`` (an event without end), ``"error"`` (in the stream), ``"no-usage"``, ``"hangs-up"``.
        fails_after: so many completions are answered well before the fault.
        reasoning: words of reasoning before the answer; `told` says whether usage counts them.
        cached: tokens of the prompt that it says it had in its cache.
        piece_s: time between pieces, in seconds.
        slots: how many answers it works on at a time.
        models: the models that it lists; None if it has no such list.
        requests: bodies of the completions that were asked for.
        began_s: when each came, monotonic.
        most: the most that were in flight at a time.
        keys: the authorisations that were sent.
    """

    def __init__(self) -> None:
        self.fault = ""
        self.fails_after = 0
        self.reasoning = 0
        self.told = True
        self.field = "reasoning_content"
        self.cached: int | None = 0
        self.piece_s = 0.0
        self.slots = threading.Semaphore(10**6)
        self.models: tuple[str, ...] | None = ("tiny",)
        self.requests: list[dict[str, Any]] = []
        self.began_s: list[float] = []
        self.keys: list[str | None] = []
        self.most = 0
        self._in_flight = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @contextmanager
    def serving(self) -> Iterator[ChatServer]:
        """Answer while the block runs."""
        chat = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                chat._list(self)

            def do_POST(self) -> None:
                chat._complete(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Tests are quiet."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that has gone is part of the test."""

        with Server(("127.0.0.1", 0), Handler) as server:
            self._port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                self._ended.set()
                server.shutdown()
                thread.join()

    def _list(self, request: BaseHTTPRequestHandler) -> None:
        self.keys.append(request.headers["Authorization"])
        if self.fault == "401":
            self._status(request, "401")
        elif request.path == "/v1/models" and self.models is not None:
            data = [{"id": name, "object": "model", "owned_by": "simulated"} for name in self.models]
            _send(request, 200, json.dumps({"object": "list", "data": data}))
        elif request.path == "/version":
            _send(request, 200, '{"version": "1.2.3"}')
        else:
            _send(request, 404, "Not Found", "text/plain")

    def _complete(self, request: BaseHTTPRequestHandler) -> None:
        began_s = time.monotonic()
        asked = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self._lock:
            fault = self.fault if len(self.requests) >= self.fails_after else ""
            self.requests.append(asked)
            self.began_s.append(began_s)
            self.keys.append(request.headers["Authorization"])
            self._in_flight += 1
            self.most = max(self.most, self._in_flight)
        try:
            with self.slots:
                self._answer(request, asked, fault)
        finally:
            with self._lock:
                self._in_flight -= 1

    def _answer(self, request: BaseHTTPRequestHandler, asked: Mapping[str, Any], fault: str) -> None:
        request.close_connection = True
        if fault in STATUSES:
            self._status(request, fault)
            return
        if fault == "302":
            request.send_response(302)
            request.send_header("Location", "http://127.0.0.2:9/")
            request.end_headers()
            return
        if fault == "silent":
            self._ended.wait(10)
            return
        if fault == "hangs-up":
            return
        if fault == "no-http":
            request.wfile.write(b"\x15\x03\x01 this is something else\r\n\r\n")
            return
        if fault == "json":
            _send(request, 200, json.dumps({"choices": [{"message": {"content": "Here I am."}}]}))
            return
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream; charset=utf-8")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        if fault == "trickle":
            while not self._ended.wait(0.02):
                _chunk(request, b":")
        if fault == "endless":
            for _ in range(40):
                _chunk(request, b"data: " + b"x" * (1 << 16))
        self._stream(request, asked, fault)
        if fault not in {"cut", "closed"}:
            _chunk(request, b"data: [DONE]\n\n")
        if fault != "cut":
            _chunk(request, b"")

    def _stream(self, request: BaseHTTPRequestHandler, asked: Mapping[str, Any], fault: str) -> None:
        limit = asked["max_tokens"]
        written = limit if asked.get("ignore_eos") else min(limit, self.reasoning + len(WORDS))
        chat = "messages" in asked
        _event(request, {"choices": [{"delta": {"role": "assistant", "content": None}} if chat else {"text": ""}]})
        _chunk(request, b": still here\n\n")
        for n in range(written):
            time.sleep(self.piece_s)
            if n == 3 and fault in {"cut", "closed"}:
                if fault == "cut":
                    request.wfile.write(b"ff\r\ndata: {")
                return
            if n == 3 and fault == "error":
                _event(request, {"error": {"message": "out of memory", "code": 500}})
            if n == 3 and fault in {"no-json", "no-events"}:
                _chunk(request, b"data: {'choices': \n\n" if fault == "no-json" else b"so it goes\n\n")
            word = "" if fault == "empty" else " " if fault == "blank" else WORDS[n % len(WORDS)]
            if chat:
                delta = {self.field: "hm"} if n < self.reasoning else {"content": word}
                _event(request, {"choices": [{"delta": delta, "finish_reason": None}]})
            else:
                _event(request, {"choices": [{"text": word, "finish_reason": None}]})
        _event(request, {"choices": [{"delta": {}, "finish_reason": "length"}]})
        if fault != "no-usage" and asked.get("stream_options", {}).get("include_usage"):
            usage: dict[str, Any] = {"prompt_tokens": 11, "completion_tokens": written, "total_tokens": 11 + written}
            if self.cached is not None:
                usage["prompt_tokens_details"] = {"cached_tokens": self.cached}
            if self.told:
                usage["completion_tokens_details"] = {"reasoning_tokens": min(self.reasoning, written)}
            _event(request, {"choices": [], "usage": {**usage, **LIES.get(fault, {})}})

    def _status(self, request: BaseHTTPRequestHandler, status: str) -> None:
        said = STATUSES[status]
        kind = "text/html" if said.startswith("<") else "application/json"
        # Some servers repeat the key that they refuse.
        _send(request, int(status), said.replace("%s", str(request.headers["Authorization"])), kind)


def _send(request: BaseHTTPRequestHandler, status: int, body: str, kind: str = "application/json") -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body.encode())))
    request.end_headers()
    request.wfile.write(body.encode())


def _event(request: BaseHTTPRequestHandler, event: Mapping[str, Any]) -> None:
    _chunk(request, b"data: " + json.dumps(event).encode() + b"\n\n")


def _chunk(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
    request.wfile.flush()
