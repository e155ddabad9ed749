"""Public data sets as inputs: what the study and AI Energy Score asked, through the library ``datasets``.

A suite names one with ``inputs: squad``. Its first 1,000 rows that have something in them are taken, kept beside the
library's other files, and read from there the next time, without a network too. The record names the data set, its
revision and the number of rows: ``squad@0123456789ab[:1000]``. A file or folder of one's own does as well, with the
columns that `COLUMNS` names.

Ids, configurations and splits of the study are read in its scripts (github.com/sashavor/co2_inference, ``code/``), with
today's owners in front of ids that had none; those of AI Energy Score in its configurations
(github.com/huggingface/optimum-benchmark, ``energy_star/`` and ``examples/energy_star/``).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from joulemark.errors import JoulemarkError, UnknownName, WorkloadFailed
from joulemark.workloads.backends.entities import spans
from joulemark.workloads.backends.options import require
from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Item, Task
from joulemark.workloads.shaping import masked

__all__ = ["COLUMNS", "DECLARED", "ROWS", "Declared", "Inputs", "data_sets", "inputs_for"]

ROWS = 1000
"""Rows that the study and AI Energy Score take of a data set."""

NOT_STATED = "not stated"

_CONVERTED = "refs/convert/parquet"
_TIMEOUT_S = 20.0
_SCANNED = 10  # times the rows that are wanted, before a data set counts as empty

Row = Mapping[str, Any]
Asked = tuple[Any, object]
Reader = Callable[[Row], Asked]
"""Makes what is asked and what is expected out of a row; what is asked is empty where a row has nothing to ask."""


class Inputs(NamedTuple):
    """Inputs other than a task's own: their id for the record, their licence, and what gives the items."""

    id: str
    licence: str
    items: Callable[[], tuple[Item, ...]]


# --- From a row to what is asked and what is expected -------------------------------------------------------------


def _text(column: str, expected: str = "") -> Reader:
    return lambda row: (_strip(row[column]), row.get(expected))


def _sentiment(column: str) -> Reader:
    words = {"neg": "negative", "pos": "positive"}
    return lambda row: (_strip(row[column]), words.get(row.get("label") or "", row.get("label")))


def _hiding_a_word(column: str) -> Reader:
    def read(row: Row) -> Asked:
        text, hidden = masked(_strip(row[column]))
        return ("", None) if text == "{mask}" else (text, hidden or row.get("expected"))

    return read


def _with_mask_behind(column: str) -> Reader:
    # So does the study with BookCorpus, whose rows are single sentences.
    return lambda row: (" ".join([*str(row[column]).replace(".", "").split(), "{mask}"]), None)


def _question(context: str, answers: Callable[[Row], Sequence[str] | None]) -> Reader:
    def read(row: Row) -> Asked:
        question, passage = _strip(row["question"]), _strip(row[context])
        right = answers(row)
        asked = {"question": question, "context": passage} if question and passage else {}
        return asked, None if right is None else tuple(right)

    return read


def _squad_answers(row: Row) -> Sequence[str] | None:
    answers = row.get("answers")
    if isinstance(answers, Mapping):
        return [str(text) for text in answers["text"]]
    return [answers] if isinstance(answers, str) else answers


def _tagged(tokens: str = "tokens", tags: str = "ner_tags") -> Reader:
    """Words with a space between them, as the study joins them; entities by their B- and I- tags."""

    def read(row: Row) -> Asked:
        words = [str(word) for word in row[tokens]]
        offsets, start = [], 0
        for word in words:
            offsets.append((start, start + len(word)))
            start += len(word) + 1
        expected = spans(row[tags], range(len(words)), offsets) if row.get(tags) else None
        return " ".join(words), expected

    return read


def _picture(column: str = "image", expected: Callable[[Row], object] = lambda row: None) -> Reader:
    return lambda row: (_bytes_of(row[column]), expected(row))


