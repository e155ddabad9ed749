"""Tasks: inputs that stay the same, checks that refuse what is no answer, and metrics computed by hand."""

from __future__ import annotations

import math
import wave
from dataclasses import replace
from pathlib import Path

import pytest

from joulemark.workloads.inputs import FOLDER, inputs_sha256
from joulemark.workloads.seam import Answer, Item, Quality, Task
from joulemark.workloads.tasks import task, tasks
from joulemark.workloads.tasks.automatic_speech_recognition import word_errors, words
from joulemark.workloads.tasks.summarization import rouge1_recall
from joulemark.workloads.tasks.text_classification import label_of

NAMES = pytest.mark.parametrize("name", tasks())

# The inputs of a published id never change: a new hash needs a new id.
PINNED_INPUTS = {
    "joulemark-prompts/1": "bd3c495acdda7bbaed54963c65da86fb360bf0c9138d44024e5ed927cfc1841e",
    "joulemark-news/1": "2849e60278dd8d155f0cc49f325097178e090e2ccfc95cb23977a922b8c34107",
    "joulemark-sentiment/1": "6e460a5a4cc975ba486232bca520f514b2c035d7cac5460c27b9744c3476c24d",
    "joulemark-personal-data/1": "c128289606f8812e75dd7662a26aa7708d74b1814b3b01132466cabf542c9c40",
    "joulemark-sentences/1": "bdd656971fcb7a10a3595ff9570b23688c20ecfc0a59edc80e614154bb0f2a2b",
    "joulemark-masked/1": "6b642e00eb3e92cb7ce3b64f540cd7e7b14d5391f4f1a1cb6b2959930db5592f",
    "joulemark-recordings/1": "9ddd7f50476cc432495f23a676ab7525d33961d250bdff7518511867133db985",
    "joulemark-files/1": "57756f0f62f69e9351aad0ba7ce0ed58e632c62b7573f0e12f9243b117e99ee9",
    "joulemark-digit-prompts/1": "93846a43cc4aed0b2527ee32d5c6508caea3c31b5fce3b318d443f3d76c9475b",
}


@NAMES
def test_inputs_are_named_licensed_and_the_same_every_time(name: str) -> None:
    asked = task(name)
    items = asked.items()
    assert asked.name == name
    assert asked.inputs
    assert asked.licence
    assert items == asked.items()
    assert len({item.id for item in items}) == len(items) >= 4
    assert all(not isinstance(item.content, Path) or item.content.is_file() for item in items)


@NAMES
def test_inputs_have_not_changed_under_their_id(name: str) -> None:
    assert inputs_sha256(task(name)) == PINNED_INPUTS[task(name).inputs]


