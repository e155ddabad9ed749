"""What models of transformers do that answer in one pass: label, fill gaps, embed, point at answers and things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulemark.errors import WorkloadFailed
from joulemark.workloads.backends.entities import spans
from joulemark.workloads.backends.options import require
from joulemark.workloads.backends.transformer_loading import Loaded
from joulemark.workloads.seam import Answer, Item
from joulemark.workloads.tasks.forms import opened

__all__ = [
    "answer_questions",
    "classify",
    "classify_pictures",
    "detect",
    "embed",
    "encode",
    "fill",
    "opened_pictures",
    "tag",
]

LONGEST_ANSWER = 15
"""Tokens of the longest answer that is looked for in a passage, as transformers' question-answering pipeline had it."""


def encode(loaded: Loaded, texts: Sequence[str], **options: Any) -> Any:
    """Token ids and mask of the texts, padded to the longest; shape (texts, tokens)."""
    return loaded.tokenizer(list(texts), **{"return_tensors": "pt", "padding": True, "truncation": True, **options})


def classify(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """The best label of each text."""
    inputs = encode(loaded, [str(item.content) for item in batch]).to(loaded.device)
    return _labels(loaded, loaded.model(**inputs).logits, inputs["attention_mask"].sum(1).tolist())


def classify_pictures(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """The best label of each picture."""
    inputs = _seen(loaded, opened_pictures(batch))
    return _labels(loaded, loaded.model(**inputs).logits, [None] * len(batch))


def _labels(loaded: Loaded, logits: Any, read: Sequence[int | None]) -> list[Answer]:
    names = loaded.model.config.id2label
    return [
        Answer(output=names[best], tokens_in=count)
        for best, count in zip(logits.argmax(-1).tolist(), read, strict=True)
    ]


def tag(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """Entities of each text, as (label, start, end)."""
    inputs = encode(loaded, [str(item.content) for item in batch], return_offsets_mapping=True)
    offsets = inputs.pop("offset_mapping").tolist()
    words = [inputs.word_ids(row) for row in range(len(batch))]
    names = loaded.model.config.id2label
    best = loaded.model(**inputs.to(loaded.device)).logits.argmax(-1).tolist()
    read = inputs["attention_mask"].sum(1).tolist()
    return [
        Answer(output=spans([names[tag] for tag in tags], words[row], offsets[row]), tokens_in=read[row])
        for row, tags in enumerate(best)
    ]


def fill(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """The best word for the gap of each text."""
    mask = loaded.tokenizer.mask_token
    inputs = encode(loaded, [str(item.content).replace("{mask}", mask) for item in batch]).to(loaded.device)
    rows, columns = (inputs["input_ids"] == loaded.tokenizer.mask_token_id).nonzero(as_tuple=True)
    if rows.tolist() != list(range(len(batch))):
        raise WorkloadFailed(f"Each text must have exactly one gap, written {{mask}} or {mask}.")
    best = loaded.model(**inputs).logits[rows, columns].argmax(-1)
    read = inputs["attention_mask"].sum(1).tolist()
    return [
        Answer(output=loaded.tokenizer.decode([token]).strip(), tokens_in=count)
        for token, count in zip(best.tolist(), read, strict=True)
    ]


def embed(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """A vector of length 1 for each text."""
    inputs = encode(loaded, [str(item.content) for item in batch]).to(loaded.device)
    hidden, mask = loaded.model(**inputs).last_hidden_state, inputs["attention_mask"]
    if loaded.settings.pooling == "cls":
        vectors = hidden[:, 0]
    else:
        vectors = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    vectors = loaded.torch.nn.functional.normalize(vectors.float(), dim=-1).tolist()
    return [Answer(output=vector, tokens_in=count) for vector, count in zip(vectors, mask.sum(1).tolist(), strict=True)]


def answer_questions(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """The words of each passage that answer its question best; a passage is cut where the model's input ends.

    The answer runs from token s to token e with the largest sum of start and end scores, s <= e < s + 15, both in the
    passage (Devlin et al. 2019, arXiv 1810.04805, section 4.2).
    """
    torch = loaded.torch
    pairs = [_question(item) for item in batch]
    inputs = encode(
        loaded,
        [question for question, _ in pairs],
        text_pair=[context for _, context in pairs],
        truncation="only_second",
        return_offsets_mapping=True,
    )
    offsets = inputs.pop("offset_mapping").tolist()
    inside = torch.tensor([[part == 1 for part in inputs.sequence_ids(row)] for row in range(len(batch))])
    result = loaded.model(**inputs.to(loaded.device))
    start, end = (
        scores.float().masked_fill(~inside.to(loaded.device), -1e9)
        for scores in (result.start_logits, result.end_logits)
    )
    both = start[:, :, None] + end[:, None, :]
    band = torch.ones_like(both[0], dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
    best = both.masked_fill(~band, -1e10).flatten(1).argmax(1).tolist()
    read = inputs["attention_mask"].sum(1).tolist()
    answers = []
    for row, (_, context) in enumerate(pairs):
        first, last = divmod(best[row], both.shape[-1])
        span = context[offsets[row][first][0] : offsets[row][last][1]].strip()
        answers.append(Answer(output=span, tokens_in=read[row]))
    return answers


def _question(item: Item) -> tuple[str, str]:
    if not isinstance(item.content, Mapping) or not {"question", "context"} <= set(item.content):
        raise WorkloadFailed(f"The input {item.id} is no question with its context.")
    return item.content["question"], item.content["context"]


def detect(loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
    """The things in each picture: label, score and box (left, top, right, bottom) in pixels, the surest first."""
    pictures = opened_pictures(batch)
    sizes = [(picture.height, picture.width) for picture in pictures]
    result = loaded.model(**_seen(loaded, pictures))
    found = loaded.pictures.post_process_object_detection(
        result, threshold=loaded.settings.threshold, target_sizes=sizes
    )
    names = loaded.model.config.id2label
    answers = []
    for one in found:
        scores, labels, boxes = one["scores"].tolist(), one["labels"].tolist(), one["boxes"].tolist()
        things = [
            {"label": names[label], "score": score, "box": tuple(box)}
            for score, label, box in sorted(zip(scores, labels, boxes, strict=True), reverse=True)
        ]
        answers.append(Answer(output=things))
    return answers


def opened_pictures(batch: Sequence[Item]) -> list[Any]:
    """The pictures of the batch in colour."""
    require("PIL.Image", package="pillow", extra="transformers", purpose="Reading a picture")
    return [opened(item.content).convert("RGB") for item in batch]


def _seen(loaded: Loaded, pictures: Sequence[Any]) -> Any:
    return loaded.pictures(images=pictures, return_tensors="pt").to(loaded.device, loaded.model.dtype)
