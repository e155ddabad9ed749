"""The settings of the transformers backend, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from joulemark.errors import UsageError
from joulemark.workloads.backends.options import flag, text, threads, whole
from joulemark.workloads.seam import Settings

__all__ = ["DTYPES", "TransformerSettings"]

DTYPES = ("float32", "float16", "bfloat16")
QUANTIZATIONS = ("none", "int8", "int4")
_NEW_TOKENS = {"image-captioning": 20, "automatic-speech-recognition": 200}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerSettings:
    """How a model is loaded and run.

    Attributes:
        model_id: id on the hub; empty for a folder.
        revision: commit, tag or branch of a hub model.
        twin: random weights in place of the trained ones.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` ...
        device_map: how the layers are spread over devices (``auto``, ``balanced`` ...); empty for one device.
        dtype: number format of weights and activations.
        quantization: of the linear layers' weights, through bitsandbytes: ``none``, ``int8`` or ``int4``.
        attention: the implementation (``sdpa``, ``eager``, ``flash_attention_2``); empty for transformers' choice.
        compiled: whether the model goes through ``torch.compile``.
        threads: of the whole process; None leaves the choice to torch.
        seed: of a twin's weights.
        max_new_tokens: at most so many tokens are written.
        min_new_tokens: at least so many.
        fixed_length: exactly `max_new_tokens`, whatever the model says.
        pooling: how an embedding is made of its tokens' vectors: their mean, or that of the first.
        reasoning: whether a chat model that can reason is to do so.
        threshold: a detected thing's least score.
        language: that is spoken, for models that know several.
    """

    model_id: str
    revision: str
    twin: bool
    device: str
    device_map: str
    dtype: str
    quantization: str
    attention: str
    compiled: bool
    threads: int | None
    seed: int
    max_new_tokens: int
    min_new_tokens: int
    fixed_length: bool
    pooling: str
    reasoning: bool
    threshold: float
    language: str

    @classmethod
    def read(cls, settings: Settings, task: str) -> TransformerSettings:
        """Take what concerns this backend out of a workload's settings.

        The defaults are: ``cpu``, ``float32``, 64 new tokens (20 of a caption, 200 of a recording). A text of
        ``text-generation`` has a fixed length, and all that a twin writes: random weights would end anywhere.

        Raises:
            UsageError: if a value is of the wrong kind or out of range, or if two contradict each other.
        """
        twin = text(settings, "weights", "trained", known=("trained", "random")) == "random"
        most = whole(settings, "max_new_tokens", _NEW_TOKENS.get(task, 64))
        least = whole(settings, "min_new_tokens", 0, least=0)
        if least > most:
            raise UsageError(f"The setting min_new_tokens is {least}, which is more than max_new_tokens ({most}).")
        quantization = text(settings, "quantization", "none", known=QUANTIZATIONS)
        if twin and quantization != "none":
            raise UsageError("A twin cannot be quantised: leave out quantization, or weights.")
        device_map = text(settings, "device_map", "")
        if device_map and (twin or "device" in settings):
            raise UsageError("The setting device_map chooses the devices: it goes with neither device nor a twin.")
        threshold = settings.get("threshold", 0.5)
        if isinstance(threshold, bool | str) or not 0 <= threshold <= 1:
            raise UsageError(f"The setting threshold must be a number from 0 to 1, not {threshold!r}.")
        return cls(
            model_id=text(settings, "model_id", ""),
            revision=text(settings, "revision", "main"),
            twin=twin,
            device=text(settings, "device", "cpu"),
            device_map=device_map,
            dtype=text(settings, "dtype", "float32", known=DTYPES),
            quantization=quantization,
            attention=text(settings, "attn_implementation", ""),
            compiled=flag(settings, "compile", default=False),
            threads=threads(settings),
            seed=whole(settings, "seed", 0, least=0),
            max_new_tokens=most,
            min_new_tokens=least,
            fixed_length=twin or flag(settings, "fixed_length", default=task == "text-generation"),
            pooling=text(settings, "pooling", "mean", known=("mean", "cls")),
            reasoning=flag(settings, "reasoning", default=False),
            threshold=float(threshold),
            language=text(settings, "language", "en"),
        )
