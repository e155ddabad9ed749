"""Twins: the published networks, weight for weight in number, and inputs as long as a real tokenizer makes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.diffusers import DiffusersImages
from joulemark.workloads.backends.stand_in import StandInTokenizer
from joulemark.workloads.backends.transformers import TransformersPipeline
from joulemark.workloads.seam import Item, Settings
from joulemark.workloads.tasks import task
from joulemark.workloads.twins import Architecture, architecture, architectures, twin_note

torch = pytest.importorskip("torch", reason="the transformers extra is not installed")
transformers = pytest.importorskip("transformers", reason="the transformers extra is not installed")

pytestmark = pytest.mark.torch

SHIPPED = {one.name: one for one in architectures().values()}
SCALE = {"": 1, "M": 1e6, "B": 1e9}


def count(known: Architecture) -> int:
    """Weights of the network, built where it takes no memory."""
    from joulemark.workloads.backends.transformer_loading import MODEL_CLASSES
    from joulemark.workloads.backends.twin_models import twin_config, twin_model, twin_pipeline

    how: dict[str, Any] = {"device": "meta", "dtype": "bfloat16", "seed": 0}
    if known.parts:
        pytest.importorskip("diffusers", reason="the diffusers extra is not installed")
        parts = twin_pipeline(known, **how).components.values()
        return sum(w.numel() for part in parts if hasattr(part, "parameters") for w in part.parameters())
    config, _ = twin_config(None, known.name, "main")
    makers = (getattr(transformers, name) for name in dict.fromkeys(MODEL_CLASSES.values()))
    maker = next(m for m in makers if known.network in str(m._model_mapping.get(type(config), "")))
    model = twin_model(maker, config, known, **how)
    assert {w.dtype for w in model.parameters()} == {torch.bfloat16}
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_twin_has_as_many_weights_as_were_published(name: str) -> None:
    known = SHIPPED[name]
    assert count(known) == known.parameters
    number, unit = re.fullmatch(r"([\d.,]+)([MB]?)", known.published).groups()  # type: ignore[union-attr]
    # The coarsest of the sources (41M for DETR) is rounded to within 1.5 %.
    assert known.parameters == pytest.approx(float(number.replace(",", "")) * SCALE[unit], rel=0.015)
    assert known.source


def test_a_model_is_found_by_every_name_that_it_has() -> None:
    assert architecture("gpt2") is architecture("openai-community/gpt2")
    assert architecture("nobody/nothing") is None


def test_the_note_says_what_a_twin_is_and_where_it_is_published() -> None:
    assert "random weights" in twin_note("gpt2")
    assert "Radford" in twin_note("gpt2")
    assert "random weights" in twin_note("my/own")


def stand_in(**options: Any) -> StandInTokenizer:
    return StandInTokenizer(1000, **{"begin": [101], "end": [102], "mask": 103, "most": 16, **options})


def test_a_stand_in_frames_pads_and_cuts_as_a_tokenizer_does() -> None:
    short, long = "the sea", "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    read = stand_in()([short, long], padding=True, return_tensors="pt")
    assert read["input_ids"].shape == (2, 16)
    assert read["attention_mask"].sum(1).tolist() == [4, 16]
    assert read["input_ids"][:, 0].tolist() == [101, 101]
    assert read["input_ids"][1, -1] == 102
    tokenizer = stand_in()
    tokenizer.padding_side = "left"
    assert tokenizer([short, long], padding=True)["attention_mask"][0][-4:] == [1, 1, 1, 1]
    assert len(stand_in()([short], padding="max_length")["input_ids"][0]) == 16


def test_the_same_piece_has_the_same_id_and_never_one_with_a_meaning() -> None:
    words = [f"word{n}" for n in range(3000)]
    ids = stand_in(most=10_000)([" ".join(words)] * 2, add_special_tokens=False)["input_ids"]
    assert ids[0] == ids[1]
    assert not {0, 101, 102, 103} & set(ids[0])
    assert set(ids[0]) <= set(range(1000))


def test_pieces_know_where_they_stand() -> None:
    text = "Lighthousekeepers wave, [MASK]!"
    read = stand_in()([text], return_offsets_mapping=True)
    pieces = [text[a:b] for a, b in read["offset_mapping"][0]]
    assert pieces == ["", "Lighthou", "sekeeper", "s", "wave", ",", "[MASK]", "!", ""]
    assert read.word_ids(0) == [None, 0, 0, 0, 1, 2, 3, 4, None]
    assert read["input_ids"][0].count(103) == 1


def test_of_a_pair_only_the_passage_is_cut() -> None:
    read = stand_in(between=[102, 102])(["who is it"], ["word " * 50])
    assert len(read["input_ids"][0]) == 16
    assert read.sequence_ids(0) == [None, 0, 0, 0, None, None, *[1] * 9, None]


def test_a_twin_of_a_shipped_architecture_needs_no_file() -> None:
    settings: Settings = {"weights": "random", "model_id": "sentence-transformers/all-MiniLM-L6-v2", "threads": 1}
    backend = TransformersPipeline({}, "sentence-embeddings", settings)
    backend.load()
    assert backend.parameters == SHIPPED["sentence-transformers/all-MiniLM-L6-v2"].parameters
    asked = task("sentence-embeddings")
    items = asked.items()[:3]
    for item, answer in zip(items, backend.run(items), strict=True):
        assert asked.check(item, answer, settings) is None
    backend.close()


def test_its_weights_come_from_the_seed() -> None:
    def vector(seed: int) -> Any:
        settings: Settings = {
            "weights": "random",
            "model_id": "sentence-transformers/all-MiniLM-L6-v2",
            "seed": seed,
        }
        backend = TransformersPipeline({}, "sentence-embeddings", settings)
        backend.load()
        return backend.run([Item(id="a", content="the sea")])[0].output

    assert vector(1) == pytest.approx(vector(1))
    assert vector(1) != pytest.approx(vector(2))


@pytest.mark.parametrize(
    ("name", "model_id", "reason"),
    [
        ("text-classification", "gpt2", "GPT2LMHeadModel"),
        ("text-generation", "google/vit-base-patch16-224", "head for this task"),
        ("text-generation", "nobody/nothing", r"hf download nobody/nothing config\.json"),
        ("text-generation", "stabilityai/stable-diffusion-xl-base-1.0", "diffusers"),
    ],
)
def test_what_cannot_be_built_is_told(
    name: str, model_id: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(WorkloadFailed, match=reason):
        TransformersPipeline({}, name, {"weights": "random", "model_id": model_id}).load()


@pytest.mark.parametrize("wrong", [{"quantization": "int8"}, {"device_map": "auto"}, {"weights": "pruned"}])
def test_settings_that_contradict_a_twin_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        TransformersPipeline({}, "text-generation", {"weights": "random", "model_id": "gpt2", **wrong})


def test_a_pipeline_without_architecture_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("diffusers", reason="the diffusers extra is not installed")
    for wrong in ("nobody/nothing", "gpt2"):
        with pytest.raises(WorkloadFailed, match="stable-diffusion-xl"):
            DiffusersImages({}, "image-generation", {"weights": "random", "model_id": wrong}).load()
    with pytest.raises(WorkloadFailed, match="no pipeline"):
        DiffusersImages({"model": tmp_path}, "image-generation", {"weights": "random"}).load()


TEXT: dict[str, Any] = {
    "model_type": "clip_text_model",
    "vocab_size": 300,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 77,
}
VAE: dict[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "block_out_channels": [8, 8],
    "norm_num_groups": 4,
}
UNET: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
PICTURE = {
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}
FILM = {
    "down_block_types": ["DownBlock3D", "CrossAttnDownBlock3D"],
    "up_block_types": ["CrossAttnUpBlock3D", "UpBlock3D"],
}


def pipeline_folder(folder: Path, name: str, unet: str, blocks: dict[str, list[str]]) -> dict[str, Path]:
    """What diffusers writes beside the weights of a small latent diffusion pipeline, and no weights."""
    parts = {
        "text_encoder": ("transformers", "CLIPTextModel", "config", TEXT),
        "unet": ("diffusers", unet, "config", {**UNET, **blocks}),
        "vae": ("diffusers", "AutoencoderKL", "config", VAE),
        "scheduler": ("diffusers", "DDIMScheduler", "scheduler_config", {"clip_sample": False, "steps_offset": 1}),
    }
    index: dict[str, Any] = {"_class_name": name, "tokenizer": ["transformers", "CLIPTokenizer"]}
    for part, (library, kind, file, config) in parts.items():
        index[part] = [library, kind]
        (folder / part).mkdir()
        (folder / part / f"{file}.json").write_text(json.dumps({"_class_name": kind, **config}))
    (folder / "model_index.json").write_text(json.dumps(index))
    return {"model": folder}


def paint(files: dict[str, Path], name: str, **settings: Any) -> Any:
    asked = task(name)
    chosen = {**asked.defaults, "weights": "random", "steps": 2, "guidance": 3.0, "threads": 1, **settings}
    backend = DiffusersImages(files, name, chosen)
    backend.load()
    item = asked.items()[0]
    (answer,) = backend.run([item])
    backend.close()
    assert asked.check(item, answer, chosen) is None
    return answer.output


def test_a_twin_of_a_pipeline_paints_pictures_of_the_asked_size(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="the diffusers extra is not installed")
    files = pipeline_folder(tmp_path, "StableDiffusionPipeline", "UNet2DConditionModel", PICTURE)
    assert paint(files, "image-generation").shape == (32, 32, 3)  # the pipeline's own
    for scheduler in ("EulerDiscreteScheduler", "DPMSolverMultistepScheduler"):
        chosen = {"height": 16, "width": 48, "dtype": "bfloat16", "scheduler": scheduler, "guidance": 0}
        assert paint(files, "image-generation", **chosen).shape == (16, 48, 3)
    with pytest.raises(WorkloadFailed, match="no scheduler"):
        paint(files, "image-generation", scheduler="Magic")


def test_a_twin_of_a_pipeline_makes_films_of_the_asked_length(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="the diffusers extra is not installed")
    files = pipeline_folder(tmp_path, "TextToVideoSDPipeline", "UNet3DConditionModel", FILM)
    assert paint(files, "video-generation", frames=5, height=16, width=16).shape == (5, 16, 16, 3)
    still = pipeline_folder_of_pictures(tmp_path / "still")
    with pytest.raises(WorkloadFailed, match="no settings for num_frames"):
        paint(still, "video-generation", frames=5)


def pipeline_folder_of_pictures(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    return pipeline_folder(folder, "StableDiffusionPipeline", "UNet2DConditionModel", PICTURE)
