"""Suites that are asked for on the command line instead of in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from joulemark.bench.plan import PROTOCOLS, Setting, Suite, SuiteProtocol, SuiteWorkload
from joulemark.errors import UnknownName, UsageError
from joulemark.workloads.models import models

__all__ = ["adhoc_suite", "protocol_named", "setting_of", "values_of"]


def adhoc_suite(
    tasks: Sequence[str],
    models_asked: Sequence[str],
    *,
    backend: str = "",
    settings: Mapping[str, Setting] | None = None,
    sweep: Mapping[str, Sequence[Setting]] | None = None,
    inputs: str = "",
    items: int | None = None,
    protocol: SuiteProtocol | None = None,
) -> Suite:
    """Make a suite of all combinations of what is asked for.

    Raises:
        UsageError: if no task is given and a model has not just one.
    """
    lines = []
    for name in models_asked:
        known = models().get(name)
        if not tasks and (known is None or len(known.tasks) != 1):
            can = f" It can do: {', '.join(known.tasks)}." if known is not None else ""
            raise UsageError(f"Say what {name!r} is to do: --task TASK.{can}")
        for task in tasks or (known.tasks if known is not None else ()):
            lines.append(
                SuiteWorkload(
                    task=task,
                    model=name,
                    backend=backend,
                    settings=dict(settings or {}),
                    sweep={key: tuple(values) for key, values in (sweep or {}).items()},
                    inputs=inputs,
                    items=items,
                )
            )
    return Suite(name="bench", workloads=tuple(lines), protocol=protocol or SuiteProtocol())


def protocol_named(name: str) -> SuiteProtocol:
    """Find a protocol.

    Raises:
        UnknownName: if there is none of that name.
    """
    if name not in PROTOCOLS:
        raise UnknownName("protocol", name, list(PROTOCOLS))
    return PROTOCOLS[name]


def setting_of(text: str) -> tuple[str, str]:
    """Take ``name=value`` apart.

    Raises:
        UsageError: if it is none.
    """
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"{text!r} is no setting; write name=value, such as max_new_tokens=64.")
    return name.strip().replace("-", "_"), value.strip()


def values_of(text: str) -> tuple[Setting, ...]:
    """Read values with commas between them: whole numbers, numbers, true and false, else words."""
    return tuple(_value(part.strip()) for part in text.split(","))


def _value(text: str) -> Setting:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
