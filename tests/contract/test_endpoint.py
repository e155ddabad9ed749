"""An endpoint: what is sent, what is timed and counted, and how a server that fails or lies is found out."""

from __future__ import annotations

import itertools
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.endpoint import Endpoint
from joulemark.workloads.seam import Answer, Item
from joulemark.workloads.tasks import task
from tests.simulated.chat_server import LIES, WORDS, ChatServer
from tests.simulated.llama_server import llama

__all__ = ["llama"]  # a fixture

ITEM = Item(id="one", content="What is the sea like today?")
TEXT = "".join(WORDS)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer().serving() as server:
        yield server


def loaded(server: ChatServer, asked: str = "chat", **settings: Any) -> Endpoint:
    endpoint = Endpoint({}, asked, {"endpoint": server.url, "timeout_s": 5, **settings})
    endpoint.load()
    return endpoint


def items(count: int) -> list[Item]:
    return [Item(id=f"item-{n}", content=f"What is {n}?") for n in range(count)]


def test_an_answer_comes_with_its_tokens_and_times(server: ChatServer) -> None:
    server.piece_s, server.cached = 0.01, 4
    (answer,) = loaded(server).run([ITEM])
    assert answer.output == TEXT
    assert (answer.tokens_in, answer.tokens_cached, answer.tokens_out) == (11, 4, len(WORDS))
    assert answer.first_token_s is not None
    assert answer.latency_s is not None
    # The first word takes one interval, all ten take ten.
    assert 0.01 <= answer.first_token_s < 0.5 * answer.latency_s
    assert answer.latency_s - answer.first_token_s >= 0.08


def test_what_is_sent_is_greedy_and_streamed(server: ChatServer) -> None:
    loaded(server, max_new_tokens=7).run([ITEM])
    (sent,) = server.requests
    assert sent["messages"] == [{"role": "user", "content": ITEM.content}]
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["stream"]) == ("tiny", 7, 0, True)
    assert sent["cache_prompt"] is False
    assert "ignore_eos" not in sent


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"fixed_length": True}, {"ignore_eos": True, "min_tokens": 64}),
        ({"min_new_tokens": 5}, {"min_tokens": 5}),
        ({"min_new_tokens": 9, "max_new_tokens": 9}, {"ignore_eos": True, "min_tokens": 9}),
        ({"reasoning": False}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ({"api": "completions"}, {"prompt": ITEM.content}),
    ],
)
def test_settings_reach_the_server(server: ChatServer, settings: dict[str, Any], fields: dict[str, Any]) -> None:
    loaded(server, **settings).run([ITEM])
    assert fields.items() <= server.requests[0].items()


def test_no_two_requests_can_share_a_cache_unless_that_is_wanted(server: ChatServer) -> None:
    loaded(server).run([ITEM, ITEM])
    salts = {request["cache_salt"] for request in server.requests}
    assert len(salts) == 2
    server.requests.clear()
    loaded(server, prompt_cache=True).run([ITEM])
    assert not {"cache_salt", "cache_prompt"} & server.requests[0].keys()


def test_text_generation_has_the_asked_length(server: ChatServer) -> None:
    asked = task("text-generation")
    (answer,) = loaded(server, asked.name, max_new_tokens=24).run([ITEM])
    assert asked.check(ITEM, answer, {"max_new_tokens": 24}) is None


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("told", [True, False])
def test_reasoning_is_counted_and_no_part_of_the_answer(server: ChatServer, told: bool, field: str) -> None:
    server.reasoning, server.told, server.field = 6, told, field
    (answer,) = loaded(server, reasoning=True).run([ITEM])
    assert (answer.tokens_reasoning, answer.tokens_out) == (6, 6 + len(WORDS))
    assert "hm" not in str(answer.output)


