"""Tasks: inputs that stay the same, checks that refuse what is no answer, and metrics computed by hand."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import pytest

from joulemark.workloads.asked import items_sha256
from joulemark.workloads.inputs import FOLDER
from joulemark.workloads.seam import Answer, Item, Quality, Settings
from joulemark.workloads.tasks import task, tasks
from joulemark.workloads.tasks.automatic_speech_recognition import word_errors, words
from joulemark.workloads.tasks.code_completion import completed, parses
from joulemark.workloads.tasks.forms import picture_size
from joulemark.workloads.tasks.object_detection import overlap
from joulemark.workloads.tasks.question_answering import token_f1
from joulemark.workloads.tasks.summarization import rouge1_recall
from joulemark.workloads.tasks.text_classification import label_of

NAMES = pytest.mark.parametrize("name", tasks())

# The inputs of a published id never change: a new hash needs a new id.
PINNED_INPUTS = {
    "joulemark-prompts/2": "ec0962b46616e74cf5c9a907f24eba92ae8304365dd88dd0a22b4c902cb55c26",
    "joulemark-chats/1": "aedb4081ccca6230daab83acb781afe3f6d71a388f4e19c383dad8d617a93000",
    "joulemark-code/1": "1ea1787b314bd7a1b1a5afd2a4c75230b376ac415f575fe0bbeb4905647f3d7b",
    "joulemark-news/2": "b5ece08e1d872b2a206ffcb74c07e90e8ca1d090be9dd03623af65d83b409842",
    "joulemark-questions/1": "64bb77d5f2415d8079597c591d40ab3a021fefcf7d85504c52815b7ae807fe64",
    "joulemark-sentiment/2": "b8d1f55b344e8e2f1026a792b2139865d094e83ad59015de0d17ac3d31bfd930",
    "joulemark-personal-data/2": "1e08ce9880a1f72903be7d6d3f00c98f8d9b7b94ce4755ca68864662d9bb3102",
    "joulemark-masked/2": "57b7fa83ab010c72f285c3533a738b924ea71d65ad4c7a2e3818dea2e3be48ef",
    "joulemark-sentences/2": "a83cb0d34b916ee904d102b0d3555b93e4a6ef70da83f971707ee6c5e57ed0cc",
    "joulemark-files/1": "57756f0f62f69e9351aad0ba7ce0ed58e632c62b7573f0e12f9243b117e99ee9",
    "joulemark-recordings/1": "9ddd7f50476cc432495f23a676ab7525d33961d250bdff7518511867133db985",
    "joulemark-lines/1": "2c451be8f088ac27320c7806d9cc14ca70631fb9cdea013ad0cf7c9bb7d59f79",
    "joulemark-pictures/1": "dfd6e8115794bbd7fa1f8539c210fd6de4bf3d94036a1a51fc77f0c2504a0d5e",
    "joulemark-digit-prompts/1": "93846a43cc4aed0b2527ee32d5c6508caea3c31b5fce3b318d443f3d76c9475b",
    "joulemark-scenes/1": "4811f9028742cc7e7324bebfe954e57c2d7770230be8f0e1dd220308cdddb655",
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
    assert items_sha256(task(name).items()) == PINNED_INPUTS[task(name).inputs]


def test_the_hash_of_inputs_sees_ids_contents_and_order() -> None:
    one, two = Item(id="a", content="bc"), Item(id="ab", content=b"c")
    assert items_sha256([one]) == items_sha256([Item(id="a", content=b"bc", expected="not hashed")])
    hashes = (items_sha256(some) for some in ([one], [two], [one, two], [two, one]))
    assert len(set(hashes)) == 4


def test_every_task_that_reads_has_twenty_texts_and_every_one_that_looks_eight_pictures() -> None:
    heard = ("automatic-speech-recognition", "voice-activity-detection", "content-type-detection")
    for asked in tasks().values():
        items = asked.items()
        if asked.name not in heard:
            assert len(items) >= (8 if isinstance(items[0].content, Path) else 20), asked.name
    assert sum(file.stat().st_size for file in FOLDER.glob("*.*") if file.suffix != ".wav") < 1_000_000


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


TONE = 0.5 * np.sin(np.arange(32_000) / 8)
"""Two seconds of a tone at 16 kHz."""
NOISE = np.random.default_rng(1).uniform(0, 255, (8, 8, 3))
FILM = np.random.default_rng(2).uniform(0, 255, (16, 8, 8, 3))

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
    (
        "chat",
        Item(id="c", content="Hello"),
        [Answer(output="Hi."), Answer(output="Hi.", tokens_out=512), Answer(output="Hi.", tokens_reasoning=0)],
        [
            Answer(output=""),
            Answer(output=None),
            Answer(output="Hi.", tokens_out=0),
            Answer(output="Hi.", tokens_out=513),
            Answer(output="Hi.", tokens_out=9, tokens_reasoning=5),  # reasoning is off
            Answer(output="Hi.", tokens_reasoning=-1),
        ],
    ),
    (
        "code-completion",
        Item(id="c", content={"prefix": "def f():\n"}),
        [Answer(output="    return 1\n", tokens_out=64)],
        [Answer(output=" \n"), Answer(output="    return 1", tokens_out=65), Answer(output=b"x")],
    ),
    (
        "question-answering",
        Item(
            id="q", content={"question": "Who?", "context": "The keeper was  Martha Quill."}, expected=("Martha Quill",)
        ),
        [Answer(output="martha quill"), Answer(output="was Martha")],
        [Answer(output=""), Answer(output="Martha Quail"), Answer(output=None)],
    ),
    (
        "image-classification",
        Item(id="i", content="x"),
        [Answer(output="tabby, tabby cat")],
        [Answer(output=""), Answer(output=281), Answer(output=math.nan)],
    ),
    (
        "object-detection",
        Item(id="d", content=FOLDER / "picture-01.png"),
        [
            Answer(output=[]),  # a detector may find nothing
            Answer(output=[{"label": "bus", "score": 0.9, "box": (0.0, 0.0, 640.0, 480.0)}]),
            Answer(output=[{"label": "bus", "score": 1.0, "box": [-2.0, -1.5, 641.0, 481.0]}]),
        ],
        [
            Answer(output="bus"),
            Answer(output=None),
            Answer(output=[("bus", 0.9, (0.0, 0.0, 1.0, 1.0))]),
            Answer(output=[{"label": "", "score": 0.9, "box": (0.0, 0.0, 1.0, 1.0)}]),
            Answer(output=[{"label": 3, "score": 0.9, "box": (0.0, 0.0, 1.0, 1.0)}]),
            Answer(output=[{"label": "bus", "score": 1.1, "box": (0.0, 0.0, 1.0, 1.0)}]),
            Answer(output=[{"label": "bus", "score": math.nan, "box": (0.0, 0.0, 1.0, 1.0)}]),
            Answer(output=[{"label": "bus", "score": 0.9, "box": (0.0, math.nan, 1.0, 1.0)}]),
            Answer(output=[{"label": "bus", "score": 0.9, "box": (5.0, 0.0, 1.0, 1.0)}]),
            Answer(output=[{"label": "bus", "score": 0.9, "box": (0.0, 0.0, 700.0, 480.0)}]),
            Answer(output=[{"label": "bus", "score": 0.9, "box": (0.0, 0.0, 1.0)}]),
        ],
    ),
    (
        "image-captioning",
        Item(id="i", content="x"),
        [Answer(output="a bus", tokens_out=3), Answer(output="a bus")],
        [Answer(output=""), Answer(output=None), Answer(output="a bus", tokens_out=0)],
    ),
    (
        "text-to-speech",
        Item(id="s", content="Thirty signs make two seconds."),
        [Answer(output=(TONE, 16_000)), Answer(output=((TONE * 32_767).astype(np.int16), 16_000))],
        [
            Answer(output=TONE),
            Answer(output=(TONE, 0)),
            Answer(output=(TONE[:0], 16_000)),
            Answer(output=(np.zeros(32_000), 16_000)),
            Answer(output=(np.full(32_000, math.nan), 16_000)),
            Answer(output=(TONE[:4_000], 16_000)),  # a quarter of a second
            Answer(output=(np.tile(TONE, 10), 16_000)),  # twenty seconds
        ],
    ),
    (
        "image-generation",
        Item(id="p", content="x"),
        [Answer(output=NOISE), Answer(output=NOISE[..., 0]), Answer(output=NOISE.astype(np.uint8))],
        [
            Answer(output=None),
            Answer(output=NOISE.tolist()),
            Answer(output=NOISE[None]),
            Answer(output=np.full((8, 8, 3), 127.0)),  # blank
            Answer(output=np.where(NOISE > 200, math.nan, NOISE)),
            Answer(output=NOISE * 2),  # out of range
        ],
    ),
    (
        "video-generation",
        Item(id="v", content="x"),
        [Answer(output=FILM), Answer(output=FILM.astype(np.uint8))],
        [
            Answer(output=None),
            Answer(output=FILM[0]),
            Answer(output=FILM[:8]),  # 16 frames were asked for
            Answer(output=FILM[..., :1]),
            Answer(output=np.zeros_like(FILM)),
            Answer(output=np.concatenate([np.zeros_like(FILM[:1]), FILM[1:]])),  # one black frame
            Answer(output=np.repeat(FILM[:1], 16, axis=0)),  # a still
            Answer(output=np.where(FILM > 200, math.inf, FILM)),
        ],
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


def test_a_free_length_is_checked_for_its_limit_only_and_a_fixed_one_exactly() -> None:
    item = Item(id="p", content="Hello")
    written = task("text-generation"), task("chat")
    for asked in written:
        free: Settings = {"max_new_tokens": 10, "fixed_length": False}
        fixed: Settings = {"max_new_tokens": 10, "fixed_length": True}
        assert asked.check(item, Answer(output="Hi", tokens_out=4), free) is None
        assert asked.check(item, Answer(output="Hi"), free) is None
        assert asked.check(item, Answer(output="Hi", tokens_out=11), free) is not None
        assert asked.check(item, Answer(output="Hi", tokens_out=4), fixed) is not None
        assert asked.check(item, Answer(output="Hi"), fixed) is not None, "a length that nobody counted is not fixed"


def test_reasoning_is_no_answer() -> None:
    asked, item = task("chat"), Item(id="c", content="Hello")
    on: Settings = {**asked.defaults, "reasoning": True}
    assert asked.check(item, Answer(output="Hi", tokens_out=50, tokens_reasoning=40), on) is None
    assert "all 512 tokens" in str(asked.check(item, Answer(output="", tokens_out=512, tokens_reasoning=512), on))
    assert asked.check(item, Answer(output="Hi", tokens_out=5, tokens_reasoning=6), on) is not None


def test_pictures_and_films_have_the_size_that_was_set() -> None:
    for name, pixels in (("image-generation", NOISE), ("video-generation", FILM)):
        asked = task(name)
        answer, item = Answer(output=pixels), Item(id="p", content="x")
        assert asked.check(item, answer, {"height": 8, "width": 8}) is None
        assert "width" in str(asked.check(item, answer, {"width": 9}))


def test_a_twin_is_held_to_form_and_not_to_meaning() -> None:
    twin: Settings = {"weights": "random", "max_new_tokens": 4}
    says = {
        "text-generation": Answer(output=" ", tokens_out=4),
        "text-classification": Answer(output="LABEL_1"),
        "fill-mask": Answer(output="##ing x"),
        "question-answering": Answer(output="anything"),
        "image-generation": Answer(output=np.zeros((8, 8, 3))),
        "object-detection": Answer(output=[{"label": "N/A", "score": 0.1, "box": (-900.0, 0.0, 9.0, 9.0)}]),
        "automatic-speech-recognition": Answer(output=""),
        "text-to-speech": Answer(output=(np.zeros(10), 16_000)),
    }
    for name, answer in says.items():
        item = task(name).items()[0]
        assert task(name).check(item, answer, twin) is None, name
        assert task(name).check(item, answer, task(name).defaults) is not None, (
            f"{name}: trained weights are held to it"
        )
    item = task("text-generation").items()[0]
    assert task("text-generation").check(item, Answer(output="x", tokens_out=3), twin) is not None
    broken = Answer(output=np.full((8, 8, 3), math.nan))
    assert task("image-generation").check(item, broken, twin) is not None


def test_labels_are_those_that_were_set() -> None:
    asked = task("text-classification")
    assert asked.check(REVIEW, Answer(output="LABEL_1"), {"labels": "own"}) is None
    assert asked.check(REVIEW, Answer(output="Neutral"), {"labels": "positive, neutral, negative"}) is None
    assert asked.check(REVIEW, Answer(output="Neutral"), asked.defaults) is not None
    for nothing in ("", None, 1):
        assert asked.check(REVIEW, Answer(output=nothing), {"labels": "own"}) is not None


def test_a_model_with_other_classes_has_no_accuracy() -> None:
    assert task("text-classification").quality([(REVIEW, Answer(output="5 stars"))]) is None
    cat = Item(id="i", content="x", expected=("cat",))
    assert task("image-classification").quality([(cat, Answer(output="LABEL_7"))]) is None


def test_an_image_label_may_be_any_of_its_names() -> None:
    cat, dog = (Item(id=name, content="x", expected=names) for name, names in (("a", ("tabby cat",)), ("b", ("dog",))))
    pairs = [(cat, Answer(output="tabby, Tabby cat")), (dog, Answer(output="tabby cat"))]
    assert task("image-classification").quality(pairs) == Quality(metric="accuracy", value=0.5, n=2)


def test_token_f1_by_hand() -> None:
    assert token_f1("The keeper, Martha Quill", "martha quill") == pytest.approx(0.8)  # 2 x 2 / (3 + 2)
    assert token_f1("the sea", "A sea!") == 1
    assert token_f1("", "") == 1
    assert token_f1("sea", "") == token_f1("", "sea") == token_f1("sea", "river") == 0
    content = {"question": "Who?", "context": "Martha"}
    either = Item(id="a", content=content, expected=("somebody else", "Martha"))
    nobody = Item(id="b", content=content, expected=())
    pairs = [(either, Answer(output="Martha")), (nobody, Answer(output="Martha"))]
    assert task("question-answering").quality(pairs) == Quality(metric="token F1", value=0.5, n=2)


def test_a_model_may_answer_in_its_own_words_if_it_is_let() -> None:
    asked, answer = task("question-answering"), Answer(output="It was built long ago.")
    assert asked.check(asked.items()[0], answer, asked.defaults) is not None
    assert asked.check(asked.items()[0], answer, {"extractive": False}) is None
    assert asked.check(asked.items()[0], Answer(output=" "), {"extractive": False}) is not None


def test_where_no_answer_is_right_an_empty_one_is_an_answer() -> None:
    item = Item(id="q", content={"question": "Who?", "context": "Nobody came."}, expected=())
    assert task("question-answering").check(item, Answer(output=""), {}) is None


def test_every_shipped_question_is_answered_by_its_own_passage() -> None:
    asked = task("question-answering")
    pairs = [(item, Answer(output=item.expected[0])) for item in asked.items() if isinstance(item.expected, list)]
    assert len(pairs) >= 20
    assert {asked.check(item, answer, {}) for item, answer in pairs} == {None}
    assert asked.quality(pairs) == Quality(metric="token F1", value=1.0, n=len(pairs))


def test_boxes_match_by_name_and_overlap() -> None:
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == overlap((1, 1, 1, 1), (1, 1, 1, 1)) == 0
    item = Item(id="d", content="x", expected=(("bus", (0.0, 0.0, 10.0, 10.0)), ("kite", (20.0, 0.0, 30.0, 10.0))))
    found = [
        {"label": "bus", "score": 0.9, "box": (0.0, 0.0, 10.0, 9.0)},
        {"label": "bus", "score": 0.8, "box": (0.0, 0.0, 10.0, 10.0)},  # the same bus once more
        {"label": "bus", "score": 0.7, "box": (20.0, 0.0, 30.0, 10.0)},  # the kite
    ]
    quality = task("object-detection").quality([(item, Answer(output=found))])
    assert quality is not None
    assert quality.value == pytest.approx(2 * 1 / (2 + 3))


def test_every_shipped_picture_is_640_by_480_with_its_things_inside() -> None:
    asked = task("object-detection")
    for item in asked.items():
        assert picture_size(item.content) == (640, 480)
        assert isinstance(item.expected, tuple)
        drawn = [{"label": label, "score": 1.0, "box": box} for label, box in item.expected]
        assert drawn
        assert asked.check(item, Answer(output=drawn), {}) is None
        assert asked.quality([(item, Answer(output=drawn))]) == Quality(metric="box F1", value=1.0, n=1)


def test_a_program_parses_or_not_and_is_never_run() -> None:
    content = {"prefix": "def f():\n"}
    assert parses(completed(content, "    raise SystemExit\n"))
    assert not parses(completed(content, "return 1\n"))
    assert not parses("\0")
    # What comes behind the function that was asked for is cut off, but not where a gap is filled.
    assert parses(completed(content, "    return 1\n\ndef g(:"))
    assert completed({**content, "suffix": "x"}, "\ndef g(): 1\n") == "def f():\n\ndef g(): 1\nx"
    pairs = [(Item(id="a", content=content), Answer(output=text)) for text in ("    return 1", "return")]
    assert task("code-completion").quality(pairs) == Quality(metric="share that parses", value=0.5, n=2)


def test_every_shipped_program_can_be_completed() -> None:
    for item in task("code-completion").items():
        assert isinstance(item.content, dict)
        depth = 3 if "for item" in item.content["prefix"] or "while" in item.content["prefix"] else 2
        filled = [completed(item.content, " " * 4 * n + "pass\n") for n in range(1, depth + 1)]
        assert any(map(parses, filled)), item.id


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
