"""A client of OpenAI-compatible servers: one streamed completion a call, timed, and nothing taken on trust.

The standard library's client is used on purpose. Of those compared (httpx, aiohttp, asyncio streams) it takes the least
processor time for each piece of a stream, and while it waits it sleeps in the kernel, so that what is measured is the
server.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import psutil
from msgspec import Meta, Struct

from joulemark.errors import UsageError, WorkloadFailed

__all__ = ["Address", "Client", "Reply"]

_T = TypeVar("_T")

_LONGEST_LINE = 1 << 20
"""Bytes of one event, or of an error's page, that are read at most; an assumption of ours."""
_VERSIONS = (("/version", "version"), ("/api/version", "version"), ("/info", "version"), ("/props", "build_info"))
"""Where vLLM, Ollama, TGI and llama-server tell their version, and its name there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a base URL such as ``http://localhost:8000/v1``; ``/v1`` may be left out.

        Raises:
            UsageError: if it is none, or holds a password, which would end up in records.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"The setting endpoint is no URL: {error}.") from error
        if parts.username is not None or parts.password is not None:
            raise UsageError("The setting endpoint holds a user name or password; name a key with api_key_env instead.")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"The setting endpoint must be a URL such as http://localhost:8000/v1, not {url!r}.")
        default = 443 if parts.scheme == "https" else 80
        path = parts.path.rstrip("/") or "/v1"
        return cls(scheme=parts.scheme, host=parts.hostname, port=port or default, path=path)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    def is_here(self) -> bool:
        """Tell whether every address of the host belongs to this machine.

        Raises:
            UsageError: if the host's name is not known.
        """
        try:
            found = {str(info[4][0]) for info in socket.getaddrinfo(self.host, None)}
        except (OSError, UnicodeError) as error:
            raise UsageError(f"The host of the setting endpoint, {self.host!r}, is not known: {error}.") from error
        own = {_plain(address.address) for some in psutil.net_if_addrs().values() for address in some}
        return all(_plain(address) in own or _loops(_plain(address)) for address in found)


def _plain(address: str) -> str:
    return address.partition("%")[0]  # a link-local address of IPv6 has its interface behind it


def _loops(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_unspecified


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A streamed completion.

    Attributes:
        text: the answer, without the reasoning before it.
        tokens_in: tokens of the prompt, None where the server does not tell.
        tokens_out: tokens of reasoning and answer, None where the server does not tell.
        tokens_cached: those of `tokens_in` that came out of the server's cache, None where it does not tell.
        tokens_reasoning: those of `tokens_out` that were reasoning, None where that cannot be known.
        first_token_s: monotonic time at which the first piece came, in seconds.
        end_s: monotonic time at which the stream ended, in seconds.
    """

    text: str
    tokens_in: int | None
    tokens_out: int | None
    tokens_cached: int | None
    tokens_reasoning: int | None
    first_token_s: float
    end_s: float