def test_the_hash_of_inputs_sees_ids_contents_and_order(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Item(id="a", content="bc"), Item(id="ab", content=b"c")

    def hash_of(*items: Item) -> str:
        return inputs_sha256(_with(items))

    assert hash_of(one) == hash_of(Item(id="a", content=b"bc", expected="not hashed"))
    assert len({hash_of(one), hash_of(two), hash_of(one, two), hash_of(two, one)}) == 4


def _with(items: tuple[Item, ...]) -> Task:
    return replace(task("text-generation"), items=lambda: items)


def test_recordings_are_short_mono_and_say_when_somebody_speaks() -> None:
    for item in task("voice-activity-detection").items():
        with wave.open(str(item.content), "rb") as file:
            form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            length_s = file.getnframes() / file.getframerate()
        assert form == (16_000, 1, 2)
        assert isinstance(item.expected, tuple)
        start, end = item.expected
        assert 0.5 <= start < end <= length_s - 0.499
        assert 2 < length_s < 6
    assert sum(file.stat().st_size for file in FOLDER.glob("*.wav")) < 600_000


REVIEW = Item(id="review", content="It was fine.", expected="positive")
CHECKS = [
    # task, item, what is an answer, what is none
    (
        "text-generation",
        Item(id="p", content="Hello"),
        [Answer(output="Hello there", tokens_out=64)],
        [Answer(output=" ", tokens_out=64), Answer(output="Hello", tokens_out=63), Answer(output="Hello")],
    ),
    (
        "summarization",
        Item(id="n", content="A long report about nothing."),
        [Answer(output="Nothing.")],
        [Answer(output=""), Answer(output="A long report about nothing."), Answer(output=None)],
    ),
    (
        "text-classification",
        REVIEW,
        [Answer(output="positive"), Answer(output=" NEGATIVE.")],
        [Answer(output="good"), Answer(output="positive or negative"), Answer(output="LABEL_1")],
    ),
    (
        "token-classification",
        Item(id="t", content="Clara"),
        [Answer(output=()), Answer(output=[("GIVEN_NAME", 0, 5)])],
        [Answer(output=[("GIVEN_NAME", 0, 6)]), Answer(output="GIVEN_NAME"), Answer(output=[("X", 3, 3)])],
    ),
    (
        "sentence-embeddings",
        Item(id="s", content="x"),
        [Answer(output=[0.6, 0.8])],
        [Answer(output=[0.6, 0.6]), Answer(output=[math.nan, 1.0]), Answer(output=[])],
    ),
    (
        "fill-mask",
        Item(id="m", content="{mask}"),
        [Answer(output="word")],
        [Answer(output=""), Answer(output="two words"), Answer(output=3)],
    ),
    (
        "automatic-speech-recognition",
        Item(id="r", content="x", expected="Hello."),
        [Answer(output="Hello.")],
        [Answer(output=""), Answer(output="..."), Answer(output=None)],
    ),
    (
        "voice-activity-detection",
        Item(id="r", content="x", expected=(0.5, 1.0)),
        [Answer(output=[(0.5, 1.0)]), Answer(output=((0.0, 0.5), (0.7, 1.0)))],
        [Answer(output=[]), Answer(output=[(1.0, 0.5)]), Answer(output=[(0.0, 1.0), (0.5, 2.0)])],
    ),
    (
        "content-type-detection",
        Item(id="f", content=b"x"),
        [Answer(output="python")],
        [Answer(output=""), Answer(output=None)],
    ),
]


@pytest.mark.parametrize(("name", "item", "right", "wrong"), CHECKS, ids=[check[0] for check in CHECKS])
def test_a_check_takes_answers_and_refuses_what_is_none(
    name: str, item: Item, right: list[Answer], wrong: list[Answer]
) -> None:
    asked = task(name)
    assert [asked.check(item, answer, asked.defaults) for answer in right] == [None] * len(right)
    for answer in wrong:
        reason = asked.check(item, answer, asked.defaults)
        assert reason, answer
        assert reason.endswith(".")


def test_a_check_asks_for_the_number_of_tokens_that_was_set() -> None:
    asked = task("text-generation")
    item, answer = asked.items()[0], Answer(output="Short", tokens_out=8)
    assert asked.check(item, answer, {"max_new_tokens": 8}) is None
    assert asked.check(item, answer, {"max_new_tokens": 9}) is not None


def test_accuracy_counts_right_labels() -> None:
    other = Item(id="other", content="It was awful.", expected="negative")
    pairs = [(REVIEW, Answer(output="Positive!")), (other, Answer(output="positive"))]
    assert task("text-classification").quality(pairs) == Quality(metric="accuracy", value=0.5, n=2)
    assert label_of("positive and negative") is None


def test_entity_f1_wants_label_and_both_ends() -> None:
    # Two expected, three found, one of them right: F1 = 2 x 1 / (3 + 2).
    item = Item(id="t", content="Clara in London", expected=(("GIVEN_NAME", 0, 5), ("CITY", 9, 15)))
    found = Answer(output=[("GIVEN_NAME", 0, 5), ("CITY", 9, 14), ("CITY", 6, 8)])
    quality = task("token-classification").quality([(item, found)])
    assert quality is not None
    assert quality.value == pytest.approx(0.4)


def test_expected_entities_are_where_they_stand_in_the_text() -> None:
    for item in task("token-classification").items():
        assert isinstance(item.expected, tuple)
        for _, start, end in item.expected:
            words = str(item.content)[start:end]
            assert words == words.strip() != ""
    # "27" is the house, not a part of the post code 62704 behind it.
    address = next(item for item in task("token-classification").items() if "62704" in str(item.content))
    assert ("BUILDING_NUMBER", 33, 35) in tuple(address.expected)  # type: ignore[arg-type]


def test_word_errors_are_the_least_number_of_edits() -> None:
    said = words("The river is high, isn't it?")
    assert said == ["the", "river", "is", "high", "isn't", "it"]
    assert word_errors(said, said) == 0
    assert word_errors(said, said[1:]) == 1
    assert word_errors(said, ["oh", *said]) == 1
    assert word_errors(["a", "b", "c"], ["b", "x", "c"]) == 2
    assert word_errors([], ["a"]) == 1
    assert word_errors(["a", "b"], []) == 2


def test_word_error_rate_pools_all_recordings() -> None:
    pairs = [
        (Item(id="a", content="", expected="One two three."), Answer(output="one two three")),
        (Item(id="b", content="", expected="Four."), Answer(output="five")),
    ]
    quality = task("automatic-speech-recognition").quality(pairs)
    assert quality == Quality(metric="word error rate", value=0.25, n=2)


def test_rouge_1_recall_counts_words_no_more_often_than_they_stand() -> None:
    assert rouge1_recall("the cat and the dog", "The the the cat.") == pytest.approx(3 / 5)
    assert rouge1_recall("a b", "c") == 0


def test_overlap_of_speech_is_intersection_over_union() -> None:
    item = Item(id="r", content="", expected=(1.0, 3.0))
    quality = task("voice-activity-detection").quality([(item, Answer(output=[(0.0, 1.5), (2.0, 4.0)]))])
    assert quality is not None
    assert quality.value == pytest.approx(1.5 / 4.0)  # found 3.5 s, spoken 2 s, both 1.5 s


def test_nearest_neighbours_of_embeddings() -> None:
    vectors = {"a": [1.0, 0.0], "b": [0.8, 0.6], "c": [0.0, 1.0]}
    meant = {"a": "b", "b": "a", "c": "a"}
    pairs = [
        (Item(id=name, content="", expected=meant[name]), Answer(output=vector)) for name, vector in vectors.items()
    ]
    quality = task("sentence-embeddings").quality(pairs)
    assert quality is not None
    assert quality.value == pytest.approx(2 / 3)  # the nearest to c is b


@NAMES
def test_no_pairs_give_no_quality(name: str) -> None:
    assert task(name).quality([]) is None
