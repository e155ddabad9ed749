"""Claims: figures that somebody published, each with what it covers and where it stands.

A file of claims is a CSV table under a header of ``# key: value`` lines, so that a person can review it in a diff. The
header says where the figures come from (`Origin`), and whatever it says under the name of a column holds for every row
that leaves the column empty.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from joulemark.boundary import Boundary, Component
from joulemark.catalogue.words import NOT_STATED, read_boundary, read_unit
from joulemark.errors import BadQuantity, UnknownName, UsageError
from joulemark.figures import Error, Figure, Kind, Part, Source, total

__all__ = ["TRAINING", "Catalogue", "Claim", "Origin", "load_catalogue", "read_claims"]

TRAINING = ("training", "fine-tuning", "training-and-use")
"""Tasks that are done once for a model, not once a request."""

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class Origin(Struct, frozen=True, kw_only=True):
    """Where the figures of one file come from.

    Attributes:
        id: name of the file.
        title: of the publication.
        citation: who, where, when; and whether it was read in a secondary source.
        licence: of the data; ``not stated`` where none is.
        use: ``whole`` where the licence allows to take over the data; ``single figures`` where only facts are quoted.
        made: how the rows were chosen.
        errors: why the relative errors of its rows are what they are.
    """

    id: str
    title: str
    citation: str
    licence: str
    use: Literal["whole", "single figures"]
    made: str
    errors: str

    @property
    def source(self) -> Source:
        """The origin as a figure names it."""
        return Source(name=self.title, citation=self.citation, licence=self.licence)


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One published figure, as it was printed.

    Attributes:
        model: its name on Hugging Face, or as its maker calls it.
        task: as `joulemark.workloads` names tasks, and those of `TRAINING`.
        value: the number as printed, in `unit`; a text, for the digits say how finely it was rounded.
        unit: such as ``kWh/1000 images``, ``Wh/answer``, ``g/answer`` or, for training, ``MWh``.
        boundary: in the words of `joulemark.catalogue.read_boundary`, or ``not stated``.
        evidence: how the value came about; of its parts, where they differ: `evidence_gpu` ...
        error: relative standard uncertainty of the value; of its parts: `error_gpu` ...
        gpu: part of the value that accelerators took, in the same unit; likewise `cpu`, `dram`, `facility`.
        other_devices: part that accelerators took which stood by.
        duration_s: seconds that the work took which the value is for.
        devices: accelerators counted; `devices_working`: of them those that worked.
        idle_device_w: what an accelerator draws at rest, such as ``55.4 to 62``, in watts.
        pue: factor from the machine to the whole facility, where the value has it in it.
        tokens_in: tokens read per unit of work; `tokens_out`: tokens written.
        inputs: data set, where the source tells figures apart by it.
        date: year or year-month of publication.
        place: table, page, file or section.
        replaces: id of a claim that this one corrects.
        origin: where it comes from.
    """

    model: Annotated[str, Meta(min_length=1)]
    task: Annotated[str, Meta(min_length=1)]
    value: Annotated[str, Meta(pattern=r"^\d+(\.\d+)?$")]
    unit: str
    boundary: str
    evidence: Literal["measured", "modelled", "assumed"] = "measured"
    error: Positive | None = None
    hardware: str = ""
    devices: Count | None = None
    devices_working: Count | None = None
    idle_device_w: str = ""
    precision: str = ""
    batch: Count | None = None
    steps: Count | None = None
    resolution: str = ""
    frames: Count | None = None
    tokens_in: Positive | None = None
    tokens_out: Positive | None = None
    inputs: str = ""
    gpu: Positive | None = None
    cpu: Positive | None = None
    dram: Positive | None = None
    facility: Positive | None = None
    other_devices: Positive | None = None
    evidence_gpu: Literal["measured", "modelled", "assumed", ""] = ""
    evidence_cpu: Literal["measured", "modelled", "assumed", ""] = ""
    evidence_dram: Literal["measured", "modelled", "assumed", ""] = ""
    error_gpu: Positive | None = None
    error_cpu: Positive | None = None
    error_dram: Positive | None = None
    error_facility: Positive | None = None
    error_other_devices: Positive | None = None
    duration_s: Positive | None = None
    pue: Annotated[float, Meta(ge=1)] | None = None
    date: Annotated[str, Meta(pattern=r"^\d{4}(-\d{2})?$")]
    place: Annotated[str, Meta(min_length=1)]
    note: str = ""
    replaces: str = ""
    origin: Origin

    @property
    def id(self) -> str:
        """Tells claims apart: origin, task, model and the settings that the row gives."""
        settings = (self.hardware, self.devices, self.precision, self.batch, self.steps, self.tokens_in, self.inputs)
        shown = "/".join(filter(None, map(_plain, settings)))
        kind = "carbon" if self.family == "g" else self.boundary.replace(" ", "")
        return f"{self.origin.id}:{self.task}:{self.model}:{kind}:{shown}"

    @property
    def settings(self) -> Mapping[str, str]:
        """What may differ between two figures of one model without being a boundary; empty where not stated."""
        names = ("hardware", "devices", "precision", "batch", "steps", "resolution", "frames", "tokens_in", "inputs")
        found = {name: _plain(getattr(self, name)) for name in names}
        return found | {"devices": str(self.devices_working or self.devices or "")}

    @property
    def family(self) -> str:
        """``J`` for an energy, ``g`` for a carbon claim."""
        return read_unit(self.unit).family

    @property
    def covers(self) -> Boundary | None:
        """What it covers; None where that is not stated."""
        return read_boundary(self.boundary) if self.boundary != NOT_STATED else None

    @property
    def figure(self) -> Figure:
        """The claim in joules (or grams) per unit of work, with an interval.

        Errors of one instrument, model or assumption are shared by all claims of an origin: they cancel in ratios.
        """
        parts = self.components
        covered = self.covers or Boundary(components=frozenset())
        # Parts may be fewer than what is counted (hosts as a whole): then they only say how the sum came about.
        if parts and math.isclose(math.fsum(f.value for f in parts.values()), self._si, rel_tol=0.01):
            figure = replace(total(parts.values()), boundary=covered, sources=(self.origin.source,))
            return replace(figure, value=self._si, errors=(*figure.errors, self._rounding), formula=None)
        return Figure(
            value=self._si,
            unit=self._per_unit,
            boundary=covered,
            errors=self._errors(self._si, self.error, "value"),
            parts=(Part("as published", self._si, Kind(self.evidence)),),
            sources=(self.origin.source,),
        )

    @property
    def components(self) -> Mapping[Component, Figure]:
        """The parts that the source prints, by component, in joules per unit of work."""
        return {c: figure for c in Component if (figure := self._part(c.value)) is not None}

    @property
    def standing_by(self) -> Figure | None:
        """Energy of the accelerators that were counted and did not work; None where that is not known."""
        if self.other_devices is not None:
            return self._part("other_devices")
        idle = self.device_at_rest
        if idle is None or self.devices is None or self.devices_working is None:
            return None
        return idle * float(self.devices - self.devices_working)

    @property
    def device_at_rest(self) -> Figure | None:
        """Energy that one accelerator at rest takes in the time of the work; None where that is not known."""
        if not self.idle_device_w or self.duration_s is None:
            return None
        low, high = _watts(self.idle_device_w)
        seconds = self.duration_s / read_unit(self.unit).count
        value = (low + high) / 2 * seconds
        # Anywhere between the two: a rectangle's standard deviation (JCGM 100:2008, 4.3.7).
        spread = (high - low) / math.sqrt(12) * seconds
        return Figure(
            value=value,
            unit=self._per_unit,
            boundary=Boundary(components=frozenset({Component.GPU}), devices="active"),
            errors=(Error(f"power at rest of {self.hardware}, {self.origin.id}", spread),),
            parts=(Part("gpu at rest", value, Kind.MODELLED),),
            sources=(self.origin.source,),
        )

    @property
    def _per_unit(self) -> str:
        unit = read_unit(self.unit)
        return f"{unit.family}/{unit.work}" if unit.work else unit.family

    @property
    def _si(self) -> float:
        return float(self.value) * read_unit(self.unit).factor

    def _part(self, name: str) -> Figure | None:
        printed = getattr(self, name, None)
        if printed is None:
            return None
        value = printed * read_unit(self.unit).factor
        evidence = getattr(self, f"evidence_{name}", "") or self.evidence
        component = Component.GPU if name == "other_devices" else Component(name)
        covers = self.covers or Boundary(components=frozenset())
        return Figure(
            value=value,
            unit=self._per_unit,
            boundary=replace(covers, components=frozenset({component})),
            errors=self._errors(value, getattr(self, f"error_{name}", None) or self.error, name),
            parts=(Part(name, value, Kind(evidence)),),
            sources=(self.origin.source,),
        )

    def _errors(self, value: float, relative: float | None, what: str) -> tuple[Error, ...]:
        if relative is None:
            raise UsageError(f"Claim {self.id}: the column 'error' is empty; give a relative standard uncertainty.")
        instrument = " ".join(filter(None, (what, "of", self.hardware, self.origin.id)))
        return (Error(instrument, relative * value), self._rounding)

    @property
    def _rounding(self) -> Error:
        """Half a unit of the last printed digit, spread evenly (JCGM 100:2008, 4.3.7)."""
        decimals = len(self.value.partition(".")[2])
        step = 10.0**-decimals * read_unit(self.unit).factor
        return Error(f"rounding of {self.id}", step / math.sqrt(12), additive=True)


