"""What the image backend refuses, what it bears, and that its sampler is one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads import digits
from joulemark.workloads.backends.ddim import Ddim, starting_noise, to_bytes
from joulemark.workloads.backends.diffusers import DiffusersImages
from joulemark.workloads.backends.onnx_diffusion import OnnxDiffusion
from joulemark.workloads.seam import Answer, Backend, Item
from joulemark.workloads.tasks.image_generation import TASK

np = pytest.importorskip("numpy")


def backend(**settings: int | float | str | bool) -> OnnxDiffusion:
    return OnnxDiffusion(digits.ONNX_FILES, TASK.name, {**TASK.defaults, "threads": 1, **settings})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", -3),
        ("steps", 2.5),
        ("steps", True),
        ("steps", "many"),
        ("guidance", 0.5),
        ("guidance", float("nan")),
        ("guidance", "strong"),
        ("seed", -1),
        ("threads", 0),
    ],
)
def test_a_bad_setting_is_refused_by_name(name: str, value: int | float | str | bool) -> None:
    with pytest.raises(UsageError, match=f"setting {name} must be"):
        backend(**{name: value})


def test_more_steps_than_the_model_has_are_refused() -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(UsageError, match="1000 steps at most"):
        backend(steps=1001).load()


def test_a_role_without_a_file_is_named() -> None:
    files = {role: file for role, file in digits.ONNX_FILES.items() if role != "unet"}
    with pytest.raises(WorkloadFailed, match="role 'unet'"):
        OnnxDiffusion(files, TASK.name, {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(WorkloadFailed, match="NO_SUCHFILE"):
        OnnxDiffusion({**digits.ONNX_FILES, "unet": tmp_path / "none.onnx"}, TASK.name, {}).load()


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    broken = tmp_path / "unet.onnx"
    broken.write_bytes(digits.ONNX_FILES["unet"].read_bytes()[:100_000])
    with pytest.raises(WorkloadFailed, match="refuses"):
        OnnxDiffusion({**digits.ONNX_FILES, "unet": broken}, TASK.name, {}).load()


def test_it_must_be_loaded_first_and_may_be_closed_twice() -> None:
    pytest.importorskip("onnxruntime")
    model = backend(steps=1)
    item = Item(id="x", content="seven")
    with pytest.raises(WorkloadFailed, match="before it was loaded"):
        model.run([item])
    model.load()
    assert len(model.run([item])) == 1
    assert list(model.run([])) == []
    model.close()
    model.close()
    with pytest.raises(WorkloadFailed, match="before it was loaded"):
        model.run([item])


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [("a purple seven", 5), ("", 2), ("SEVEN", 3), ("seven " * 40, 12), ("ζ 七 \N{PARTY POPPER}", 5)],
)
def test_any_text_is_a_prompt(prompt: str, tokens: int) -> None:
    """Words it does not know become the unknown token, and what is too long is cut off."""
    pytest.importorskip("onnxruntime")
    model = backend(steps=2)
    model.load()
    (answer,) = model.run([Item(id="x", content=prompt)])
    model.close()
    assert answer.tokens_in == tokens
    assert TASK.check(Item(id="x", content=prompt), answer, {"height": 16, "width": 16}) is None


def test_the_prompt_is_read_in_small_and_capital_letters_alike() -> None:
    pytest.importorskip("onnxruntime")
    model = backend(steps=2)
    model.load()
    small, capital = model.run([Item(id="x", content="the digit seven"), Item(id="x", content="The Digit SEVEN")])
    model.close()
    assert (np.asarray(small.output) == np.asarray(capital.output)).all()


def test_both_backends_keep_the_protocol() -> None:
    assert isinstance(backend(), Backend)
    assert isinstance(DiffusersImages(digits.TORCH_FILES, TASK.name, {}), Backend)


def test_diffusers_needs_a_model_and_a_known_dtype() -> None:
    with pytest.raises(UsageError, match="model_id"):
        DiffusersImages({}, TASK.name, {})
    with pytest.raises(UsageError, match="dtype"):
        DiffusersImages(digits.TORCH_FILES, TASK.name, {"dtype": "float8"})


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("steps", [1, 4, 20, 1000])
def test_the_sampler_finds_the_picture_that_a_perfect_network_sees(prediction: str, spacing: str, steps: int) -> None:
    """A network that knows the picture behind the noise must lead to it, in any number of steps."""
    sampler = dataclasses.replace(
        Ddim.read(digits.ONNX_FILES["scheduler"]), prediction=prediction, spacing=spacing, offset=0
    )
    picture = starting_noise(1, "picture", (1, 4, 4)).clip(-1, 1)
    times = sampler.times(steps)
    assert len(times) == steps
    assert (np.diff(times) < 0).all()
    alpha = sampler.alphas[times[0]]
    sample = (np.sqrt(alpha) * picture + np.sqrt(1 - alpha) * starting_noise(2, "noise", (1, 4, 4))).astype(np.float32)
    for time in times:
        signal, noise = np.sqrt(sampler.alphas[time]), np.sqrt(1 - sampler.alphas[time])
        epsilon = (sample - signal * picture) / noise
        predicted = epsilon if prediction == "epsilon" else signal * epsilon - noise * picture
        sample = sampler.step(sample, predicted.astype(np.float32), int(time), steps)
    # A cosine schedule leaves 0.005 % of the picture at the latest time: dividing by that amplifies rounding.
    assert np.abs(sample - picture).max() < (0.05 if prediction == "epsilon" else 1e-3)


def test_a_sampler_that_is_not_known_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "scheduler_config.json"
    text = digits.ONNX_FILES["scheduler"].read_text()
    other.write_text(text.replace("DDIMScheduler", "EulerDiscreteScheduler"))
    with pytest.raises(WorkloadFailed, match="EulerDiscreteScheduler"):
        Ddim.read(other)
    other.write_text(text[:40])
    with pytest.raises(WorkloadFailed, match="cannot be read"):
        Ddim.read(other)


def test_noise_is_normal_and_of_its_item_alone() -> None:
    noise = starting_noise(7, "item", (100, 100))
    assert abs(float(noise.mean())) < 0.05
    assert abs(float(noise.std()) - 1) < 0.05
    assert (noise == starting_noise(7, "item", (100, 100))).all()
    assert (noise != starting_noise(8, "item", (100, 100))).any()
    assert (noise != starting_noise(7, "other", (100, 100))).any()


def test_pixels_become_bytes_over_their_whole_range() -> None:
    grey = np.array([[[-1.0, 0.0, 1.0, 9.0]]], dtype=np.float32)
    assert to_bytes(grey).tolist() == [[0, 128, 255, 255]]
    assert to_bytes(np.repeat(grey, 3, axis=0)).shape == (1, 4, 3)


def test_the_task_has_twenty_prompts_two_a_digit() -> None:
    items = TASK.items()
    assert len({item.id for item in items}) == len({item.content for item in items}) == 20
    assert sorted(str(item.expected) for item in items) == sorted(str(d) for d in range(10) for _ in range(2))
    assert items == TASK.items()


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("a seven", "no array"),
        (np.zeros((16, 16), dtype=np.uint8), "blank"),
        (np.full((16, 16), 200, dtype=np.uint8), "blank"),
        (np.arange(256, dtype=np.uint8), "shape"),
        (np.full((16, 16), np.nan), "no numbers"),
        (np.eye(8) * 255, "8 pixels in height"),
    ],
)
def test_what_is_no_picture_is_told(output: object, reason: str) -> None:
    found = TASK.check(TASK.items()[0], Answer(output=output), {"height": 16})
    assert found is not None
    assert reason in found
