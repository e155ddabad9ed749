"""The Hugging Face path, with twins: the real architectures, small, with random weights, saved as hub folders."""

from __future__ import annotations

import importlib.util
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joulemark.errors import MissingExtra, UsageError, WorkloadFailed
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


def pointer(vocabulary: int) -> Any:
    config = bert(vocabulary)
    config.num_labels = 2
    return transformers.BertForQuestionAnswering(config)


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


def whisper(vocabulary: int) -> Any:
    config = transformers.WhisperConfig(
        vocab_size=vocabulary,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_mel_bins=8,
        max_source_positions=500,  # ten seconds
        max_target_positions=64,
        pad_token_id=0,
        bos_token_id=3,
        eos_token_id=3,
        decoder_start_token_id=3,
    )
    return transformers.WhisperForConditionalGeneration(config)


def blip(vocabulary: int) -> Any:
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    marks = {"bos_token_id": 3, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    text = {"vocab_size": vocabulary, "encoder_hidden_size": 32, **small, **marks}
    vision = {"image_size": 16, "patch_size": 8, **small}
    return transformers.BlipForConditionalGeneration(transformers.BlipConfig(text_config=text, vision_config=vision))


def vit(vocabulary: int) -> Any:
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=16, patch_size=8, num_labels=3, **SMALL)
    )


def yolos(vocabulary: int) -> Any:
    config = transformers.YolosConfig(image_size=[16, 24], patch_size=8, num_detection_tokens=5, num_labels=3, **SMALL)
    return transformers.YolosForObjectDetection(config)


SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}

BUILDERS: dict[str, Callable[[int], Any]] = {
    "text-generation": gpt2,
    "code-completion": gpt2,
    "summarization": t5,
    "text-classification": lambda n: transformers.BertForSequenceClassification(bert(n)),
    "token-classification": lambda n: transformers.BertForTokenClassification(bert(n)),
    "sentence-embeddings": lambda n: transformers.BertModel(bert(n)),
}


EVERY_TASK: dict[str, Callable[[int], Any]] = {
    **BUILDERS,
    "chat": gpt2,
    "fill-mask": lambda n: transformers.BertForMaskedLM(bert(n)),
    "question-answering": pointer,
    "image-classification": vit,
    "object-detection": yolos,
    "image-captioning": blip,
    "automatic-speech-recognition": whisper,
}


@pytest.mark.parametrize("name", EVERY_TASK)
def test_a_configuration_alone_makes_a_twin_that_answers(name: str, tmp_path: Path) -> None:
    # No weights, no vocabulary: shapes and lengths are what they would be.
    EVERY_TASK[name](200).config.save_pretrained(tmp_path)
    asked = task(name)
    settings = {**asked.defaults, "weights": "random", "max_new_tokens": 6, "threshold": 0.0}
    backend = TransformersPipeline({"model": tmp_path}, name, settings)
    backend.load()
    items = asked.items()[:2]
    answers = backend.run(items)
    for item, answer in zip(items, answers, strict=True):
        assert asked.check(item, answer, settings) is None
    if answers[0].tokens_out is not None:
        assert [answer.tokens_out for answer in answers] == [6, 6]
    assert backend.parameters > 1000
    backend.close()


def test_every_task_of_the_backend_is_tried_here() -> None:
    assert set(EVERY_TASK) == set(TransformersPipeline.tasks)


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


def test_an_answer_is_a_part_of_the_passage(tmp_path: Path) -> None:
    backend = loaded(twin(tmp_path, pointer), "question-answering")
    items = [
        Item(id=str(n), content={"question": "the town", "context": text})
        for n, text in enumerate([SHORT_TEXT, LONG_TEXT])
    ]
    together = backend.run(items)
    for item, answer in zip(items, together, strict=True):
        assert answer.output
        assert task("question-answering").check(item, answer, {}) is None
        assert backend.run([item])[0] == answer  # padding is not seen
    with pytest.raises(WorkloadFailed, match="question with its context"):
        backend.run([SHORT])


def picture(color: str, width: int) -> bytes:
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    file = io.BytesIO()
    image.new("RGB", (width, 30), color).save(file, "PNG")
    return file.getvalue()


