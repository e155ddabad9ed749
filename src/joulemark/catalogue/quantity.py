"""Read what somebody claims: ``2907 kWh per 1000 images``, ``0,3 Wh a domanda``, ``1.14 gCO2e per answer``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from joulemark.errors import BadQuantity
from joulemark.units import format_quantity, parse_energy

__all__ = ["TASKS_OF", "Language", "Quantity", "read_quantity"]

Language = Literal["en", "it"]

_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "image": ("image", "images", "picture", "pictures", "immagine", "immagini", "foto"),
        "video": ("video", "videos", "clip", "clips", "filmato", "filmati"),
        "answer": ("answer", "answers", "response", "responses", "message", "messages", "chat", "chats"),
        "answer ": ("prompt", "prompts", "query", "queries", "request", "requests", "domanda", "domande"),
        "answer  ": ("richiesta", "richieste", "risposta", "risposte", "messaggio", "messaggi"),
        "question": ("question", "questions"),
        "text": ("text", "texts", "sentence", "sentences", "testo", "testi", "summary", "summaries"),
        "token": ("token", "tokens"),
        "completion": ("completion", "completions"),
        "recording": ("recording", "recordings", "registrazione", "registrazioni"),
        "unit": ("inference", "inferences", "inferenza", "inferenze", "unit", "units", "call", "calls"),
        "training": ("training", "train", "addestramento", "model", "modello"),
    }
)
_WORK: Mapping[str, str] = MappingProxyType({word: key.strip() for key, words in _WORDS.items() for word in words})

TASKS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "image": ("image-generation", "image-captioning", "object-detection", "image-classification"),
        "video": ("video-generation", "image-to-video"),
        "answer": ("chat", "reasoning"),
        "question": ("chat", "question-answering", "reasoning"),
        "token": ("chat", "reasoning"),
        "completion": ("code-completion",),
        "text": ("summarization", "text-generation", "text-classification"),
        "recording": ("automatic-speech-recognition",),
        "training": ("training",),
    }
)
"""Tasks that a unit of work may be of, where no task is named: the likeliest first."""

_COUNTS: Mapping[str, float] = MappingProxyType(
    {
        "thousand": 1e3, "a thousand": 1e3, "one thousand": 1e3, "mille": 1e3, "1k": 1e3, "k": 1e3,
        "million": 1e6, "a million": 1e6, "one million": 1e6, "un milione di": 1e6, "1m": 1e6,
        "one": 1, "un": 1, "un'": 1, "un’": 1, "una": 1, "un singolo": 1,
        "hundred": 1e2, "a hundred": 1e2, "one hundred": 1e2, "cento": 1e2,
    }
)  # fmt: skip
_CARBON = re.compile(r"(mg|g|kg|t|kt)\s*(?:of\s+|di\s+)?CO(?:2|₂)\s*-?(?:eq|e)?\.?", re.IGNORECASE)
_MASS_G: Mapping[str, float] = MappingProxyType({"mg": 1e-3, "g": 1.0, "kg": 1e3, "t": 1e6, "kt": 1e9})
_POWER = re.compile(r"(m|k|M|G|T)?W", re.IGNORECASE)
_SPOKEN: Mapping[str, str] = MappingProxyType(
    {
        "kwh": "kWh", "wh": "Wh", "gwh": "GWh", "twh": "TWh", "j": "J", "kj": "kJ", "gj": "GJ", "joule": "J",
        "joules": "J", "kilojoule": "kJ", "kilojoules": "kJ", "megajoule": "MJ", "megajoules": "MJ",
        "watt-hour": "Wh", "watt-hours": "Wh", "watthours": "Wh", "wattora": "Wh",
        "kilowatt-hour": "kWh", "kilowatt-hours": "kWh", "kilowatthours": "kWh", "chilowattora": "kWh",
        "kilowattora": "kWh", "chilowattore": "kWh", "megawatt-hour": "MWh", "megawatt-hours": "MWh",
        "megawattora": "MWh", "gigawatt-hours": "GWh",
    }
)  # fmt: skip
_NUMBER = r"[0-9](?:[0-9.,'’_   ]*[0-9])?(?:[eE][+-]?[0-9]+)?"
_ABOUT = r"about|around|roughly|approximately|approx\.?|up to|nearly|almost|ca\.?|circa|fino a|quasi|~|≈|<|>"
_TEXT = re.compile(rf"\s*(?:{_ABOUT})?\s*(?P<number>{_NUMBER})\s*(?P<rest>\D.*)", re.DOTALL)
_COUNT_WORDS = "|".join(sorted(map(re.escape, _COUNTS), key=len, reverse=True))
_PER = re.compile(
    rf"\s*(?:/|\b(?:per|for|every|each|an?|ogni|all['’]?|a)\b)\s*(?:(?P<count>{_NUMBER})\s*(?P<k>k\b)?|"
    rf"(?P<words>{_COUNT_WORDS})(?<![a-z](?=[a-z])))?\s*(?P<work>[a-z]+)?\b(?P<more>.*)",
    re.IGNORECASE | re.DOTALL,
)
LEAST, MOST = 1e-12, 1e24
"""Joules or grams for one unit of work between which a claim is looked at (assumption of ours): from the energy of one
operation of a processor to more than the world generates in a year."""
_EXAMPLE = "write for example '2.9 kWh per 1000 images' or '0.3 Wh per prompt'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A claim, read.

    Attributes:
        text: as it was written.
        number: as it was read; of ambiguous marks there are several quantities.
        family: ``J`` for energy, ``g`` for carbon.
        total: joules or grams, for `count` units of work.
        count: how many.
        work: ``image``, ``answer``, ``token``, ``unit`` (any) or ``training``; empty if it is not said.
        symbol: the unit as the program writes it.
        mark: how the number was read: ``plain``, ``decimal point``, ``decimal comma``, ``thousands point``,
            ``thousands comma``.
    """

    text: str
    number: float
    family: Literal["J", "g"]
    total: float
    count: float
    work: str
    symbol: str
    mark: str

    @property
    def each(self) -> float:
        """Joules or grams for one unit of work."""
        return self.total / self.count

    def write(self, factor: float = 1.0) -> str:
        """Write it, times a factor, in its own unit if that reads well."""
        value = self.number * factor
        if 0.01 <= value < 1e5:
            amount = f"{value:,.6g} {self.symbol}"
        elif self.family == "J":
            amount = format_quantity(self.total * factor, "Wh", 4)
        else:
            amount = f"{format_quantity(self.total * factor, 'g', 4)}CO2e"
        return f"{amount}{self.per}"

    @property
    def per(self) -> str:
        """What it is for, in words."""
        if self.work in ("", "training"):
            return ""
        count = "" if self.count == 1 else f"{self.count:,.0f} "
        plural = "s" if self.count != 1 else ""
        return f" per {count}{self.work}{plural}"


