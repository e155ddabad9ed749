"""One suite over every model and each of its tasks: what a backend promises, with the real weights."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from joulemark.errors import MissingExtra, UsageError, WeightsError, WeightsMissing, WorkloadFailed
from joulemark.workloads.backends import backend_class
from joulemark.workloads.models import Model, models
from joulemark.workloads.seam import Answer, Backend, Item, Settings, Task
from joulemark.workloads.tasks import task

# A model without files is named by a setting and has nothing to run here.
HUB = {"model_id": "nobody/nothing"}  # for the backend that asks for one
TORCH = ("transformers", "diffusers")
PAIRS = [(model, name) for model in models().values() if model.files for name in model.tasks]

BACKENDS = pytest.mark.parametrize(
    "model", {model.backend: model for model in models().values()}.values(), ids=lambda model: model.name
)


class Loaded(NamedTuple):
    backend: Backend
    task: Task
    settings: Settings
    items: tuple[Item, ...]
    answers: tuple[Answer, ...]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((model, name), id=f"{model.name}-{name}", marks=[pytest.mark.torch] * (model.extra in TORCH))
        for model, name in PAIRS
    ],
)
def loaded(request: pytest.FixtureRequest) -> Iterator[Loaded]:
    model, name = request.param
    asked = task(name)
    # Small settings: the contract is about answers, not about their length.
    small = {"max_new_tokens": 12} if "max_new_tokens" in asked.defaults else {}
    settings = {**asked.defaults, **small, "threads": 1}
    try:
        backend = backend_class(model.backend)(model.locate(), name, settings)
        backend.load()
    except (WeightsMissing, MissingExtra) as error:
        pytest.skip(str(error))
    items = asked.items()[:3]
    yield Loaded(backend, asked, settings, items, tuple(backend.run(items)))
    backend.close()
    backend.close()


def test_it_answers_every_item(loaded: Loaded) -> None:
    assert len(loaded.answers) == len(loaded.items)
    for item, answer in zip(loaded.items, loaded.answers, strict=True):
        assert loaded.task.check(item, answer, loaded.settings) is None
        assert answer.tokens_in is None or answer.tokens_in > 0
        assert answer.tokens_out is None or 0 < answer.tokens_out <= 64


def test_the_same_items_in_another_order_have_the_same_answers(loaded: Loaded) -> None:
    backwards = loaded.backend.run(loaded.items[::-1])
    assert_same(loaded.answers, backwards[::-1])


def test_it_can_be_closed_twice_and_loaded_again(loaded: Loaded) -> None:
    loaded.backend.close()
    loaded.backend.close()
    loaded.backend.load()
    assert_same(loaded.answers, loaded.backend.run(loaded.items))


@BACKENDS
def test_a_missing_runtime_is_named_with_its_extra(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend = backend_class(model.backend)
    files = dict.fromkeys(model.files, tmp_path)
    runtime = backend.distributions[0]
    monkeypatch.setitem(sys.modules, runtime.replace("-", "_"), None)  # importing it fails as if it were not there
    with pytest.raises(MissingExtra, match=rf"joulemark\[{model.extra}\]") as caught:
        backend(files, model.tasks[0], HUB).load()
    assert caught.value.package in backend.distributions


def test_versions_of_the_runtimes_can_be_recorded(loaded: Loaded) -> None:
    for name in type(loaded.backend).distributions:  # type: ignore[attr-defined]
        assert importlib.metadata.version(name)


@pytest.mark.parametrize("threads", [0, -1, True, "two", 1.5])
@BACKENDS
def test_threads_that_are_no_count_are_refused(model: Model, threads: Any, tmp_path: Path) -> None:
    files = dict.fromkeys(model.files, tmp_path)
    with pytest.raises(UsageError, match="threads"):
        backend_class(model.backend)(files, model.tasks[0], {**HUB, "threads": threads})


@BACKENDS
def test_weights_that_are_none_are_refused(model: Model, tmp_path: Path) -> None:
    damaged = tmp_path / "weights"
    damaged.write_bytes(b"this is no model")
    folders = {"model", "pipeline"}  # roles whose file is a folder; this one is empty
    files = {role: tmp_path / "empty" if role in folders else damaged for role in model.files}
    (tmp_path / "empty").mkdir()
    backend = backend_class(model.backend)(files, model.tasks[0], HUB)
    try:
        with pytest.raises((WorkloadFailed, WeightsError)):
            backend.load()
    except MissingExtra as error:
        pytest.skip(str(error))


def test_llama_cpp_keeps_nothing_from_one_text_to_the_next() -> None:
    # With a prompt cache the second answer would cost almost nothing, and later trials look ever cheaper.
    model = models()["smollm2-135m-instruct-q4"]
    report = " ".join(str(item.content) for item in task("summarization").items()[:2])
    items = [Item(id="report", content=report)]
    try:
        backend = backend_class(model.backend)(model.locate(), "text-generation", {"threads": 1, "max_new_tokens": 1})
        backend.load()
    except (WeightsMissing, MissingExtra) as error:
        pytest.skip(str(error))
    cpu_s = []
    for _ in range(2):
        start = time.process_time()
        backend.run(items)
        cpu_s.append(time.process_time() - start)
    backend.close()
    assert cpu_s[1] > 0.5 * cpu_s[0]


def assert_same(first: Sequence[Answer], second: Sequence[Answer]) -> None:
    """Equal texts and labels; numbers (embeddings, pixels) within rounding."""
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert (one.tokens_in, one.tokens_out) == (other.tokens_in, other.tokens_out)
        if isinstance(one.output, str | tuple):
            assert one.output == other.output
        else:
            import numpy as np

            numbers, others = (np.array(answer.output, dtype=float) for answer in (one, other))
            np.testing.assert_allclose(numbers, others, rtol=1e-4, atol=1e-5)