class Client:
    """Speaks to one server; safe to use from many threads.

    Args:
        address: where it listens.
        key: its API key, empty for none. It is taken out of whatever the server says before that is quoted.
        timeout_s: seconds after which a request has failed, however lively it still is.
    """

    def __init__(self, address: Address, *, key: str, timeout_s: float) -> None:
        self.address = address
        self._key = key
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context() if address.scheme == "https" else None

    def models(self) -> dict[str, str]:
        """Give the models that the server lists, each with who owns it; none if it has no such list.

        Raises:
            WorkloadFailed: if there is no server, it wants a key, or its list is none.
        """
        path = f"{self.address.path}/models"
        with self._asked("GET", path) as (response, _):
            if response.status in {404, 405, 501}:
                return {}
            if response.status != 200:
                raise self._refused(response)
            listed = self._decoded(response.read(_LONGEST_LINE), _Models, path)
        return {model.id: model.owned_by or "" for model in listed.data}

    def version(self) -> str:
        """Give the server's version as it tells it, empty if it does not."""
        for path, name in _VERSIONS:
            with suppress(WorkloadFailed), self._asked("GET", path) as (response, _):
                body = response.read(_LONGEST_LINE)
                if response.status == 200 and isinstance(
                    told := self._decoded(body, dict[str, Any], path).get(name), str
                ):
                    return told
        return ""

    def complete(self, path: str, request: Mapping[str, Any]) -> Reply:
        """Ask for a completion and read its stream to the end.

        Args:
            path: below the base URL: ``/chat/completions`` or ``/completions``.
            request: the body; ``max_tokens`` bounds what the server may claim to have written.

        Raises:
            WorkloadFailed: if there is no answer, or what came is none: cut off, empty, late, broken, or with counts of
                tokens that cannot be.
        """
        with self._asked("POST", self.address.path + path, request) as (response, late):
            if response.status != 200:
                raise self._refused(response, model=str(request.get("model", "")))
            kind = response.headers.get_content_type()
            if kind != "text/event-stream":
                raise self._failed(f"did not stream its answer: it sent {kind}. Is this an OpenAI-compatible server?")
            stream = _Stream()
            for line in self._lines(response):
                self._take(line, stream)
                if stream.done:
                    break
            if late.is_set():  # hanging up looks like an orderly end, too
                raise TimeoutError
        if not stream.done and not stream.finished:
            raise self._failed("ended its stream in the middle of an answer.")
        try:
            return stream.reply(most=int(request["max_tokens"]))
        except ValueError as error:
            raise self._failed(str(error)) from error

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """Give the lines of a stream as soon as they are there (`readline` takes half as long again)."""
        rest = b""
        while came := response.read1(1 << 16):
            *lines, rest = (rest + came).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                raise self._failed(f"sent an event of more than {_LONGEST_LINE} bytes.")
            yield from lines
        yield rest

    def _take(self, line: bytes, stream: _Stream) -> None:
        """Read one line of a stream of server-sent events (WHATWG HTML, 9.2.6)."""
        name, _, value = line.strip().partition(b":")
        if name in {b"data", b"error"}:  # the second is llama-server's own
            value = value.strip()
            if value == b"[DONE]":
                stream.done = True
                return
            chunk = self._decoded(value, _Chunk, "a piece of its stream")
            said = chunk.error if name == b"data" else chunk.error or value
            if said:
                raise self._failed(f"broke off with an error: {self._quoted(msgspec.json.encode({'error': said}))}")
            stream.take(chunk)
        elif name not in {b"", b"event", b"id", b"retry"}:  # empty: the end of an event, or a comment to keep alive
            raise self._failed("sent something else than events in its stream.")

    @contextmanager
    def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[http.client.HTTPResponse, threading.Event]]:
        """Send a request; all that can go wrong on the way becomes a `WorkloadFailed`."""
        headers = {"Accept": "text/event-stream" if body is not None else "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connection()
        late = threading.Event()
        hang_up: threading.Timer | None = None
        try:
            connection.connect()
            # A time-out of the socket starts anew with every byte. This one does not.
            hang_up = threading.Timer(self._timeout_s, _hang_up, (connection.sock, late))
            hang_up.daemon = True
            hang_up.start()
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            with connection.getresponse() as response:
                yield response, late
        except ConnectionRefusedError as error:
            raise WorkloadFailed(
                f"Nothing answers at {self.address}. Start the server first, and wait until it has loaded its model."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise self._failed(f"did not finish its answer within {self._timeout_s:g} s.") from error
            if isinstance(error, http.client.IncompleteRead):
                raise self._failed("ended its stream in the middle of an answer.") from error
            if isinstance(error, http.client.BadStatusLine) and not isinstance(error, ConnectionError):
                raise self._failed("does not speak HTTP.") from error
            raise self._failed(f"cannot be spoken to: {error or type(error).__name__}.") from error
        finally:
            if hang_up is not None:
                hang_up.cancel()
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        address = self.address
        if self._tls is not None:
            return http.client.HTTPSConnection(address.host, address.port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(address.host, address.port, timeout=self._timeout_s)

    def _refused(self, response: http.client.HTTPResponse, *, model: str = "") -> WorkloadFailed:
        """Say what a status other than 200 means for the user."""
        status = response.status
        advice = ""
        if 300 <= status < 400:
            advice = "It sends to another address; name that one instead."
        elif status in {401, 403}:
            advice = "It wants a key: set api_key_env to the name of the environment variable that holds it."
        elif status == 404 and model:
            with suppress(WorkloadFailed):
                known = ", ".join(self.models()) or "no list of models"
                advice = f"It was asked for the model {model!r} and has {known}."
        elif status == 429:
            advice = "It has too much to do: lower concurrency or rate_per_s."
        said = self._quoted(response.read(_LONGEST_LINE))
        return self._failed(" ".join(filter(None, [f"answered with the status {status}: {said}", advice])))

    def _quoted(self, body: bytes) -> str:
        """Find the message in what a server says about an error."""
        said: object
        try:
            said = msgspec.json.decode(body)
        except msgspec.DecodeError:
            said = body.decode(errors="replace").strip()
            if str(said).startswith("<"):
                said = "a web page"
        for name in ("error", "detail", "message"):
            if isinstance(said, dict) and name in said:
                said = said[name]
        said = " ".join(str(said).split()).replace(self._key or "\0", "***") or "no reason given"
        return f"{said[:200]}…" if len(said) > 200 else said if said.endswith(".") else f"{said}."

    def _decoded(self, content: bytes, kind: type[_T], what: str) -> _T:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._failed(f"sent {what} that is not what it should be: {error}.") from error

    def _failed(self, why: str) -> WorkloadFailed:
        return WorkloadFailed(f"The server at {self.address} {why}")


def _hang_up(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        # The plain socket's own: TLS would first forget how to read, and the reader fail in odd ways.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


_Count = Annotated[int, Meta(ge=0)]


class _Model(Struct):
    id: str
    owned_by: str | None = None


class _Models(Struct):
    data: list[_Model]


class _PromptDetails(Struct):
    cached_tokens: _Count | None = None


class _CompletionDetails(Struct):
    reasoning_tokens: _Count | None = None


class _Usage(Struct):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class _Stream:
    """What has come of one answer so far."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.done = self.finished = False
        self._clock = clock
        self._answer: list[str] = []
        self._reasoning = 0
        self._first_s: float | None = None
        self._usage = _Usage()

    def take(self, chunk: _Chunk) -> None:
        """Add a piece; the last usage holds, since some servers send one with every piece."""
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            delta = choice.delta
            answer = delta.content if delta is not None else choice.text
            reasoning = (delta.reasoning_content or delta.reasoning) if delta is not None else None
            if answer:
                self._answer.append(answer)
            if reasoning:
                self._reasoning += 1
            if self._first_s is None and (answer or reasoning):
                self._first_s = self._clock()
            self.finished |= choice.finish_reason is not None

    def reply(self, *, most: int) -> Reply:
        """Give the whole answer, if it can be one.

        Args:
            most: so many tokens were asked for at most.

        Raises:
            ValueError: if it is empty, or its counts of tokens cannot be; the message goes on after "The server".
        """
        end_s = self._clock()
        text = "".join(self._answer)
        if self._first_s is None or not text.strip():
            if self._reasoning:
                raise ValueError(
                    f"reasoned and gave no answer. Raise max_new_tokens, which is {most}, or set reasoning to false."
                )
            raise ValueError("gave an empty answer.")
        usage = self._usage
        cached = (usage.prompt_tokens_details or _PromptDetails()).cached_tokens
        reasoned = (usage.completion_tokens_details or _CompletionDetails()).reasoning_tokens
        tokens_in, tokens_out = usage.prompt_tokens, usage.completion_tokens
        if tokens_in == 0:
            raise ValueError("claims to have read no tokens.")
        if tokens_in is not None and cached is not None and cached > tokens_in:
            raise ValueError(f"claims {cached} cached tokens of {tokens_in} that it read.")
        pieces = len(self._answer) + self._reasoning
        if tokens_out is not None:
            if tokens_out > most:
                raise ValueError(f"claims to have written {tokens_out} tokens, where at most {most} were asked for.")
            # A piece has at least one token; one that ends the reasoning may come in two pieces.
            if pieces > tokens_out + 2:
                raise ValueError(f"claims to have written {tokens_out} tokens, but sent {pieces} pieces of text.")
            if reasoned is not None and reasoned > tokens_out:
                raise ValueError(f"claims {reasoned} tokens of reasoning of {tokens_out} that it wrote.")
            # Pieces of reasoning count as tokens where pieces are tokens, one by one (within a tenth, for those without
            # text); an assumption of ours.
            if reasoned is None and self._reasoning and pieces >= 0.9 * tokens_out:
                reasoned = min(self._reasoning, tokens_out)
        return Reply(
            text=text,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            tokens_cached=cached,
            tokens_reasoning=reasoned,
            first_token_s=self._first_s,
            end_s=end_s,
        )