def _plain(value: object) -> str:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)


def _watts(text: str) -> tuple[float, float]:
    try:
        low, high = (float(word) for word in text.split(" to "))
    except ValueError:
        raise BadQuantity(f"idle_device_w {text!r} is no range of watts; write for example 55.4 to 62.") from None
    return low, high


@dataclass(frozen=True)
class Catalogue:
    """All claims, in the order of their files."""

    claims: tuple[Claim, ...]

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that there are claims for."""
        return tuple(dict.fromkeys(c.task for c in self.claims))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Models that there are claims for."""
        return tuple(dict.fromkeys(c.model for c in self.claims))

    @cached_property
    def origins(self) -> tuple[Origin, ...]:
        """Where the claims come from."""
        return tuple(dict.fromkeys(c.origin for c in self.claims))

    def select(self, *, task: str | None = None, model: str | None = None) -> Catalogue:
        """Give the claims for a task, a model, or both.

        A model may be named without its publisher (``gpt2-xl``); case does not matter.

        Raises:
            UnknownName: if there are none, with the nearest names.
        """
        claims = self.claims
        if task is not None:
            if task not in self.tasks:
                raise UnknownName("task", task, self.tasks)
            claims = tuple(c for c in claims if c.task == task)
        if model is not None:
            named = self.find_model(model)
            claims = tuple(c for c in claims if c.model in named)
        return Catalogue(claims)

    def find_model(self, name: str) -> tuple[str, ...]:
        """Give the full names of a model.

        Raises:
            UnknownName: if the catalogue has none of that name.
        """
        wanted = name.casefold()
        found = tuple(m for m in self.models if wanted in (m.casefold(), m.rpartition("/")[2].casefold()))
        if not found:
            short = (m.rpartition("/")[2] for m in self.models)
            raise UnknownName(
                "model", name, dict.fromkeys((*short, *self.models)), hint="`joulemark openness` lists them."
            )
        return found


