"""The Hugging Face path, with twins: the real architectures, small, with random weights, saved as hub folders."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.transformers import TransformersPipeline
from joulemark.workloads.seam import Item
from joulemark.workloads.tasks import task

torch = pytest.importorskip("torch", reason="the transformers extra is not installed")
transformers = pytest.importorskip("transformers", reason="the transformers extra is not installed")

pytestmark = pytest.mark.torch

SHORT_TEXT, LONG_TEXT = "the sea", "a harbour town on a cold winter morning by the sea"
SHORT, LONG = Item(id="short", content=SHORT_TEXT), Item(id="long", content=LONG_TEXT)
LABELS = {0: "O", 1: "B-PLACE", 2: "I-PLACE"}


def save_tokenizer(folder: Path) -> int:
    """Write a word-level tokenizer over the words of the two items; gives the number of its entries."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = sorted(set(f"{SHORT_TEXT} {LONG_TEXT}".split()))
    entries = ["[PAD]", "[UNK]", "[MASK]", "</s>", *words]
    vocabulary = {word: number for number, word in enumerate(entries)}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token=entries[1]))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    special = dict(zip(("pad_token", "unk_token", "mask_token", "eos_token"), entries, strict=False))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=64, **special)
    fast.save_pretrained(folder)
    return len(entries)


def twin(folder: Path, build: Callable[[int], Any]) -> dict[str, Path]:
    """Save a model with random weights, always the same ones."""
    torch.manual_seed(0)
    build(save_tokenizer(folder)).eval().save_pretrained(folder)
    return {"model": folder}


def bert(vocabulary: int) -> Any:
    return transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label=LABELS,
        label2id={name: number for number, name in LABELS.items()},
        pad_token_id=0,
    )


def gpt2(vocabulary: int) -> Any:
    config = transformers.GPT2Config(
        vocab_size=vocabulary, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=3, eos_token_id=3
    )
    return transformers.GPT2LMHeadModel(config)


def t5(vocabulary: int) -> Any:
    config = transformers.T5Config(
        vocab_size=vocabulary,
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=3,
    )
    return transformers.T5ForConditionalGeneration(config)


def loaded(files: dict[str, Path], name: str, **settings: Any) -> TransformersPipeline:
    backend = TransformersPipeline(files, name, {"threads": 1, **settings})
    backend.load()
    return backend


BUILDERS: dict[str, Callable[[int], Any]] = {
    "text-generation": gpt2,
    "summarization": t5,
    "text-classification": lambda n: transformers.BertForSequenceClassification(bert(n)),
    "token-classification": lambda n: transformers.BertForTokenClassification(bert(n)),
    "sentence-embeddings": lambda n: transformers.BertModel(bert(n)),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_batch_has_the_answers_of_its_items_alone(name: str, tmp_path: Path) -> None:
    # Padding must not be seen: a short text beside a long one is answered as if it were alone.
    backend = loaded(twin(tmp_path, BUILDERS[name]), name, max_new_tokens=6)
    together = backend.run([SHORT, LONG])
    alone = [backend.run([item])[0] for item in (SHORT, LONG)]
    for one, other in zip(together, alone, strict=True):
        assert one.tokens_in == other.tokens_in
        if isinstance(one.output, list):
            assert one.output == pytest.approx(other.output, abs=1e-5)
        else:
            assert one.output == other.output
    assert (together[0].tokens_in, together[1].tokens_in) == (2, 11)
    backend.close()
    backend.close()


def test_exactly_the_asked_number_of_tokens_is_written(tmp_path: Path) -> None:
    # Random weights would end at once, or never.
    files = twin(tmp_path, gpt2)
    for asked in (1, 9):
        answers = loaded(files, "text-generation", max_new_tokens=asked).run([SHORT, LONG])
        assert [answer.tokens_out for answer in answers] == [asked, asked]


def test_a_gap_is_filled_with_one_word(tmp_path: Path) -> None:
    backend = loaded(twin(tmp_path, lambda n: transformers.BertForMaskedLM(bert(n))), "fill-mask")
    items = [Item(id="a", content="the {mask}"), Item(id="b", content="a cold {mask} by the sea")]
    for item, answer in zip(items, backend.run(items), strict=True):
        assert task("fill-mask").check(item, answer, {}) is None
    with pytest.raises(WorkloadFailed, match="exactly one gap"):
        backend.run([SHORT])


def test_pictures_are_classified(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=16,
        patch_size=8,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        id2label=LABELS,
        label2id={name: number for number, name in LABELS.items()},
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    file = io.BytesIO()
    image.new("RGB", (20, 30), "red").save(file, "PNG")
    picture = tmp_path / "picture.png"
    picture.write_bytes(file.getvalue())
    backend = loaded({"model": tmp_path}, "image-classification")
    from_bytes, from_path = backend.run([Item(id="b", content=file.getvalue()), Item(id="p", content=picture)])
    assert from_bytes.output == from_path.output
    assert from_bytes.output in LABELS.values()


def test_bfloat16_is_bfloat16(tmp_path: Path) -> None:
    files = twin(tmp_path, lambda n: transformers.BertModel(bert(n)))
    exact = loaded(files, "sentence-embeddings").run([LONG])[0]
    rough = loaded(files, "sentence-embeddings", dtype="bfloat16").run([LONG])[0]
    assert task("sentence-embeddings").check(LONG, rough, {}) is None
    assert rough.output != exact.output
    assert rough.output == pytest.approx(exact.output, abs=0.03)


def test_a_model_without_a_head_for_the_task_is_refused(tmp_path: Path) -> None:
    files = twin(tmp_path, lambda n: transformers.BertModel(bert(n)))
    with pytest.raises(WorkloadFailed, match=r"classifier.*answers would be random"):
        loaded(files, "text-classification")


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    files = twin(tmp_path, gpt2)
    (tmp_path / "model.safetensors").unlink()
    torch.save(gpt2(14).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(WorkloadFailed, match="safetensors"):
        loaded(files, "text-generation")


def test_a_hub_model_that_is_not_here_says_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(WorkloadFailed, match="hf download nobody/nothing --revision abc"):
        loaded({}, "text-generation", model_id="nobody/nothing", revision="abc")
    assert time.monotonic() - start < 5  # no network was tried


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkloadFailed, match="cuda:99"):
        loaded(twin(tmp_path, gpt2), "text-generation", device="cuda:99")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("image-generation", {"model_id": "a/b"}),
        ("text-generation", {}),
        ("text-generation", {"model_id": "a/b", "dtype": "int3"}),
        ("text-generation", {"model_id": "a/b", "max_new_tokens": 0}),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_loaded(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        TransformersPipeline({}, name, settings)
