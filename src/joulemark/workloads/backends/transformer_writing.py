"""What models of transformers do that write token by token: go on with texts, sum up, chat, caption, write down speech.

Writing is greedy. Where the length is fixed, a text ends after exactly ``max_new_tokens``, whatever the model says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import WorkloadFailed
from joulemark.workloads.backends.sound import RATE_HZ, read_wav
from joulemark.workloads.backends.transformer_loading import Loaded
from joulemark.workloads.backends.transformer_reading import encode, opened_pictures
from joulemark.workloads.seam import Answer, Item

__all__ = ["caption", "chat", "complete", "generate", "summarize", "transcribe"]

_CAPTION = "Describe the picture in one sentence."
_MIDDLE = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5-Coder, CodeGemma
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder
)
"""How a model is told to fill a gap: before what precedes it, before what follows it, and where it writes."""


def generate(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """Go on with each prompt; a model with a chat template gets it as a user's message."""
    return _go_on(loaded, *_prompts(loaded, [str(item.content) for item in batch]))


def chat(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """Answer each message, behind the reasoning of models that reason."""
    if loaded.tokenizer.chat_template is None and not loaded.settings.twin:
        raise WorkloadFailed("The model has no chat template: it goes on with texts. Measure it at text-generation.")
    return _go_on(loaded, *_prompts(loaded, [str(item.content) for item in batch]), reasoning=True)


def complete(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """Go on with code, or fill the gap between what precedes and what follows it where the model knows how."""
    marks = _marks(loaded)
    texts = []
    for item in batch:
        content = item.content if isinstance(item.content, Mapping) else {"prefix": str(item.content)}
        prefix, suffix = content.get("prefix", ""), content.get("suffix", "")
        texts.append(f"{marks[0]}{prefix}{marks[1]}{suffix}{marks[2]}" if suffix and marks else prefix)
    return _go_on(loaded, texts, framed=True, strip=False)


def _marks(loaded: Loaded) -> tuple[str, str, str] | None:
    known = getattr(loaded.tokenizer, "added_tokens_encoder", {})
    return next((marks for marks in _MIDDLE if all(mark in known for mark in marks)), None)


def _prompts(loaded: Loaded, texts: list[str]) -> tuple[list[str], bool]:
    """Give what the model reads, and whether its tokens of begin and end are still to be put around it."""
    if not loaded.tokenizer.chat_template:
        return texts, True
    chats = [[{"role": "user", "content": text}] for text in texts]
    told = loaded.tokenizer.apply_chat_template(
        chats, tokenize=False, add_generation_prompt=True, enable_thinking=loaded.settings.reasoning
    )
    return list(told), False


def _go_on(
    loaded: Loaded, texts: Sequence[str], framed: bool, *, reasoning: bool = False, strip: bool = True
) -> list[Answer]:
    # The answer goes on where the prompt ends, so padding must stand before it.
    loaded.tokenizer.padding_side = "left"
    room = loaded.tokenizer.model_max_length - loaded.settings.max_new_tokens
    if room < 1:
        raise WorkloadFailed(
            f"The model reads and writes {loaded.tokenizer.model_max_length} tokens at most, so max_new_tokens cannot "
            f"be {loaded.settings.max_new_tokens}."
        )
    inputs = encode(loaded, texts, add_special_tokens=framed, max_length=room).to(loaded.device)
    written = _write(loaded, **_read(loaded, inputs))
    written = written[:, inputs["input_ids"].shape[1] :]
    read = inputs["attention_mask"].sum(1).tolist()
    if reasoning:
        return [
            _reasoned(loaded, row, text, n) for row, text, n in zip(_ended(loaded, written), texts, read, strict=True)
        ]
    return _texts(loaded, written, read, strip=strip)


def _reasoned(loaded: Loaded, row: list[int], prompt: str, read: int) -> Answer:
    """Part an answer from the reasoning before it, which ends with the token ``</think>``."""
    known = getattr(loaded.tokenizer, "added_tokens_encoder", {})
    begin, end = known.get("<think>"), known.get("</think>")
    thought = 0
    if end is not None and end in row:
        thought = row.index(end) + 1
    elif end is not None and (begin in row or prompt.rstrip().endswith("<think>")):
        thought = len(row)  # it never came to an answer
    return Answer(
        output=loaded.tokenizer.decode(row[thought:], skip_special_tokens=True).strip(),
        tokens_in=read,
        tokens_out=len(row),
        tokens_reasoning=None if end is None else thought,
    )


def summarize(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """Sum up each text, with the prefix that the model was taught, if any."""
    asked = (getattr(loaded.model.config, "task_specific_params", None) or {}).get("summarization", {})
    inputs = encode(loaded, [asked.get("prefix", "") + str(item.content) for item in batch]).to(loaded.device)
    written = _write(loaded, **_read(loaded, inputs))[:, 1:]
    return _texts(loaded, written, inputs["attention_mask"].sum(1).tolist())


def caption(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """Say what each picture shows."""
    pictures = opened_pictures(batch)
    if loaded.processor is not None:
        loaded.processor.tokenizer.padding_side = "left"
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _CAPTION}]}
        told = loaded.processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        inputs = loaded.processor(
            text=[told] * len(batch), images=[[picture] for picture in pictures], return_tensors="pt", padding=True
        ).to(loaded.device, loaded.model.dtype)
        written = _write(loaded, **inputs)[:, inputs["input_ids"].shape[1] :]
        return _texts(loaded, written, inputs["attention_mask"].sum(1).tolist())
    inputs = loaded.pictures(images=pictures, return_tensors="pt").to(loaded.device, loaded.model.dtype)
    written = _write(loaded, pixel_values=inputs["pixel_values"])
    # What the model was begun with is no word of its own.
    return _texts(loaded, written[:, _begun(loaded, written) :], [None] * len(batch))


def _begun(loaded: Loaded, written: Any) -> int:
    """How many tokens at the beginning were given to the model, where no prompt was."""
    limit = loaded.settings.max_new_tokens
    return max(int(written.shape[1]) - limit, 1) if loaded.settings.fixed_length else 1


def transcribe(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """Write down what is said in each recording (WAV, 16 kHz, mono, 16 bits)."""
    sounds = [read_wav(Path(str(item.content))) for item in batch]
    inputs = loaded.sounds(sounds, sampling_rate=RATE_HZ, return_tensors="pt").to(loaded.device, loaded.model.dtype)
    options: dict[str, Any] = {}
    if getattr(loaded.model.generation_config, "is_multilingual", False):
        options = {"language": loaded.settings.language, "task": "transcribe"}
    written = _write(loaded, **inputs, **options)
    if loaded.settings.fixed_length:
        written = written[:, -loaded.settings.max_new_tokens :]
    return _texts(loaded, written, [None] * len(batch))


def _read(loaded: Loaded, inputs: Any) -> dict[str, Any]:
    return {
        "input_ids": inputs["input_ids"],
        "attention_mask": inputs["attention_mask"],
        "pad_token_id": loaded.tokenizer.pad_token_id,
    }


def _write(loaded: Loaded, **inputs: Any) -> Any:
    settings = loaded.settings
    return loaded.model.generate(
        **inputs,
        max_new_tokens=settings.max_new_tokens,
        min_new_tokens=settings.max_new_tokens if settings.fixed_length else settings.min_new_tokens,
        do_sample=False,
        num_beams=1,
    )


def _ended(loaded: Loaded, written: Any) -> list[list[int]]:
    """Cut each row behind its end; rows shorter than the longest are padded there."""
    rows: list[list[int]] = written.tolist()
    if loaded.settings.fixed_length:
        return rows
    end = loaded.model.generation_config.eos_token_id
    # Decoders with BERT's vocabulary (BLIP, GIT) end with its [SEP], which only their tokenizer says.
    ends = {*(end if isinstance(end, list) else [end]), getattr(loaded.tokenizer, "sep_token_id", None)}
    return [row[: next((n for n, token in enumerate(row, 1) if token in ends), len(row))] for row in rows]


def _texts(loaded: Loaded, written: Any, read: Sequence[int | None], *, strip: bool = True) -> list[Answer]:
    rows = _ended(loaded, written)
    outputs = loaded.tokenizer.batch_decode(rows, skip_special_tokens=True)
    return [
        Answer(output=output.strip() if strip else output, tokens_in=count, tokens_out=len(row))
        for output, count, row in zip(outputs, read, rows, strict=True)
    ]
