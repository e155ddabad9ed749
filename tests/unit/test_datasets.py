"""Public data sets as inputs: read by the real library from folders made here, kept, and missed with a clear error."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from joulemark.errors import MissingExtra, UnknownName, WorkloadFailed
from joulemark.workloads import datasets as ours
from joulemark.workloads.datasets import COLUMNS, DECLARED, Declared, data_sets, inputs_for
from joulemark.workloads.seam import Answer, Item
from joulemark.workloads.shaping import STUDY, masked, study
from joulemark.workloads.tasks import task, tasks
from joulemark.workloads.tasks.forms import opened, picture_size

library = pytest.importorskip("datasets")

REVISION = "0123456789abcdef0123456789abcdef01234567"
STUDY_TASKS = (
    "text-classification",
    "token-classification",
    "question-answering",
    "fill-mask",
    "text-generation",
    "summarization",
    "image-classification",
    "object-detection",
    "image-captioning",
    "image-generation",
)

Hub = Callable[..., Declared]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub in a folder: gives the declared data set `name` of a task these rows, and a revision."""
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ours, "_revision_and_licence", lambda path: (REVISION, "cc-by-4.0"))

    def publish(task_name: str, name: str, rows: list[dict[str, Any]], features: Any = None) -> Declared:
        declared = data_sets(task_name)[name]
        folder = tmp_path / "hub" / name
        folder.mkdir(parents=True)
        split = {"val": "validation"}.get(declared.split, declared.split)
        library.Dataset.from_list(rows, features=features).to_parquet(str(folder / f"{split}.parquet"))
        local = replace(declared, path=str(folder), config="", split=split)
        monkeypatch.setattr(ours, "DECLARED", (local,))
        return local

    return publish


def test_the_study_has_ten_tasks_of_three_data_sets() -> None:
    sets = [(declared.task, declared.name) for declared in DECLARED if declared.by == "study"]
    assert len(set(sets)) == len(sets) == 30
    assert {name: len([s for s in sets if s[0] == name]) for name in STUDY_TASKS} == dict.fromkeys(STUDY_TASKS, 3)
    assert {declared.task for declared in DECLARED} <= set(tasks())
    assert set(COLUMNS) <= set(tasks())


def test_a_record_can_name_data_set_revision_and_rows(hub: Hub) -> None:
    rows = [
        {"question": f"Who is {n}?", "context": f"Here is {n}.", "answers": {"text": [str(n)], "answer_start": [8]}}
        for n in range(30)
    ]
    hub("question-answering", "squad", rows)
    name, licence, items = inputs_for(task("question-answering"), "squad", rows=20)
    assert (name, licence) == ("squad@0123456789ab[:20]", "cc-by-4.0")
    assert len(items()) == 20
    assert items()[3] == Item(id="squad-3", content={"question": "Who is 3?", "context": "Here is 3."}, expected=("3",))
    assert task("question-answering").check(items()[3], Answer(output="3"), {}) is None


def test_what_was_fetched_once_is_there_without_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub("text-generation", "wikitext", [{"text": "One."}, {"text": " "}, {"text": "Two."}])
    fetched = inputs_for(task("text-generation"), "wikitext")
    assert [item.content for item in fetched.items()] == ["One.", "Two."], "a row without words asks nothing"

    def unreachable(path: str) -> tuple[str, str]:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(ours, "_revision_and_licence", unreachable)
    again = inputs_for(task("text-generation"), "wikitext")
    assert (again.id, again.licence, again.items()) == (fetched.id, fetched.licence, fetched.items())


def test_classes_are_called_by_their_names(hub: Hub) -> None:
    features = library.Features({"text": library.Value("string"), "label": library.ClassLabel(names=["neg", "pos"])})
    rows = [{"text": "Awful.", "label": 0}, {"text": "Lovely.", "label": 1}, {"text": "So so.", "label": -1}]
    hub("text-classification", "imdb", rows, features)
    items = inputs_for(task("text-classification"), "imdb").items()
    assert [item.expected for item in items] == ["negative", "positive", None]


def test_tagged_words_become_spans_of_their_text(hub: Hub) -> None:
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    features = library.Features(
        {"tokens": library.List(library.Value("string")), "ner_tags": library.List(library.ClassLabel(names=names))}
    )
    rows = [{"tokens": ["Clara", "Hill", "is", "in", "Rome", "."], "ner_tags": [1, 2, 0, 0, 3, 0]}]
    hub("token-classification", "conll2003", rows, features)
    (item,) = inputs_for(task("token-classification"), "conll2003").items()
    assert item.content == "Clara Hill is in Rome ."
    assert item.expected == (("PER", 0, 10), ("LOC", 17, 21))


def test_pictures_come_as_the_bytes_that_the_data_set_holds(hub: Hub) -> None:
    drawing = task("object-detection").items()[0].content
    assert isinstance(drawing, Path)
    features = library.Features(
        {
            "image": library.Image(),
            "objects": {
                "bbox": library.List(library.List(library.Value("float32"))),
                "category": library.List(library.ClassLabel(names=["Mask", "Gloves"])),
            },
        }
    )
    objects = {"bbox": [[10.0, 20.0, 30.0, 40.0]], "category": [1]}
    hub("object-detection", "cppe-5", [{"image": str(drawing), "objects": objects}], features)
    (item,) = inputs_for(task("object-detection"), "cppe-5").items()
    assert item.content == drawing.read_bytes()
    assert item.expected == (("Gloves", (10.0, 20.0, 40.0, 60.0)),)