def test_boxes_are_in_the_pixels_of_the_picture(tmp_path: Path) -> None:
    files = twin(tmp_path, yolos)
    transformers.YolosImageProcessorPil(size={"height": 16, "width": 24}).save_pretrained(tmp_path)
    items = [Item(id=color, content=picture(color, width)) for color, width in (("red", 40), ("blue", 90))]
    every = loaded(files, "object-detection", threshold=0.0).run(items)
    assert [len(answer.output) for answer in every] == [5, 5]  # type: ignore[arg-type]
    narrow, wide = ([thing["box"] for thing in answer.output] for answer in every)  # type: ignore[attr-defined]
    assert max(box[2] for box in wide) > max(box[2] for box in narrow)
    scores = [thing["score"] for thing in every[0].output]  # type: ignore[attr-defined]
    assert scores == sorted(scores, reverse=True)
    assert [answer.output for answer in loaded(files, "object-detection", threshold=1.0).run(items)] == [[], []]


def test_captions_and_transcripts_are_of_the_asked_length(tmp_path: Path) -> None:
    files = twin(tmp_path / "blip", blip)
    transformers.BlipImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "blip")
    items = [Item(id=color, content=picture(color, 40)) for color in ("red", "blue")]
    exact = loaded(files, "image-captioning", max_new_tokens=7, fixed_length=True).run(items)
    assert [answer.tokens_out for answer in exact] == [7, 7]
    free = loaded(files, "image-captioning", max_new_tokens=7).run(items)
    assert all(1 <= answer.tokens_out <= 7 for answer in free)  # type: ignore[operator]

    files = twin(tmp_path / "whisper", whisper)
    transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=10).save_pretrained(tmp_path / "whisper")
    spoken = task("automatic-speech-recognition").items()[:2]
    heard = loaded(files, "automatic-speech-recognition", max_new_tokens=5, fixed_length=True).run(spoken)
    assert [answer.tokens_out for answer in heard] == [5, 5]


TEMPLATE = "{{ messages[0]['content'] }}{% if enable_thinking %} <think>{% endif %}"


class Scripted:
    """A model that writes what it is told to, behind the prompt."""

    def __init__(self, model: Any, words: list[int]) -> None:
        self.model, self.words = model, words
        self.device, self.generation_config = model.device, model.generation_config

    def generate(self, input_ids: Any, **_: Any) -> Any:
        return torch.cat([input_ids, torch.tensor([self.words] * len(input_ids))], dim=1)


def test_reasoning_is_counted_apart_and_is_no_part_of_the_answer(tmp_path: Path) -> None:
    files = twin(tmp_path, gpt2)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path, chat_template=TEMPLATE)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    tokenizer.save_pretrained(tmp_path)
    word, end, close = (tokenizer.convert_tokens_to_ids(token) for token in ("sea", "</s>", "</think>"))
    for written, thought, total, output in (
        ([word, word, close, word, end], 3, 5, "sea"),
        ([word, word, word, word, word], 5, 5, ""),  # it never came to an answer
    ):
        backend = loaded(files, "chat", reasoning=True, max_new_tokens=5)
        assert backend._loaded is not None
        backend._loaded.model = Scripted(backend._loaded.model, written)
        (answer,) = backend.run([SHORT])
        assert (answer.tokens_reasoning, answer.tokens_out, answer.output) == (thought, total, output)


def test_a_model_that_cannot_chat_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkloadFailed, match="no chat template"):
        loaded(twin(tmp_path, gpt2), "chat").run([SHORT])


def test_a_prompt_leaves_room_for_what_is_to_be_written(tmp_path: Path) -> None:
    files = twin(tmp_path, gpt2)
    endless = Item(id="endless", content="the sea " * 100)
    (answer,) = loaded(files, "text-generation", max_new_tokens=50).run([endless])
    assert (answer.tokens_in, answer.tokens_out) == (14, 50)
    with pytest.raises(WorkloadFailed, match="64 tokens at most"):
        loaded(files, "text-generation", max_new_tokens=64).run([endless])


def test_quantisation_says_what_it_needs(tmp_path: Path) -> None:
    if importlib.util.find_spec("bitsandbytes") and importlib.util.find_spec("accelerate"):
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(MissingExtra, match=r"joulemark\[quantization\]"):
        loaded(twin(tmp_path, gpt2), "text-generation", quantization="int8")


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
        ("text-generation", {"model_id": "a/b", "min_new_tokens": 9, "max_new_tokens": 8}),
        ("text-generation", {"model_id": "a/b", "quantization": "int3"}),
        ("text-generation", {"model_id": "a/b", "device": "cuda", "device_map": "auto"}),
        ("text-generation", {"model_id": "a/b", "compile": "yes"}),
        ("object-detection", {"model_id": "a/b", "threshold": 2}),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_loaded(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        TransformersPipeline({}, name, settings)