def _bytes_of(picture: Any) -> bytes:
    # The bytes of the file as it is in the data set; the model's side decodes it.
    content: bytes | None = picture["bytes"]
    return Path(picture["path"]).read_bytes() if content is None else content


def _label(row: Row) -> tuple[str, ...] | None:
    name = row.get("fine_label", row.get("label"))
    return None if name is None else (str(name),)


def _boxes(row: Row) -> object:
    """Things of a row like CPPE-5's; its boxes are (left, top, width, height)."""
    things = row.get("objects")
    if not things:
        return None
    boxes = ((x, y, x + width, y + height) for x, y, width, height in things["bbox"])
    return tuple(zip(map(str, things["category"]), boxes, strict=True))


def _addresses(row: Row) -> Asked:
    raise WorkloadFailed(
        "RedCaps lists addresses of pictures and not the pictures; some disappear every year, so that no two "
        "measurements would ask the same. Fetch what is left into a folder of your own and name that."
    )


def _strip(text: object) -> str:
    return "" if text is None else str(text).strip()


# --- What is declared ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A data set of the hub, as one task asks it.

    Attributes:
        name: short, as a suite names it.
        task: name of the task.
        path: id on the hub, or a folder.
        split: such as ``validation``.
        read: makes what is asked out of a row.
        config: which part of the data set; "" where there is one only.
        by: who measured with it: "study" or "AI Energy Score".
    """

    name: str
    task: str
    path: str
    split: str
    read: Reader
    config: str = ""
    by: str = "study"


def _study(task: str, *sets: tuple[str, str, str, str, Reader]) -> Iterator[Declared]:
    for name, path, config, split, read in sets:
        yield Declared(name=name, task=task, path=path, config=config, split=split, read=read)


def _score(task: str, name: str, read: Reader) -> Declared:
    by = "AI Energy Score"
    return Declared(name="ai-energy-score", task=task, path=f"AIEnergyScore/{name}", split="train", read=read, by=by)


_BOOKS = ("bookcorpus", "bookcorpus/bookcorpus", "", "train")
_OSCAR = ("oscar", "oscar-corpus/oscar", "unshuffled_deduplicated_en", "train")
_COCO = ("coco", "rafaelpadilla/coco2017", "", "val")
_GENOME = ("visual-genome", "ranjaykrishna/visual_genome", "objects_v1.2.0", "train")

DECLARED: tuple[Declared, ...] = (
    *_study(
        "text-classification",
        ("imdb", "stanfordnlp/imdb", "", "test", _sentiment("text")),
        ("rotten-tomatoes", "cornell-movie-review-data/rotten_tomatoes", "", "validation", _sentiment("text")),
        ("sst2", "stanfordnlp/sst2", "", "test", _sentiment("sentence")),
    ),
    *_study(
        "token-classification",
        ("record", "aps/super_glue", "record", "test", _text("passage")),
        ("wikiann", "unimelb-nlp/wikiann", "en", "test", _tagged()),
        ("conll2003", "eriktks/conll2003", "", "validation", _tagged()),
    ),
    *_study(
        "question-answering",
        ("squad", "rajpurkar/squad", "", "validation", _question("context", _squad_answers)),
        ("squad-v2", "rajpurkar/squad_v2", "", "validation", _question("context", _squad_answers)),
        # The script reads the passage from the column ``passage``; the data set calls it ``support``.
        ("sciq", "allenai/sciq", "", "test", _question("support", lambda row: [row["correct_answer"]])),
    ),
    *_study(
        "fill-mask",
        (*_BOOKS, _with_mask_behind("text")),
        ("c4", "allenai/c4", "en", "train", _hiding_a_word("text")),
        (*_OSCAR, _hiding_a_word("text")),
    ),
    *_study(
        "text-generation",
        ("wikitext", "Salesforce/wikitext", "wikitext-103-raw-v1", "test", _text("text")),
        (*_BOOKS, _text("text")),
        (*_OSCAR, _text("text")),
    ),
    *_study(
        "summarization",
        # A copy: the original, Samsung/samsum, was withdrawn from the hub.
        ("samsum", "knkarthick/samsum", "", "train", _text("dialogue", "summary")),
        ("cnn-dailymail", "abisee/cnn_dailymail", "3.0.0", "test", _text("article", "highlights")),
        ("xsum", "EdinburghNLP/xsum", "", "test", _text("document", "summary")),
    ),
    *_study(
        "image-classification",
        ("cifar10", "uoft-cs/cifar10", "", "test", _picture("img", _label)),
        ("cifar100", "uoft-cs/cifar100", "", "test", _picture("img", _label)),
        ("imagenet", "ILSVRC/imagenet-1k", "", "test", _picture("image", _label)),
    ),
    *_study(
        "object-detection",
        (*_GENOME, _picture()),
        ("cppe-5", "rishitdagli/cppe-5", "", "train", _picture("image", _boxes)),
        (*_COCO, _picture()),
    ),
    *_study(
        "image-captioning",
        (*_GENOME, _picture()),
        ("redcaps", "kdexd/red_caps", "roses_2020", "train", _addresses),
        (*_COCO, _picture()),
    ),
    *_study(
        "image-generation",
        ("diffusiondb", "poloclub/diffusiondb", "2m_first_1k", "train", _text("prompt")),
        ("imagereward", "zai-org/ImageRewardDB", "1k", "train", _text("prompt")),
        ("sd-prompts", "Gustavosta/Stable-Diffusion-Prompts", "", "test", _text("Prompt")),
    ),
    _score("text-generation", "text_generation", _text("text")),
    _score("summarization", "summarization", _text("text")),
    _score("text-classification", "text_classification", _text("text")),
    _score("question-answering", "extractive_qa", _question("context", _squad_answers)),
    _score("image-classification", "image_classification", _picture()),
    _score("object-detection", "object_detection", _picture()),
    _score("image-captioning", "image_captioning", _picture()),
    _score("image-generation", "image_generation", _text("prompt")),
)

_OWN: Mapping[tuple[str, str], tuple[str, Callable[[], tuple[Item, ...]]]] = {
    ("image-generation", "picture-prompts"): (
        "joulemark-picture-prompts/1",
        lambda: items_of("picture_prompts"),
    ),
}
"""Inputs of ours beside a task's usual ones."""

