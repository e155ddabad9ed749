"""A plug-in as a stranger would write one: a task and models that are cheap, dear, wrong, or die."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from joulemark.workloads.models import Model
from joulemark.workloads.seam import Answer, Item, Settings, Task
from joulemark.workloads.weights import OwnFile, Pin, PinnedFile

PROMPT = "a prompt that nobody shall read in a record"

TASK = Task(
    name="made-up",
    title="Made up",
    unit="text",
    inputs="made-up/1",
    licence="CC0-1.0",
    items=lambda: tuple(Item(id=str(i), content=f"{PROMPT} {i}") for i in range(5)),
    check=lambda item, answer, settings: None if answer.output == item.content else "the answer is no echo",
    defaults={"work_ms": 2},
)


class Echo:
    """Works for `work_ms` of CPU time and gives the input back, with what the model's name asks for."""

    distributions = ("made-up",)
    accepts = ("work_ms",)
    wrong = dying = False

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        self._work_s = float(settings["work_ms"]) / 1000 * self.factor
        self._answered = 0

    factor = 1.0

    def load(self) -> None:
        print("a library that talks while it loads")

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        end = time.process_time() + self._work_s
        while time.process_time() < end:
            pass
        self._answered += len(batch)
        if self.dying and self._answered > 3:
            os._exit(9)
        return [Answer(output="nonsense" if self.wrong else item.content, tokens_in=7) for item in batch]

    def close(self) -> None:
        pass


class Dear(Echo):
    factor = 3.0


class Wrong(Echo):
    wrong = True


class Dying(Echo):
    dying = True


class Hanging(Echo):
    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        time.sleep(3600)
        raise AssertionError


class Nan(Echo):
    """Gives numbers that are none."""

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        return [Answer(output=float("nan"), tokens_in=7) for _ in batch]


class Bare(Echo):
    distributions = ("no-such-runtime",)


ODD = ("dear", "wrong", "dying", "bare", "hanging", "nan")


def _model(name: str, **files: Pin) -> Model:
    return Model(
        name=name,
        title=f"Made up, {name}",
        tasks=("made-up",),
        backend=f"made_up:{name.title() if name in ODD else 'Echo'}",
        files=files,
        licence="CC0-1.0",
        parameters=0,
        precision="none",
        extra="bench",
        origin="made up",
    )


STEADY = _model("steady")
DEAR, WRONG, DYING, BARE, HANGING, NAN = (_model(name) for name in ODD)
UNSHIPPED = _model("unshipped", weights=PinnedFile("no-such-package", "1.2.3", "model.onnx", "0" * 64))
FORGED = _model("forged", weights=OwnFile("models.toml", "0" * 64))