def test_a_server_that_tells_no_usage_leaves_the_counts_open(server: ChatServer) -> None:
    # Pieces are not tokens: counting them would be a guess that looks like a fact.
    server.fault, server.reasoning = "no-usage", 2
    (answer,) = loaded(server).run([ITEM])
    assert answer.output
    assert {answer.tokens_in, answer.tokens_out, answer.tokens_cached, answer.tokens_reasoning} == {None}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_so_many_requests_are_always_in_flight(server: ChatServer, concurrency: int) -> None:
    server.piece_s = 0.005
    asked = items(12)
    answers = loaded(server, concurrency=concurrency).run(asked)
    assert len(answers) == 12
    assert server.most == concurrency
    contents = {request["messages"][0]["content"] for request in server.requests}
    assert contents == {item.content for item in asked}


def test_answers_come_in_the_order_of_the_items_whoever_is_first(server: ChatServer) -> None:
    def complete(path: str, request: dict[str, Any]) -> Any:
        said = request["messages"][0]["content"]
        time.sleep(0.05 if said.endswith(" 0?") else 0.0)
        return real(path, {**request, "max_tokens": int(said[8:-1]) + 1})

    endpoint = loaded(server, concurrency=4)
    assert endpoint._client is not None
    real = endpoint._client.complete
    endpoint._client.complete = complete  # type: ignore[assignment,method-assign]
    assert [answer.tokens_out for answer in endpoint.run(items(6))] == [1, 2, 3, 4, 5, 6]


def test_poisson_arrivals_come_at_their_rate_and_at_random(server: ChatServer) -> None:
    endpoint = loaded(server, arrival="poisson", rate_per_s=200.0, seed=3)
    endpoint.run(items(100))
    gaps = [later - earlier for earlier, later in itertools.pairwise(sorted(server.began_s))]
    # The mean of 99 exponential gaps lies within 4 standard errors (0.4) of 1/rate; their spread equals their mean.
    assert 0.6 / 200 < statistics.mean(gaps) < 1.4 / 200
    assert statistics.stdev(gaps) > 0.5 / 200


def test_arrivals_repeat_with_the_seed_and_differ_between_trials(server: ChatServer) -> None:
    def arrivals(endpoint: Endpoint) -> list[float]:
        return [endpoint._arrivals.expovariate(1.0) for _ in range(5)]

    settings: dict[str, Any] = {"arrival": "poisson", "rate_per_s": 100}
    first, same, other = (loaded(server, **settings, seed=seed) for seed in (1, 1, 2))
    trials = [arrivals(first), arrivals(first)]
    assert trials == [arrivals(same), arrivals(same)]
    assert trials[0] != trials[1]
    assert arrivals(other) not in trials


@pytest.mark.parametrize("concurrency", [256, 1])
def test_a_request_that_had_to_wait_counts_from_when_it_was_due(server: ChatServer, concurrency: int) -> None:
    # Ten requests within some 10 ms, each 20 ms of work for a server that does one at a time: the last waits for all,
    # whether it waits at the server or before it. Timed from when it is sent, the latter would look like 20 ms.
    server.slots, server.piece_s = threading.Semaphore(1), 0.002
    endpoint = loaded(server, arrival="poisson", rate_per_s=1000.0, concurrency=concurrency)
    latencies = [answer.latency_s or 0.0 for answer in endpoint.run(items(10))]
    assert max(latencies) > 0.15
    assert max(latencies) > 3 * min(latencies)