_STANDARD: Mapping[str, Reader] = {
    "text-generation": _text("text"),
    "chat": _text("text"),
    "code-completion": lambda row: (
        {k: str(row[k]) for k in ("prefix", "suffix") if row.get(k)} if row.get("prefix") else {},
        None,
    ),
    "summarization": _text("text", "summary"),
    "question-answering": _question("context", _squad_answers),
    "text-classification": _sentiment("text"),
    "token-classification": _tagged(),
    "fill-mask": _hiding_a_word("text"),
    "sentence-embeddings": _text("text"),
    "text-to-speech": _text("text"),
    "image-classification": _picture("image", _label),
    "object-detection": _picture("image", _boxes),
    "image-captioning": _picture("image", lambda row: row.get("caption")),
    "image-generation": _text("prompt"),
    "video-generation": _text("prompt"),
}

COLUMNS: Mapping[str, str] = {
    "text-generation": "text",
    "chat": "text",
    "code-completion": "prefix, [suffix]",
    "summarization": "text, [summary]",
    "question-answering": "question, context, [answers]",
    "text-classification": "text, [label]",
    "token-classification": "tokens, [ner_tags]",
    "fill-mask": "text (a gap is written {mask}), [expected]",
    "sentence-embeddings": "text",
    "text-to-speech": "text",
    "image-classification": "image, [label]",
    "object-detection": "image, [objects: bbox, category]",
    "image-captioning": "image, [caption]",
    "image-generation": "prompt",
    "video-generation": "prompt",
}
"""Columns that a data set of one's own must have, by task; those in brackets may be left out."""