def read_quantity(text: str, language: Language | None = None) -> tuple[Quantity, ...]:
    """Read a claimed energy or carbon.

    Args:
        text: a number, a unit, and what it is for.
        language: whose decimal and thousands marks are meant.

    Returns:
        One quantity; two where a mark can be read in two ways, the likelier first.

    Raises:
        BadQuantity: naming what cannot be read, and what would be right.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise BadQuantity(f"{text!r} is no number with a unit; {_EXAMPLE}.")
    family, factor, symbol, rest = _unit(match["rest"].strip(), text)
    readings = _numbers(match["number"], language, text)
    count, work = _per(rest, language, text)
    quantities = tuple(
        Quantity(text=text, number=n, family=family, total=n * factor, count=count, work=work, symbol=symbol, mark=mark)
        for n, mark in readings
    )
    for quantity in quantities:
        if not quantity.total > 0:
            raise BadQuantity(f"{text!r}: {quantity.number:g} is not above zero; {_EXAMPLE}.")
        if not LEAST < quantity.each < MOST:
            raise BadQuantity(f"{text!r}: {quantity.number:g} {symbol} is beyond all that anything takes; {_EXAMPLE}.")
    return quantities


def _unit(text: str, whole: str) -> tuple[Literal["J", "g"], float, str, str]:
    """Family, factor to SI, symbol, and what follows the unit."""
    carbon = _CARBON.match(text)
    if carbon:
        mass = carbon[1].casefold()
        return "g", _MASS_G[mass], f"{mass}CO2e", text[carbon.end() :]
    word = re.match(r"[A-Za-zµμ]+(?:-[A-Za-z]+)?", text)
    name = word[0] if word else text.split(maxsplit=1)[0] if text else ""
    if _POWER.fullmatch(name):
        raise BadQuantity(f"{whole!r}: {name} is a power; an energy is needed, such as {name}h.")
    symbol = _SPOKEN.get(name.casefold(), name)
    if symbol[:1] in ("µ", "μ", "u") and symbol[1:] in ("Wh", "J"):
        return "J", 1e-6 * parse_energy(f"1{symbol[1:]}"), f"µ{symbol[1:]}", text[len(name) :]
    if name in _MASS_G or name.casefold() in _MASS_G:
        raise BadQuantity(f"{whole!r}: {name} of what? Write {name}CO2 if carbon is meant.")
    try:
        return "J", parse_energy(f"1{symbol}"), symbol, text[len(name) :]
    except BadQuantity:
        raise BadQuantity(
            f"{whole!r}: {name!r} is no unit of energy or carbon; write J, kJ, Wh, kWh, MWh, GWh or gCO2."
        ) from None


def _numbers(text: str, language: Language | None, whole: str) -> tuple[tuple[float, str], ...]:
    """Readings of a number, the likelier first."""
    bare = re.sub(r"[   _'’]", "", text)
    if language is not None:
        decimal, thousands = (".", ",") if language == "en" else (",", ".")
        found = _grouped(bare, decimal, thousands)
        if found is None:
            raise BadQuantity(
                f"{whole!r}: {text!r} is no number with the marks of {'English' if language == 'en' else 'Italian'} "
                f"({thousands} between thousands, {decimal} before decimals)."
            )
        return ((found, "plain" if bare.isdigit() else f"marks of {language}"),)
    english, italian = _grouped(bare, ".", ","), _grouped(bare, ",", ".")
    if english is None and italian is None:
        raise BadQuantity(f"{whole!r}: {text!r} is no number; {_EXAMPLE}.")
    if english == italian or italian is None:
        assert english is not None  # noqa: S101 - one of them is a number
        return ((english, "plain" if "." not in bare and "," not in bare else "decimal point"),)
    if english is None:
        return ((italian, "decimal comma"),)
    if "." in bare:
        return ((english, "decimal point"), (italian, "thousands point"))
    return ((english, "thousands comma"), (italian, "decimal comma"))


def _grouped(text: str, decimal: str, thousands: str) -> float | None:
    """Read a number strictly: groups of three, or none."""
    d, t = re.escape(decimal), re.escape(thousands)
    pattern = rf"(?:[1-9]\d{{0,2}}(?:{t}\d{{3}})+|\d+)(?:{d}\d+)?(?:[eE][+-]?\d+)?"
    if not re.fullmatch(pattern, text):
        return None
    return float(text.replace(thousands, "").replace(decimal, "."))


def _per(text: str, language: Language | None, whole: str) -> tuple[float, str]:
    """How many units of work, and which; 1 and nothing if it is not said."""
    text = text.strip().rstrip(".")
    if not text:
        return 1.0, ""
    match = _PER.fullmatch(text)
    if match is None:
        raise BadQuantity(f"{whole!r}: {text!r} says not what the energy is for; {_EXAMPLE}.")
    if re.match(r"\s*(?:/|per\b|an?\b|al?\b|every\b|each\b|ogni\b)", match["more"] or "", re.IGNORECASE):
        raise BadQuantity(f"{whole!r}: {match['more'].strip()!r} is one rate too many; {_EXAMPLE}.")
    count = 1.0
    if match["count"]:
        # A count is a whole number: whatever mark stands in it parts thousands.
        bare = re.sub(r"[.,'’_   ]", "", match["count"])
        count = float(bare) * (1e3 if match["k"] else 1.0)
    elif match["words"]:
        count = _COUNTS[match["words"].casefold()]
    if count == 0:
        raise BadQuantity(f"{whole!r}: it is for nothing ({match['count']}); {_EXAMPLE}.")
    word = (match["work"] or "").casefold()
    if not word:
        return count, "unit"
    if word not in _WORK:
        raise BadQuantity(
            f"{whole!r}: {word!r} is no unit of work that is known here; write image, video, prompt, answer, text, "
            "token, inference or training."
        )
    return count, _WORK[word]
