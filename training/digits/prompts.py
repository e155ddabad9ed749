"""The sentences that the digits model is taught, and the word-level tokenizer over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerFast

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

PLAIN = (
    "{d}",
    "{a} {d}",
    "the digit {d}",
    "the number {d}",
    "handwritten {d}",
    "a handwritten {d}",
    "handwritten digit {d}",
    "the handwritten number {d}",
    "a picture of {a} {d}",
    "a picture of the number {d}",
    "an image of the digit {d}",
    "an image of a handwritten {d}",
    "a drawing of {a} {d}",
    "{a} {d} written by hand",
    "the number {d} written by hand",
    "draw {a} {d}",
    "draw the digit {d}",
    "please write the number {d}",
    "please write {a} {d} by hand",
)
"""Templates; ``{d}`` is the digit as a word or as a numeral, ``{a}`` its article."""

INKED = (
    "a {ink} {d}",
    "a {ink} handwritten {d}",
    "the digit {d} with a {ink} pen",
    "a picture of a {ink} {d}",
    "please write a {ink} {d}",
)
"""Templates that also say how much ink: ``bold`` or ``thin``."""

PAD, START, END, UNKNOWN = "<pad>", "<start>", "<end>", "<unknown>"
MAX_TOKENS = 12


def fill(template: str, digit: int, *, numeral: bool, ink: str = "") -> str:
    """One prompt, such as "a picture of an 8"."""
    name = str(digit) if numeral else WORDS[digit]
    return template.format(d=name, a="an" if digit == 8 else "a", ink=ink)


def draw(digit: int, ink: str | None, dice: np.random.Generator, *, unknown_share: float = 0.05) -> str:
    """A prompt at random for a picture of `digit` whose ink is `ink` ("bold", "thin" or None: in between).

    Now and then a word that is not the digit becomes a word nobody taught, so that the model learns to read
    on.
    """
    inked = ink is not None and dice.random() < 0.4
    templates = INKED if inked else PLAIN
    template = templates[dice.integers(len(templates))]
    words = fill(template, digit, numeral=dice.random() < 0.5, ink=ink or "").split()
    names = {str(digit), WORDS[digit], ink}
    return " ".join(w if w in names or dice.random() >= unknown_share else UNKNOWN for w in words)


def vocabulary() -> dict[str, int]:
    """Every word of the templates with its id, the special tokens first."""
    filled = (
        fill(t, d, numeral=n, ink=ink)
        for t in PLAIN + INKED
        for d in range(10)
        for n in (True, False)
        for ink in ("bold", "thin")
    )
    words = sorted({word for prompt in filled for word in prompt.split()})
    return {word: i for i, word in enumerate([PAD, START, END, UNKNOWN, *words])}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A lower-casing word-level tokenizer: ``<start>``, the words, ``<end>``, padded to `MAX_TOKENS`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = vocabulary()
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, ids[START]), (END, ids[END])]
    )
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(length=MAX_TOKENS, pad_id=ids[PAD], pad_token=PAD)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=MAX_TOKENS,
    )