def data_sets(task: str) -> Mapping[str, Declared]:
    """Data sets that are declared for a task, by name."""
    return {declared.name: declared for declared in DECLARED if declared.task == task}


# --- Getting them -------------------------------------------------------------------------------------------------


def inputs_for(task: Task, name: str, *, rows: int = ROWS) -> Inputs:
    """Find inputs for a task: a declared data set, or a file (JSON lines, CSV, Parquet) or folder of one's own.

    What is on the hub is fetched once, here and before anything is measured.

    Raises:
        UnknownName: if there is neither a data set nor a file of that name.
        MissingExtra: if ``datasets`` is not installed.
        WorkloadFailed: if the hub cannot be reached or does not give the data set, or its rows are others than said.
    """
    if (task.name, name) in _OWN:
        own, items = _OWN[task.name, name]
        return Inputs(own, LICENCE, items)
    declared = data_sets(task.name)
    if name in declared:
        return _from_hub(declared[name], rows)
    if task.name in _STANDARD and Path(name).exists():
        return _from_disk(task.name, Path(name), rows)
    known = [*declared, *(own for of, own in _OWN if of == task.name)]
    hint = f"A file or folder of your own does as well; columns: {COLUMNS[task.name]}." if task.name in COLUMNS else ""
    raise UnknownName("data set", name, known, hint=hint)


def _from_disk(task: str, path: Path, rows: int) -> Inputs:
    library = _library(str(path))
    with _failures(f"The data set {path}"):
        stream = _opened(library, path)
        asked = _asked(_named(library, stream), _STANDARD[task], rows, path.stem)
    return Inputs(f"{path.stem}@{_digest(path)}[:{len(asked)}]", NOT_STATED, lambda: asked)


def _opened(library: Any, path: Path) -> Any:
    """Open a file, a folder that ``save_to_disk`` wrote, or a folder of files."""
    if path.is_dir() and (path / "dataset_info.json").is_file():
        return library.load_from_disk(str(path)).to_iterable_dataset()
    if path.is_dir():
        return library.load_dataset(str(path), split="train", streaming=True)
    kind = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}.get(path.suffix)
    if kind is None:
        raise WorkloadFailed(f"The data set {path} is neither JSON lines nor CSV nor Parquet.")
    return library.load_dataset(kind, data_files=str(path), split="train", streaming=True)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _from_hub(declared: Declared, rows: int) -> Inputs:
    library = _library(declared.name)
    what = f"The data set {declared.path}"
    parts = (declared.path, declared.config, declared.split, str(rows))
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", "--".join(filter(None, parts)))
    cache = Path(library.config.HF_DATASETS_CACHE) / "joulemark"
    with _failures(what):
        try:
            revision, licence = _revision_and_licence(declared.path)
        except Exception:
            # What was fetched before is there without a network, under the revision that it had.
            kept = sorted(cache.glob(f"{slug}@*"), key=lambda folder: folder.stat().st_mtime)
            if not kept:
                raise
            folder = kept[-1]
        else:
            folder = cache / f"{slug}@{revision[:12]}"
            if not folder.is_dir():
                _fetch(library, declared, revision, licence, rows, folder)
        table = library.load_from_disk(str(folder))
        asked = _asked(_named(library, table), declared.read, rows, declared.name)
    identity = f"{declared.name}@{folder.name.rpartition('@')[2]}[:{len(asked)}]"
    return Inputs(identity, table.info.license or NOT_STATED, lambda: asked)


def _revision_and_licence(path: str) -> tuple[str, str]:
    """Ask the hub which revision it has, and which licence its card states; without a network this fails at once."""
    hub = require("huggingface_hub", package="huggingface_hub", extra="datasets", purpose=f"The data set {path}")
    info = hub.HfApi().dataset_info(path, timeout=_TIMEOUT_S)
    licence = getattr(info.card_data, "license", None) or NOT_STATED
    return str(info.sha), licence if isinstance(licence, str) else ", ".join(licence)