def test_waiting_costs_no_processor_time(server: ChatServer) -> None:
    server.piece_s = 0.05
    endpoint = loaded(server, concurrency=4)
    cpu_s, began_s = time.process_time(), time.perf_counter()
    endpoint.run(items(4))
    # The simulated server's part is in it, too.
    assert time.process_time() - cpu_s < 0.25 * (time.perf_counter() - began_s)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("401", "api_key_env"),
        ("404", "has tiny"),
        ("429", "overloaded.*lower concurrency"),
        ("500", "status 500: a web page"),
        ("302", "another address"),
        ("silent", "within 1 s"),
        ("trickle", "within 1 s"),
        ("cut", "in the middle"),
        ("closed", "in the middle"),
        ("empty", "empty answer"),
        ("blank", "empty answer"),
        ("json", "did not stream"),
        ("no-json", "not what it should be"),
        ("no-events", "something else than events"),
        ("no-http", "does not speak HTTP"),
        ("hangs-up", "cannot be spoken to"),
        ("endless", "more than"),
        ("error", "out of memory"),
        *((lie, "claims|not what it should be") for lie in LIES),
    ],
)
def test_what_is_no_answer_fails_and_says_why(server: ChatServer, fault: str, says: str) -> None:
    endpoint = loaded(server, timeout_s=1, concurrency=2)
    server.fault, server.fails_after = fault, 2
    began_s = time.monotonic()
    with pytest.raises(WorkloadFailed, match=says) as caught:
        endpoint.run(items(8))
    assert time.monotonic() - began_s < 4
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    # Two went well and two were in flight; the rest is not sent any more, nor is anything tried again.
    assert len(server.requests) <= 6


def test_a_server_that_goes_away_is_named(server: ChatServer) -> None:
    endpoint = loaded(server)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(WorkloadFailed, match=r"Nothing answers at .*Start the server"):
        Endpoint({}, "chat", {"endpoint": nowhere}).load()
    endpoint.close()
    with pytest.raises(WorkloadFailed, match="before it was loaded"):
        endpoint.run([ITEM])


def test_reasoning_that_leaves_no_room_for_an_answer_is_said_so(server: ChatServer) -> None:
    server.reasoning = 100
    with pytest.raises(WorkloadFailed, match=r"reasoned and gave no answer.*max_new_tokens, which is 16"):
        loaded(server, max_new_tokens=16).run([ITEM])


def test_a_model_that_the_server_has_not_is_refused(server: ChatServer) -> None:
    # llama-server answers for any name: the record would name a model that never ran.
    with pytest.raises(WorkloadFailed, match="no model 'gpt-5', only tiny"):
        loaded(server, model_id="gpt-5")
    server.models = ("a", "b:latest")
    with pytest.raises(WorkloadFailed, match="has a, b:latest: say which"):
        loaded(server)
    loaded(server, model_id="b").run([ITEM])
    assert server.requests[-1]["model"] == "b"
    server.models = None
    loaded(server, model_id="anything").run([ITEM])
    with pytest.raises(WorkloadFailed, match="no list of models: say which"):
        loaded(server)


def test_the_server_says_what_it_is(server: ChatServer) -> None:
    assert loaded(server).software == {"server": "simulated 1.2.3"}


def test_the_key_is_sent_and_never_shown(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_KEY", "sk-secret-1")
    endpoint = loaded(server, api_key_env="SERVER_KEY")
    server.fault = "401"  # this one repeats the key
    with pytest.raises(WorkloadFailed) as caught:
        endpoint.run([ITEM])
    assert set(server.keys) == {"Bearer sk-secret-1"}
    assert "provided: Bearer ***" in str(caught.value)
    assert "sk-secret-1" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "sk-\x00secret", "schlüssel"])