def load_catalogue(extra: Iterable[Path | str] = ()) -> Catalogue:
    """Read the claims that ship with the program, and those of the user's own files.

    A row of a user's file with an id in its column ``replaces`` stands instead of that claim.

    Raises:
        UsageError: if a file cannot be read, or a row does not fit.
        UnknownName: if a row replaces a claim that does not exist.
    """
    folder = files("joulemark.catalogue") / "claims"
    claims: list[Claim] = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".csv"):
            claims += read_claims(entry.read_text(encoding="utf-8"), entry.name.removesuffix(".csv"))
    for path in map(Path, extra):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"Cannot read {path}: {error}.") from error
        claims = _corrected(claims, read_claims(text, path.stem, str(path)))
    return Catalogue(tuple(claims))


def _corrected(claims: list[Claim], more: Iterable[Claim]) -> list[Claim]:
    by_id = {c.id: c for c in claims}
    for claim in more:
        if claim.replaces:
            if claim.replaces not in by_id:
                raise UnknownName("claim", claim.replaces, by_id)
            del by_id[claim.replaces]
        if claim.id in by_id:
            raise UsageError(
                f"There is a claim {claim.id} already; tell the new one apart by its settings, or write that id into "
                "its column 'replaces'."
            )
        by_id[claim.id] = claim
    return list(by_id.values())