def _fetch(library: Any, declared: Declared, revision: str, licence: str, rows: int, folder: Path) -> None:
    """Stream the first rows that have something to ask, and keep them, whole or not at all."""
    options = {"name": declared.config or None, "split": declared.split, "streaming": True}
    try:
        stream = library.load_dataset(declared.path, revision=revision, **options)
    except RuntimeError as error:
        if "script" not in str(error):
            raise
        # A data set made by a script, which the library no longer runs; the hub keeps a copy of it as Parquet files.
        stream = library.load_dataset(declared.path, revision=_CONVERTED, **options)
    stream = _undecoded(library, stream)
    kept: list[Row] = []
    for row in stream.take(_SCANNED * rows):
        if _read(declared.read, _plain(library, stream.features, row), declared.path)[0]:
            kept.append(row)
        if len(kept) == rows:
            break
    if not kept:
        raise WorkloadFailed(f"The data set {declared.path} has no rows with anything to ask.")
    info = library.DatasetInfo(license=licence, features=stream.features)
    table = library.Dataset.from_list(kept, features=stream.features, info=info)
    half = folder.with_name(f".{folder.name}-{os.getpid()}")
    table.save_to_disk(str(half))
    try:
        half.rename(folder)
    except OSError:
        shutil.rmtree(half)
        if not folder.is_dir():  # else another process was faster
            raise


def _asked(rows: Iterable[Row], read: Reader, most: int, name: str) -> tuple[Item, ...]:
    items: list[Item] = []
    for number, row in enumerate(rows):
        content, expected = _read(read, row, name)
        if content:
            items.append(Item(id=f"{name}-{number}", content=content, expected=expected))
        if len(items) == most:
            break
    if not items:
        raise WorkloadFailed(f"The data set {name} has no rows with anything to ask.")
    return tuple(items)


def _read(read: Reader, row: Row, name: str) -> Asked:
    try:
        return read(row)
    except KeyError as error:
        raise WorkloadFailed(f"The data set {name} has no column {error}; it has {', '.join(row)}.") from error


def _undecoded(library: Any, table: Any) -> Any:
    for column, kind in (table.features or {}).items():
        if isinstance(kind, library.Image):
            table = table.cast_column(column, library.Image(decode=False))
    return table


def _named(library: Any, table: Any) -> Iterator[Row]:
    table = _undecoded(library, table)
    return (_plain(library, table.features, row) for row in table)


def _plain(library: Any, features: Any, row: Row) -> Row:
    """Give a row with classes by their names; a class that is not told (-1) is None."""
    return {column: _name(library, (features or {}).get(column), value) for column, value in row.items()}


def _name(library: Any, kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, library.ClassLabel):
        return kind.int2str(value) if value >= 0 else None
    inner = getattr(kind, "feature", None)
    if inner is not None and isinstance(value, list):
        return [_name(library, inner, one) for one in value]
    if isinstance(kind, Mapping) and isinstance(value, Mapping):
        return {key: _name(library, kind.get(key), one) for key, one in value.items()}
    return value


def _library(name: str) -> Any:
    library = require("datasets", package="datasets", extra="datasets", purpose=f"The data set {name}")
    library.disable_progress_bars()
    return library


@contextlib.contextmanager
def _failures(what: str) -> Iterator[None]:
    """Turn what goes wrong in the libraries, and between here and the hub, into one error for people."""
    try:
        yield
    except JoulemarkError:
        raise
    except Exception as error:
        kind = type(error).__name__
        said = str(error).partition("\n")[0]
        if "NotFound" in kind:
            advice = "It is not on the hub, or only for those who agreed to its terms (then: hf auth login)."
        elif isinstance(error, ConnectionError) or re.search("Connect|Timeout|Offline|Network", kind):
            advice = "The hub cannot be reached. Without a network leave inputs out: every task has its own."
        else:
            advice = "It does not load."
        raise WorkloadFailed(f"{what} cannot be had. {advice} ({kind}: {said})") from error
