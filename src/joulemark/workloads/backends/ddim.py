"""The DDIM sampler in numpy, and the noise that a picture starts from.

Denoising diffusion implicit models, Song et al. 2021 (arXiv 2010.02502), formula 12 with sigma = 0. The
constants are read from a diffusers ``scheduler_config.json``, and the steps are those of diffusers'
``DDIMScheduler`` with ``use_clipped_model_output``, so that the same noise gives the same picture through
either.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulemark.errors import UsageError, WorkloadFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

__all__ = ["Ddim", "starting_noise", "to_bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ddim:
    """A noise schedule and how to walk it back.

    Attributes:
        alphas: share of the picture that is left at each training time, cumulative; shape (training times,).
        prediction: what the network predicts: "epsilon" (the noise) or "v_prediction" (Salimans & Ho 2022).
        spacing: which training times are visited: "leading" or "trailing".
        offset: training times that "leading" starts late.
        final_alpha: share of the picture after the last step.
        clip: bound of the predicted picture's pixels, None if unbounded.
    """

    alphas: NDArray[np.float64]
    prediction: str
    spacing: str
    offset: int
    final_alpha: float
    clip: float | None

    @classmethod
    def read(cls, file: Path) -> Ddim:
        """Read a diffusers ``scheduler_config.json``.

        Raises:
            WorkloadFailed: if the file asks for a sampler or a schedule that is not known here.
        """
        import numpy as np

        try:
            config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WorkloadFailed(f"The scheduler's configuration {file} cannot be read: {error}.") from error
        known: dict[str, set[object]] = {
            "_class_name": {"DDIMScheduler"},
            "beta_schedule": {"linear", "scaled_linear", "squaredcos_cap_v2"},
            "prediction_type": {"epsilon", "v_prediction"},
            "timestep_spacing": {"leading", "trailing"},
            "trained_betas": {None},
            "thresholding": {False},
            "rescale_betas_zero_snr": {False},
        }
        for name, values in known.items():
            if config.get(name) not in values:
                raise WorkloadFailed(
                    f"{file.name} says {name} = {config.get(name)!r}, which this sampler does not know. "
                    "Run the model with the diffusers backend instead."
                )
        alphas = np.cumprod(1 - _betas(config), dtype=np.float64)
        return cls(
            alphas=alphas,
            prediction=config["prediction_type"],
            spacing=config["timestep_spacing"],
            offset=config["steps_offset"],
            final_alpha=1.0 if config["set_alpha_to_one"] else float(alphas[0]),
            clip=config["clip_sample_range"] if config["clip_sample"] else None,
        )

    def times(self, steps: int) -> NDArray[np.int64]:
        """The training times visited in `steps` steps, latest first.

        Raises:
            UsageError: if there are more steps than training times.
        """
        import numpy as np

        total = len(self.alphas)
        if steps > total:
            raise UsageError(f"The setting steps is {steps}, but this model has {total} steps at most.")
        if self.spacing == "leading":
            return np.arange(steps)[::-1] * (total // steps) + self.offset
        return np.round(total - np.arange(steps) * (total / steps)).astype(np.int64) - 1

    def step(self, sample: Pixels, predicted: Pixels, time: int, steps: int) -> Pixels:
        """One step back in time from `time`, of `steps` in all; arrays of any one shape."""
        import numpy as np

        earlier = time - len(self.alphas) // steps
        alpha = float(self.alphas[time])
        alpha_earlier = float(self.alphas[earlier]) if earlier >= 0 else self.final_alpha
        signal, noise = np.float32(math.sqrt(alpha)), np.float32(math.sqrt(1 - alpha))
        if self.prediction == "v_prediction":
            picture = signal * sample - noise * predicted
            epsilon = signal * predicted + noise * sample
        else:
            picture = (sample - noise * predicted) / signal
            epsilon = predicted
        if self.clip is not None:
            # What was cut off must not come back as noise: guidance would burn the picture in, step by step.
            picture = picture.clip(np.float32(-self.clip), np.float32(self.clip))
            epsilon = (sample - signal * picture) / noise
        back: Pixels = np.float32(math.sqrt(alpha_earlier)) * picture
        back += np.float32(math.sqrt(1 - alpha_earlier)) * epsilon
        return back


def _betas(config: dict[str, Any]) -> NDArray[np.float64]:
    """Noise added at each training time; shape (training times,).

    Linear: Ho et al. 2020; scaled linear: Rombach et al. 2022; cosine: Nichol & Dhariwal 2021, formula 17.
    """
    import numpy as np

    n, start, end = config["num_train_timesteps"], config["beta_start"], config["beta_end"]
    betas: NDArray[np.float64]
    if config["beta_schedule"] == "linear":
        betas = np.linspace(start, end, n)
    elif config["beta_schedule"] == "scaled_linear":
        betas = np.linspace(math.sqrt(start), math.sqrt(end), n) ** 2
    else:
        left = np.cos((np.arange(n + 1) / n + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = np.minimum(1 - left[1:] / left[:-1], 0.999)
    return betas


def starting_noise(seed: int, item_id: str, shape: tuple[int, ...]) -> Pixels:
    """Normal noise for one item; depends on nothing but the seed, the item's id and the shape."""
    import numpy as np

    source = np.random.default_rng([seed, *item_id.encode()])
    return source.standard_normal(shape, dtype=np.float32)


def to_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    """Pixels (channels, height, width) in [-1, 1] to (height, width), or (height, width, channels)."""
    import numpy as np

    grey_levels = np.round((np.clip(pixels, -1, 1) + 1) * 127.5).astype(np.uint8)
    return grey_levels[0] if len(grey_levels) == 1 else np.moveaxis(grey_levels, 0, -1)
