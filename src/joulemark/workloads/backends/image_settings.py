"""The settings that every image backend understands, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from joulemark.errors import UsageError
from joulemark.workloads.backends.options import threads, whole
from joulemark.workloads.seam import Settings

__all__ = ["ImageSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How a picture is made.

    Attributes:
        steps: denoising steps a picture.
        guidance: weight of the prompt (classifier-free guidance); 1 is none, and halves the work, as does 0.
        seed: of the noise that pictures start from; each item adds its own id to it.
        threads: of the processor; None leaves the choice to the runtime.
    """

    steps: int
    guidance: float
    seed: int
    threads: int | None

    @classmethod
    def read(cls, settings: Settings) -> ImageSettings:
        """Take what concerns pictures out of a workload's settings (else: 20 steps, guidance 3, seed 0).

        Raises:
            UsageError: if a value is of the wrong kind or out of range.
        """
        guidance = settings.get("guidance", 3.0)
        if isinstance(guidance, bool | str) or not (guidance == 0 or 1 <= guidance < math.inf):
            raise UsageError(f"The setting guidance must be 0 or a number of at least 1, not {guidance!r}.")
        return cls(
            steps=whole(settings, "steps", 20),
            guidance=float(guidance),
            seed=whole(settings, "seed", 0, least=0),
            threads=threads(settings),
        )
