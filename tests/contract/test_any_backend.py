"""One suite over the backends for models of the user's choice, and what is particular to functions and programs."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from joulemark.errors import JoulemarkError, MissingExtra, UsageError, WeightsMissing, WorkloadFailed
from joulemark.workloads.backends.callable import PythonCallable
from joulemark.workloads.backends.command import Command
from joulemark.workloads.backends.endpoint import Endpoint
from joulemark.workloads.backends.llamacpp import LlamaCpp
from joulemark.workloads.backends.options import text, whole
from joulemark.workloads.models import models
from joulemark.workloads.seam import Answer, Backend, Item, Settings
from joulemark.workloads.tasks import task
from tests.simulated.chat_server import ChatServer

TASK = "chat"
ITEMS = tuple(Item(id=f"item-{n}", content="wind " * n) for n in (3, 1, 2))


class Echo:
    """The smallest backend that there can be; it says what it was asked."""

    distributions: tuple[str, ...] = ()
    extra = ""
    tasks = (TASK,)
    accepts = ("word", "times")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        self._word, self._times = text(settings, "word", ""), whole(settings, "times", 1)
        self._loaded = False

    def load(self) -> None:
        self._loaded = True

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        if not self._loaded:
            raise WorkloadFailed("Echo was asked before it was loaded.")
        return [Answer(output=(self._word + str(item.content)) * self._times) for item in batch]

    def close(self) -> None:
        self._loaded = False


def echo(contents: list[str]) -> list[str]:
    return [content.upper() for content in contents]


class Case(NamedTuple):
    backend: Any
    settings: dict[str, Any]
    wrong: dict[str, Any]  # a setting of its own with a value that it must refuse
    files: Mapping[str, Path] = MappingProxyType({})


@pytest.fixture(scope="module", params=["fake", "callable", "command", "endpoint", "llamacpp"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    if request.param == "fake":
        yield Case(Echo, {"word": "so "}, {"times": 0})
    elif request.param == "callable":
        yield Case(PythonCallable, {"function": f"{__name__}:echo"}, {"function": "echo"})
    elif request.param == "command":
        yield Case(Command, {"command": "cat"}, {"timeout_s": 0})
    elif request.param == "endpoint":
        with ChatServer().serving() as server:
            yield Case(Endpoint, {"endpoint": server.url}, {"concurrency": 0})
    else:
        try:
            weights = models()["smollm2-135m-instruct-q4"].locate()["weights"]
        except WeightsMissing as error:
            pytest.skip(str(error))
        settings = {"threads": 1, "max_new_tokens": 4}
        yield Case(LlamaCpp, settings, {"gpu_layers": -1}, {"weights": weights})


@pytest.fixture
def backend(case: Case) -> Iterator[Backend]:
    backend: Backend = case.backend(case.files, TASK, case.settings)
    yield backend
    backend.close()


def loaded(backend: Backend) -> Backend:
    try:
        backend.load()
    except MissingExtra as error:
        pytest.skip(str(error))
    return backend


def test_it_is_a_backend_that_says_what_it_is(case: Case, backend: Backend) -> None:
    assert isinstance(backend, Backend)
    assert TASK in case.backend.tasks
    assert case.settings.keys() | case.wrong.keys() <= set(case.backend.accepts)
    assert isinstance(case.backend.extra, str)
    assert all(isinstance(name, str) for name in case.backend.distributions)


def test_it_is_loaded_before_it_answers(backend: Backend) -> None:
    with pytest.raises(JoulemarkError, match="loaded"):
        backend.run(ITEMS)


def test_it_gives_as_many_answers_as_items_in_their_order(backend: Backend) -> None:
    loaded(backend)
    one_by_one = [answer for item in ITEMS for answer in backend.run([item])]
    together = backend.run(ITEMS)
    assert [a.output for a in together] == [a.output for a in one_by_one]
    assert all(isinstance(answer, Answer) and str(answer.output).strip() for answer in together)
    assert [answer.output for answer in backend.run(ITEMS[::-1])] == [answer.output for answer in together[::-1]]
    assert list(backend.run([])) == []


def test_it_can_be_closed_twice_and_loaded_again(backend: Backend) -> None:
    backend.close()  # before it was loaded, too
    (before,) = loaded(backend).run(ITEMS[:1])
    backend.close()
    backend.close()
    backend.load()
    (after,) = backend.run(ITEMS[:1])
    assert after.output == before.output


def test_a_wrong_setting_is_refused_by_its_name_before_anything_is_loaded(case: Case) -> None:
    (name,) = case.wrong
    with pytest.raises(UsageError, match=name):
        case.backend(case.files, TASK, {**case.settings, **case.wrong})


# --- functions ---


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, whose modules are found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def function(body: str, name: str = "answer", *, module: str, folder: Path) -> PythonCallable:
    (folder / f"{module}.py").write_text(body)
    return PythonCallable({}, TASK, {"function": f"{module}:{name}"})


def test_a_function_of_the_current_folder_may_tell_its_tokens(folder: Path) -> None:
    backend = function(
        "def answer(contents):\n"
        "    return [{'output': text, 'tokens_out': len(text), 'first_token_s': 0.5} for text in contents]",
        module="counts",
        folder=folder,
    )
    backend.load()
    assert backend.run(ITEMS[1:2]) == [Answer(output="wind ", tokens_out=5, first_token_s=0.5)]


def test_an_output_may_be_a_dict_of_its_own(folder: Path) -> None:
    backend = function("def answer(contents):\n    return [{'label': 'cat'}]", module="labels", folder=folder)
    backend.load()
    assert backend.run(ITEMS[:1]) == [Answer(output={"label": "cat"})]


def test_a_class_is_built_loaded_and_closed_once(folder: Path) -> None:
    backend = function(
        "calls = []\n"
        "class Model:\n"
        "    def __init__(self): calls.append('built')\n"
        "    def load(self): calls.append('load')\n"
        "    def run(self, contents): calls.append('run'); return contents\n"
        "    def close(self): calls.append('close')\n",
        "Model",
        module="whole",
        folder=folder,
    )
    assert "whole" not in sys.modules  # cheap until it is loaded
    backend.load()
    backend.run(ITEMS)
    backend.close()
    backend.close()
    assert sys.modules["whole"].calls == ["built", "load", "run", "close"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("answer = 3", "no function, but int"),
        ("other = 3", "AttributeError"),
        ("def answer(contents): raise ValueError('out of range')", "ValueError: out of range"),
        ("def answer(contents): raise SystemExit(3)", "SystemExit: 3"),
        ("def answer(contents): return contents[1:]", "2 answers to 3 inputs"),
        ("def answer(contents): return 'text'", "a list of answers, not str"),
        ("def answer(contents): return None", "a list of answers, not NoneType"),
        ("def answer(contents): yield 1; raise KeyError('late')", "KeyError"),
        ("def answer(contents): return [{'output': 1, 'tokens': 2}] * 3", "'tokens'; known are"),
        ("def answer(contents): return [{'output': 1, 'tokens_out': -2}] * 3", "tokens_out is -2"),
        ("def answer(contents): return [{'output': 1, 'latency_s': float('nan')}] * 3", "latency_s is nan"),
        ("class answer:\n    def __init__(self): raise OSError('no weights')", "OSError: no weights"),
    ],
)
def test_a_function_that_fails_is_a_workload_that_failed(
    folder: Path, request: pytest.FixtureRequest, body: str, says: str
) -> None:
    module = f"fails_{abs(hash(request.node.name))}"
    backend = function(body, module=module, folder=folder)

    def load_and_run() -> None:
        backend.load()
        backend.run(ITEMS)

    with pytest.raises(WorkloadFailed, match=says) as caught:
        load_and_run()
    assert str(caught.value).startswith(f"{module}:answer")


# --- programs ---


def program(code: str, *arguments: str, **settings: Any) -> Command:
    line = shlex.join([sys.executable, "-c", code, *arguments])
    backend = Command({}, TASK, {"command": line, **settings})
    backend.load()
    return backend


def test_a_program_reads_its_input_or_is_told_it(tmp_path: Path) -> None:
    sound = tmp_path / "clip.wav"
    sound.write_bytes(b"\x00RIFF")
    named = {"question": "Who?", "context": "Ada was."}
    read = "import sys; print(len(sys.stdin.buffer.read()))"
    told = "import sys; print(sys.argv[1], sys.stdin.read())"
    contents = [Item(id="one", content=content) for content in ("wind", sound, b"abc", named)]
    answers = program(read).run(contents)
    assert [answer.output for answer in answers] == ["4", "5", "3", str(len(json.dumps(named)))]
    contents = [Item(id="one", content=content) for content in ("a 'b'; $c", sound)]
    answers = program(told, "<{input}>").run(contents)
    assert [answer.output for answer in answers] == ["<a 'b'; $c>", f"<{sound}>"]


def test_a_program_may_print_json_with_its_tokens() -> None:
    code = """print('{"output": ["cat"], "tokens_out": 3}')"""
    assert program(code, output="json").run(ITEMS[:1]) == [Answer(output=["cat"], tokens_out=3)]


@pytest.mark.parametrize(
    ("code", "settings", "says"),
    [
        ("import sys; print('a', file=sys.stderr); sys.exit('no memory left')", {}, "exit code 1: no memory left"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", {}, "SIGKILL: no reason"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", {}, "no text in UTF-8"),
        ("print('cat')", {"output": "json"}, "one JSON value for item-3"),
        ("""print('{"output": 1, "tokens_out": -1}')""", {"output": "json"}, "tokens_out is -1"),
    ],
)
def test_a_program_that_fails_is_a_workload_that_failed(code: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(WorkloadFailed, match=says):
        program(code, **settings).run(ITEMS)


def test_a_program_that_hangs_ends_with_all_that_it_has_started() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(20)'])"
    began_s = time.monotonic()
    with pytest.raises(WorkloadFailed, match="did not end within 1 s"):
        program(child, timeout_s=1).run(ITEMS)
    # Its child holds the pipe: had it lived on, reading would have gone on for 20 s.
    assert time.monotonic() - began_s < 5


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(WorkloadFailed, match="no program 'no-such-program'"):
        Command({}, TASK, {"command": "no-such-program --fast"}).load()
    with pytest.raises(WorkloadFailed, match="cannot be started"):
        program("", "{input}").run([Item(id="one", content="zero \x00 byte")])


@pytest.mark.parametrize("line", ["", "  ", "cat 'unclosed"])
def test_a_command_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="command"):
        Command({}, TASK, {"command": line})


# --- any GGUF file ---


def llama(asked: str, **settings: Any) -> LlamaCpp:
    try:
        files = models()["smollm2-135m-instruct-q4"].locate()
        backend = LlamaCpp(files, asked, {"threads": 1, **settings})
        backend.load()
    except (WeightsMissing, MissingExtra) as error:
        pytest.skip(str(error))
    return backend


@pytest.mark.parametrize("asked", LlamaCpp.tasks)
def test_a_gguf_file_does_every_task_that_is_told_in_words(asked: str) -> None:
    backend = llama(asked, max_new_tokens=8, batch=64, context=512)
    (answer,) = backend.run(task(asked).items()[:1])
    assert isinstance(answer.output, str)
    assert answer.tokens_out is not None
    assert 0 < answer.tokens_out <= 8
    backend.close()


def test_the_length_is_fixed_where_it_is_asked_for() -> None:
    item = Item(id="short", content="Say yes.")
    counts = {}
    for fixed in (False, True):
        (answer,) = llama("chat", max_new_tokens=100, fixed_length=fixed).run([item])
        counts[fixed] = answer.tokens_out
    assert counts[True] == 100
    assert (counts[False] or 100) < 100  # where the model ends


def test_other_labels_are_asked_for_and_kept_to() -> None:
    labels = "sports, politics, the weather"
    backend = llama("text-classification", labels=labels)
    answers = backend.run(ITEMS)
    assert {str(answer.output) for answer in answers} <= set(labels.split(", "))
    with pytest.raises(UsageError, match="labels"):
        LlamaCpp({"weights": Path("none.gguf")}, "text-classification", {"labels": "own"})


def test_a_gpu_that_is_not_there_is_no_setting_that_works_silently() -> None:
    pytest.importorskip("xllamacpp")
    import xllamacpp

    if any("GPU" in str(device["type"]) for device in xllamacpp.get_device_info()):
        pytest.skip("this machine has a GPU that llama.cpp can use")
    with pytest.raises(WorkloadFailed, match="gpu_layers"):
        llama("chat", gpu_layers=999)