def test_a_key_that_is_none_is_refused_by_the_name_of_its_variable(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.delenv("SERVER_KEY", raising=False)
    if "\x00" in value:
        value = value.replace("\x00", "\x07")
    if value:
        monkeypatch.setenv("SERVER_KEY", value)
    with pytest.raises(UsageError, match="SERVER_KEY") as caught:
        loaded(server, api_key_env="SERVER_KEY")
    assert not value or value not in str(caught.value)


def test_a_key_in_the_place_of_its_variable_is_not_repeated() -> None:
    with pytest.raises(UsageError, match="api_key_env") as caught:
        Endpoint({}, "chat", {"endpoint": "http://localhost:1", "api_key_env": "sk-secret-1"})
    assert "sk-secret-1" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1.2.3", "0.0.0.0"])  # noqa: S104
def test_an_endpoint_of_this_machine_is_taken(host: str) -> None:
    Endpoint({}, "chat", {"endpoint": f"http://{host}:8000/v1"})


@pytest.mark.parametrize("host", ["192.0.2.7", "[2001:db8::1]"])  # documentation's own addresses (RFC 5737, 3849)
def test_an_endpoint_elsewhere_is_refused_because_its_energy_is_not_seen(host: str) -> None:
    url = f"https://{host}/v1"
    with pytest.raises(UsageError, match=r"energy is not seen from here.*serves_here"):
        Endpoint({}, "chat", {"endpoint": url})
    Endpoint({}, "chat", {"endpoint": url, "serves_here": True})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"endpoint": "localhost:8000"}, "endpoint must be a URL"),
        ({"endpoint": "ftp://localhost/v1"}, "endpoint must be a URL"),
        ({"endpoint": "http://localhost:many/v1"}, "endpoint is no URL"),
        ({"endpoint": "http://me:secret@localhost/v1"}, "api_key_env"),
        ({"endpoint": "http://no-such-host.invalid/v1"}, "is not known"),
        ({"api": "assistants"}, "api must be one of"),
        ({"arrival": "bursts"}, "arrival must be one of"),
        ({"arrival": "poisson"}, "rate_per_s must be"),
        ({"arrival": "poisson", "rate_per_s": 0}, "rate_per_s must be"),
        ({"arrival": "poisson", "rate_per_s": float("nan")}, "rate_per_s must be"),
        ({"rate_per_s": 3}, "needs the setting arrival"),
        ({"concurrency": 0}, "concurrency"),
        ({"timeout_s": 0.5}, "timeout_s"),
        ({"reasoning": "on"}, "reasoning must be true or false"),
        ({"reasoning_effort": "some"}, "reasoning_effort must be one of"),
        ({"min_new_tokens": 65}, "above max_new_tokens"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        Endpoint({}, "chat", {"endpoint": "http://localhost:8000/v1", **settings})
    assert "secret" not in str(caught.value)


def test_a_task_without_words_is_refused() -> None:
    with pytest.raises(UsageError, match="image-generation"):
        Endpoint({}, "image-generation", {"endpoint": "http://localhost:8000/v1"})


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_real_server_answers(llama: str, api: str) -> None:
    asked = task("text-generation")
    settings: dict[str, Any] = {"endpoint": llama, "api": api, "max_new_tokens": 12, "concurrency": 2}
    endpoint = Endpoint({}, asked.name, settings)
    endpoint.load()
    assert endpoint.software["server"].startswith("llamacpp ")
    chosen = asked.items()[:3]
    answers = endpoint.run(chosen)
    for item, answer in zip(chosen, answers, strict=True):
        assert asked.check(item, answer, settings) is None
        assert answer.tokens_in is not None
        assert answer.tokens_in > 3
        assert answer.first_token_s is not None
        assert answer.latency_s is not None
        assert 0 < answer.first_token_s < answer.latency_s
    endpoint.close()


@pytest.mark.parametrize("wanted", [False, True])
def test_a_real_server_keeps_prompts_only_when_it_is_wanted(llama: str, wanted: bool) -> None:
    def ask(word: str) -> Answer:
        (answer,) = endpoint.run([Item(id="long", content=f"{word}: the wind turns to the west. " * 8)])
        return answer

    endpoint = Endpoint({}, "chat", {"endpoint": llama, "max_new_tokens": 2, "prompt_cache": wanted})
    endpoint.load()
    word = f"Cached {wanted}"
    ask(word)
    again = ask(word)
    assert again.tokens_in is not None
    if wanted:
        assert (again.tokens_cached or 0) > 0.5 * again.tokens_in
    else:
        assert again.tokens_cached == 0


def test_a_real_server_refuses_a_prompt_that_is_too_long(llama: str) -> None:
    endpoint = Endpoint({}, "chat", {"endpoint": llama, "max_new_tokens": 2})
    endpoint.load()
    with pytest.raises(WorkloadFailed, match=r"status 400.*context"):
        endpoint.run([Item(id="long", content="The wind turns to the west. " * 400)])
