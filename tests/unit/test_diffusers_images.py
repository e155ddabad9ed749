"""Any text-to-image pipeline of diffusers runs: here a Stable Diffusion of a few thousand random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from joulemark.errors import WeightsMissing, WorkloadFailed
from joulemark.workloads import digits
from joulemark.workloads.backends.diffusers import DiffusersImages
from joulemark.workloads.seam import Item
from joulemark.workloads.tasks.image_generation import TASK

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch", reason="the diffusers extra is not installed")
pytest.importorskip("diffusers", reason="the diffusers extra is not installed")
pytestmark = pytest.mark.torch

SEVEN, TWO = Item(id="seven", content="the digit seven"), Item(id="two", content="the digit two")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latent diffusion pipeline (text encoder, UNet, autoencoder), 32x32 in colour, with random weights."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(digits.TORCH_FILES["pipeline"] / "tokenizer")
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            norm_num_groups=4,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=tokenizer.model_max_length,
            )
        ),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=2,
            norm_num_groups=4,
        ),
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    folder = tmp_path_factory.mktemp("pipeline")
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def paint(folder: Path, *items: Item, **settings: int | float | str) -> list[Any]:
    backend = DiffusersImages({"pipeline": folder}, TASK.name, {"steps": 2, "threads": 1, **settings})
    backend.load()
    answers = backend.run(items)
    backend.close()
    backend.close()
    assert all(answer.tokens_in == 5 for answer in answers)
    return [answer.output for answer in answers]


def test_pictures_come_in_colour_and_in_the_size_asked_for(folder: Path) -> None:
    assert [p.shape for p in paint(folder, SEVEN, TWO)] == [(32, 32, 3)] * 2
    (picture,) = paint(folder, SEVEN, height=16, width=48)
    assert picture.shape == (16, 48, 3)
    assert picture.dtype == np.uint8


def test_seed_and_item_decide_the_noise(folder: Path) -> None:
    seven, two = paint(folder, SEVEN, TWO, seed=1)
    (again,) = paint(folder, SEVEN, seed=1)
    (other,) = paint(folder, SEVEN, seed=2)
    assert np.abs(seven.astype(int) - again).max() <= 1, "alone or in a batch"
    assert np.abs(seven.astype(int) - other).max() > 1
    assert np.abs(seven.astype(int) - two).max() > 1


def test_half_precision_is_near_to_single(folder: Path) -> None:
    (single,) = paint(folder, SEVEN)
    (half,) = paint(folder, SEVEN, dtype="bfloat16")
    assert 0 < np.abs(single.astype(int) - half).mean() < 10


def test_what_cannot_be_loaded_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="model_index"):
        DiffusersImages({"pipeline": tmp_path}, TASK.name, {}).load()
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(WorkloadFailed, match="class"):
        DiffusersImages({"pipeline": tmp_path}, TASK.name, {}).load()
    index = json.loads((folder / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(WorkloadFailed, match="cannot load"):
        DiffusersImages({"pipeline": tmp_path}, TASK.name, {}).load()
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "_class_name": "NoSuchPipeline"}))
    with pytest.raises(WorkloadFailed, match="NoSuchPipeline"):
        DiffusersImages({"pipeline": tmp_path}, TASK.name, {}).load()
    with pytest.raises(WorkloadFailed, match="device"):
        DiffusersImages({"pipeline": folder}, TASK.name, {"device": "nonsense"}).load()


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    """A pickle can run code; the folder's pipeline has its UNet in one."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = copy / "unet/diffusion_pytorch_model.safetensors"
    weights.unlink()
    weights.with_suffix(".bin").write_bytes(b"no weights, and nobody should look")
    with pytest.raises(WorkloadFailed, match="cannot load"):
        DiffusersImages({"pipeline": copy}, TASK.name, {}).load()
