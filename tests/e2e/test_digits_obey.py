"""The shipped text-to-image model paints what it is asked to, as judged by other people's digits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from joulemark.workloads import digits
from joulemark.workloads.backends.diffusers import DiffusersImages
from joulemark.workloads.backends.onnx_diffusion import OnnxDiffusion
from joulemark.workloads.seam import Item
from joulemark.workloads.tasks.image_generation import TASK

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime", reason="the pictures are painted by ONNX Runtime")
pytest.importorskip("sklearn", reason="the judge is scikit-learn's support vector machine")

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SEEDS = range(10)
FORMS = (
    # As the model was taught ...
    "a handwritten {word}",
    "the digit {numeral}",
    "{word}",
    "a picture of the number {word}",
    "{numeral}",
    # ... and as it was not: another order, words it never met.
    "please draw the handwritten number {word}",
    "an image of {word} by hand",
    "write {numeral}",
    "could you sketch the digit {numeral} for me",
    "{word}, on a sheet of paper",
)
"""Seed k asks in form k, so that every one of the hundred prompts is another one."""


def ask(form: str, digit: int) -> str:
    return form.format(word=WORDS[digit], numeral=digit)


def paint(items: list[Item], **settings: int | float) -> Any:
    """Pictures (items, height, width) by the default settings, or others."""
    backend = OnnxDiffusion(digits.ONNX_FILES, TASK.name, {**TASK.defaults, "threads": 1, **settings})
    backend.load()
    answers = backend.run(items)
    backend.close()
    return np.stack([answer.output for answer in answers])


@dataclass(frozen=True)
class Judge:
    """A support vector machine over the judge's share of the real images, 8x8."""

    machine: Any
    accuracy: float

    def reads(self, pictures: Any) -> list[int]:
        n, height, width = pictures.shape
        small = pictures.reshape(n, 8, height // 8, 8, width // 8).mean(axis=(2, 4))
        return [int(d) for d in self.machine.predict(small.reshape(n, 64) / 255)]


@pytest.fixture(scope="module")
def judge() -> Judge:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.svm import SVC

    first, last = json.loads((digits.FOLDER / "split.json").read_text())["judge"]
    data = load_digits()
    images, labels = data.data[first:last] / 16, data.target[first:last]
    seen, unseen, seen_labels, unseen_labels = train_test_split(
        images, labels, test_size=0.3, random_state=0, stratify=labels
    )
    machine = SVC(C=10, kernel="rbf", gamma="scale").fit(seen, seen_labels)
    return Judge(machine, accuracy=float(machine.score(unseen, unseen_labels)))


@pytest.fixture(scope="module")
def gallery() -> Any:
    """Pictures (seeds, digits, height, width): ten seeds of ten digits."""
    return np.stack([paint([Item(id=str(d), content=ask(FORMS[s], d)) for d in range(10)], seed=s) for s in SEEDS])


def test_the_two_sides_share_no_image() -> None:
    split = json.loads((digits.FOLDER / "split.json").read_text())
    generator, judge = (set(range(*split[side])) for side in ("generator", "judge"))
    assert not generator & judge
    assert len(generator | judge) == 1797


def test_the_judge_can_read(judge: Judge) -> None:
    assert judge.accuracy >= 0.95


def test_ninety_of_a_hundred_pictures_show_the_digit_asked_for(judge: Judge, gallery: Any) -> None:
    # GIVEN ten digits, each asked for with ten seeds and in ten ways
    # WHEN the judge reads the pictures, all of them and each once
    right = [sum(r == d for d, r in enumerate(judge.reads(pictures))) for pictures in gallery]
    # THEN it finds the digit
    assert sum(right) >= 90, f"right by seed, of ten each: {right}"


def test_every_picture_is_a_picture(gallery: Any) -> None:
    assert gallery.dtype == np.uint8
    assert gallery.shape == (10, 10, 16, 16)
    assert gallery.std(axis=(2, 3)).min() > 40


def test_another_seed_paints_another_hand(gallery: Any) -> None:
    """It is a generator and no table of ten pictures."""
    for digit in range(10):
        pictures = gallery[:, digit].astype(float)
        apart = [np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
        assert np.median(apart) > 10


def test_the_prompt_decides_and_not_the_noise(judge: Judge) -> None:
    # GIVEN the same noise ten times (it depends on seed and item id alone)
    items = [Item(id="same", content=f"a handwritten {word}") for word in WORDS]
    # WHEN ten digits are asked for
    read = judge.reads(paint(items))
    # THEN ten digits come
    assert sum(r == d for d, r in enumerate(read)) >= 9, read


def test_bold_has_more_ink_than_thin() -> None:
    bold, thin = (
        paint([Item(id="same", content=f"a {ink} handwritten {w}") for w in WORDS]) for ink in ("bold", "thin")
    )
    assert (bold.mean(axis=(1, 2)) > thin.mean(axis=(1, 2))).all()


def test_the_same_seed_paints_the_same_picture() -> None:
    items = [Item(id="a", content="seven"), Item(id="b", content="seven")]
    first, again, other = paint(items, seed=3), paint(items, seed=3), paint(items, seed=4)
    assert (first == again).all()
    assert (first != other).any()
    assert (first[0] != first[1]).any(), "two items of one prompt start from the same noise"


def test_a_picture_does_not_depend_on_its_batch() -> None:
    items = [Item(id=w, content=w) for w in WORDS[:3]]
    together = paint(items).astype(int)
    alone = np.concatenate([paint([item]) for item in items]).astype(int)
    assert np.abs(together - alone).max() <= 1


@pytest.mark.torch
@pytest.mark.parametrize("settings", [{}, {"steps": 7, "guidance": 1.0, "seed": 5}])
def test_the_same_noise_gives_the_same_picture_through_diffusers(settings: dict[str, int | float]) -> None:
    pytest.importorskip("torch", reason="the diffusers extra is not installed")
    pytest.importorskip("diffusers", reason="the diffusers extra is not installed")
    items = list(TASK.items()[:6])
    backend = DiffusersImages(digits.TORCH_FILES, TASK.name, {**TASK.defaults, "threads": 1, **settings})
    backend.load()
    answers = backend.run(items)
    backend.close()
    apart = np.stack([a.output for a in answers]).astype(int) - paint(items, **settings)
    assert np.abs(apart).max() <= 2, "more than rounding, in grey levels of 255"
