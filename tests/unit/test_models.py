"""The list of models: every pin well-formed, every backend there, every task known; and what plugins may add."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from joulemark.errors import UnknownName, UsageError
from joulemark.workloads.backends import backend_class
from joulemark.workloads.models import Model, model, models
from joulemark.workloads.tasks import task, tasks
from joulemark.workloads.weights import LocalFile, OwnFile, PinnedFile

MODELS = pytest.mark.parametrize("name", models())


@MODELS
def test_every_pin_is_well_formed(name: str) -> None:
    for role, file in model(name).files.items():
        assert re.fullmatch(r"[a-z_]+", role)
        assert not isinstance(file, LocalFile)
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert not Path(file.path).is_absolute()
        assert ".." not in Path(file.path).parts
        if isinstance(file, PinnedFile):
            assert re.fullmatch(r"[a-z0-9-]+", file.distribution)
            assert re.fullmatch(r"[0-9][0-9a-z.]*", file.version)


@MODELS
def test_every_own_file_ships_and_is_the_pinned_one(name: str) -> None:
    for file in model(name).files.values():
        if isinstance(file, OwnFile):
            assert file.locate().exists()


@MODELS
def test_every_model_says_who_made_it_and_what_it_can_do(name: str) -> None:
    found = model(name)
    assert found.title
    assert found.licence
    assert found.origin
    assert found.parameters >= 0
    assert set(found.tasks) <= set(tasks())
    assert found.tasks


@MODELS
def test_every_backend_can_be_imported(name: str) -> None:
    backend = backend_class(model(name).backend)
    assert backend.distributions
    for method in ("load", "run", "close"):
        assert callable(getattr(backend, method))


def test_the_quickstart_requirements_are_the_packages_that_are_pinned() -> None:
    file = Path(__file__).parents[2] / "requirements" / "quickstart-models.txt"
    listed = re.findall(r"^([a-z0-9.-]+==\S+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    quickstart = (model for model in models().values() if model.extra in ("onnxruntime", "llamacpp", "speech"))
    assert sorted(listed) == sorted({package for model in quickstart for package in model.requirements})


def test_lists_and_backends_load_no_heavy_library() -> None:
    script = """
        import sys
        from joulemark.workloads.backends import backend_class
        from joulemark.workloads.models import models
        from joulemark.workloads.tasks import tasks
        tasks()
        for model in models().values():
            backend_class(model.backend)
        heavy = {"numpy", "onnxruntime", "tokenizers", "xllamacpp", "faster_whisper", "torch", "transformers"}
        print(sorted(heavy & set(sys.modules)))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_names_give_near_ones() -> None:
    with pytest.raises(UnknownName) as caught:
        model("smollm2-135m-instruct")
    assert "smollm2-135m-instruct-q4" in caught.value.near
    with pytest.raises(UnknownName) as caught:
        task("text-classifcation")
    assert "text-classification" in caught.value.near


def test_a_backend_that_is_not_there_is_named() -> None:
    wrong = Model(
        name="odd",
        title="Odd",
        tasks=("summarization",),
        backend="joulemark.workloads.backends.onnx:NoSuchClass",
        files={},
        licence="MIT",
        parameters=1,
        precision="float32",
        extra="onnxruntime",
        origin="a test",
    )
    with pytest.raises(UsageError, match="NoSuchClass"):
        backend_class(wrong.backend)


@pytest.fixture
def forget() -> Iterator[None]:
    """Read plugins again, and forget them afterwards."""
    models.cache_clear()
    tasks.cache_clear()
    yield
    models.cache_clear()
    tasks.cache_clear()


@pytest.mark.usefixtures("forget")
def test_plugins_are_added_and_broken_ones_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "extra_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[joulemark.models]\n"
        "good = extra_models_plugin:MODEL\n"
        "gone = extra_models_plugin:GONE\n"
        "wrong = extra_models_plugin:NUMBER\n"
        "taken = extra_models_plugin:TAKEN\n"
    )
    (tmp_path / "extra_models_plugin.py").write_text(
        "from dataclasses import replace\n"
        "from joulemark.workloads.models import Model\n"
        "MODEL = Model(name='good', title='Good', tasks=('summarization',), backend='a:B', files={}, licence='MIT',\n"
        "              parameters=1, precision='float32', extra='', origin='a test')\n"
        "TAKEN = replace(MODEL, name='silero-vad')\n"
        "NUMBER = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match="is left out") as caught:
        found = models()
    said = "\n".join(str(warning.message) for warning in caught)
    assert found["good"].title == "Good"
    assert found["silero-vad"].title != "Good"
    for name in ("gone", "wrong", "taken"):
        assert f"plugin {name!r}" in said
    assert "plugin 'good'" not in said