def test_columns_that_are_not_there_are_named(hub: Hub) -> None:
    hub("question-answering", "sciq", [{"question": "Who?", "text": "Nobody."}])
    with pytest.raises(WorkloadFailed, match="no column 'support'; it has question, text"):
        inputs_for(task("question-answering"), "sciq")


def test_a_data_set_of_empty_rows_is_refused(hub: Hub) -> None:
    hub("text-generation", "wikitext", [{"text": ""}, {"text": None}, {"text": " "}])
    with pytest.raises(WorkloadFailed, match="no rows with anything to ask"):
        inputs_for(task("text-generation"), "wikitext")


def test_without_a_network_the_error_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", str(tmp_path))
    with pytest.raises(WorkloadFailed, match=r"rajpurkar/squad cannot be had\. The hub cannot be reached"):
        inputs_for(task("question-answering"), "squad")


def test_a_data_set_that_the_hub_does_not_give_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> tuple[str, str]:
        raise library.exceptions.DatasetNotFoundError("404")

    monkeypatch.setattr(ours, "_revision_and_licence", gone)
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", str(tmp_path))
    with pytest.raises(WorkloadFailed, match=r"ILSVRC/imagenet-1k cannot be had\. It is not on the hub, or only for"):
        inputs_for(task("image-classification"), "imagenet")


def test_an_unknown_name_gives_near_ones() -> None:
    with pytest.raises(UnknownName) as caught:
        inputs_for(task("question-answering"), "squadd")
    assert "squad" in caught.value.near


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, **kwargs: str) -> None:
        raise MissingExtra(kwargs["package"], kwargs["extra"], kwargs["purpose"])

    monkeypatch.setattr(ours, "require", missing)
    with pytest.raises(MissingExtra, match=r"joulemark\[datasets\]"):
        inputs_for(task("question-answering"), "squad")


def test_addresses_of_pictures_are_no_inputs(hub: Hub) -> None:
    hub("image-captioning", "redcaps", [{"image_url": "https://example.org/rose.jpg", "caption": "a rose"}])
    with pytest.raises(WorkloadFailed, match="disappear"):
        inputs_for(task("image-captioning"), "redcaps")


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "saved"])
def test_a_file_or_folder_of_ones_own_does_as_well(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [{"text": "A long story.", "summary": "Short."}, {"text": "Another one.", "summary": "Too."}]
    table = library.Dataset.from_list(rows)
    path = tmp_path / ("stories" if form == "saved" else f"stories.{form}")
    if form == "saved":
        table.save_to_disk(str(path))
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        {"csv": table.to_csv, "parquet": table.to_parquet}[form](str(path))
    name, licence, items = inputs_for(task("summarization"), str(path))
    assert name.startswith("stories@")
    assert name.endswith("[:2]")
    assert licence == "not stated"
    assert [(item.content, item.expected) for item in items()] == [tuple(row.values()) for row in rows]


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for name, content in (("stories.txt", "A story."), ("stories.jsonl", "{no json")):
        (tmp_path / name).write_text(content)
        with pytest.raises(WorkloadFailed, match=name):
            inputs_for(task("summarization"), str(tmp_path / name))


def test_there_are_prompts_of_our_own_for_models_that_paint() -> None:
    name, licence, items = inputs_for(task("image-generation"), "picture-prompts")
    assert (name, licence, len(items())) == ("joulemark-picture-prompts/1", "CC0-1.0", 20)


# --- The study's shaping --------------------------------------------------------------------------------------------


LONG = " ".join(f"w{n}" for n in range(99))


def test_the_study_cuts_texts_and_prompts() -> None:
    item = Item(id="a", content=LONG)
    for name, words in (("text-generation", 20), ("image-generation", 50), ("summarization", 99)):
        (shaped,) = study(name, [item])
        assert len(str(shaped.content).split()) == words
        assert LONG.startswith(str(shaped.content))
        assert shaped.id == "a"
    assert STUDY["text-generation"]["max_new_tokens"] == 10
    # max_length=15 and min_length=10 count the token that the decoder starts with.
    assert STUDY["summarization"] == {"max_new_tokens": 14, "min_new_tokens": 9}


def test_the_study_hides_the_twentieth_word() -> None:
    (shaped,) = study("fill-mask", [Item(id="a", content=LONG)])
    assert str(shaped.content).split()[18:] == ["w18", "{mask}"]
    assert shaped.expected == "w19"
    assert masked("To the sea.") == ("To the {mask}", "sea")
    asked = task("fill-mask").items()
    assert study("fill-mask", asked) == asked, "a short sentence with a gap stays as it is"


@pytest.mark.parametrize("name", ["image-classification", "image-captioning", "object-detection"])
def test_the_study_resizes_pictures(name: str, tmp_path: Path) -> None:
    with opened(task(name).items()[0].content) as picture:
        picture.convert("L").resize((320, 120)).save(tmp_path / "small.png")
    things = (("bus", (10.0, 20.0, 160.0, 120.0)),)
    item = Item(id="a", content=tmp_path / "small.png", expected=things)
    (shaped,) = study(name, [item])
    assert picture_size(shaped.content) == (640, 480)
    with opened(shaped.content) as picture:
        assert picture.mode == "RGB"
    moved = (("bus", (20.0, 80.0, 320.0, 480.0)),)
    assert shaped.expected == (moved if name == "object-detection" else things)
    assert study(name, [item]) == (shaped,)


def test_what_the_study_left_alone_stays_as_it_is() -> None:
    for name in set(tasks()) - {"text-generation", "image-generation"} - set(STUDY_TASKS[6:9]):
        assert study(name, task(name).items()) == task(name).items(), name