def read_claims(text: str, name: str, where: str = "") -> tuple[Claim, ...]:
    """Read a file of claims.

    Args:
        text: its contents.
        name: id of its origin.
        where: what to call the file in errors; `name` without it.

    Raises:
        UsageError: naming file, line, column and value, and what would be right.
    """
    where = where or f"{name}.csv"
    header, table, first = _split(text)
    columns = set(Claim.__struct_fields__) - {"origin"}
    try:
        about = {key: value for key, value in header.items() if key not in columns}
        origin = msgspec.convert({**about, "id": name}, Origin)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: header: {_readable(error)}. Write it as a line '# key: value'.") from error
    unknown = set(about) - set(Origin.__struct_fields__)
    if unknown:
        raise UsageError(f"{where}: header: unknown key {min(unknown)!r}; known: {', '.join(sorted(columns))}.")
    rows = csv.DictReader(table)
    claims = []
    for row in rows:
        line = f"{where}: line {first + rows.line_num - 1}"
        if None in row:
            raise UsageError(f"{line}: more fields than columns; put texts that hold commas in quotes.")
        fields = {k: v for k, v in (header | {k: v for k, v in row.items() if v}).items() if k not in about}
        try:
            claim = msgspec.convert({**fields, "origin": origin}, Claim, strict=False)
            _ = claim.figure, claim.device_at_rest, claim.id
        except msgspec.ValidationError as error:
            raise UsageError(f"{line}: {_readable(error, fields)}.") from error
        except UsageError as error:
            raise UsageError(f"{line}: {error}") from error
        if not float(claim.value) > 0:
            raise UsageError(f"{line}: value {claim.value!r} is not above zero; leave out what is not known.")
        claims.append(claim)
    if not claims:
        raise UsageError(f"{where}: there are no rows under the header.")
    return tuple(claims)


_RIGHT: Mapping[str, str] = MappingProxyType(
    {
        "value": "write a plain number above zero, such as 0.25",
        "date": "write a year or a month, such as 2025 or 2025-02",
        "model": "write the name of the model",
        "task": "write the task, such as chat",
        "place": "write the table, page or file where the figure stands",
    }
)
"""What would be right, where the reader of a schema would have to know regular expressions."""


def _readable(error: msgspec.ValidationError, fields: Mapping[str, str] | None = None) -> str:
    """Name the column and what stands in it."""
    message, _, path = str(error).partition(" - at `$.")
    column = path.rstrip("`")
    if not column:
        return message
    given = f" {fields[column]!r}" if fields and column in fields else ""
    return f"column {column!r}{given}: {_RIGHT.get(column, message)}"


def _split(text: str) -> tuple[dict[str, str], list[str], int]:
    """Part header from table; also the number of the table's first line."""
    header: dict[str, str] = {}
    key = ""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("#"):
            return header, lines[number:], number + 1
        body = line[1:]
        if body.startswith("   ") and key:
            header[key] += " " + body.strip()
        else:
            key, _, value = (part.strip() for part in body.partition(":"))
            header[key] = value
    return header, [], len(lines)
