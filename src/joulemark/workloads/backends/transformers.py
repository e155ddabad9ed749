"""Models of the Hugging Face hub, or of a folder in its format, through transformers and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends import transformer_reading as reading
from joulemark.workloads.backends import transformer_writing as writing
from joulemark.workloads.backends.transformer_loading import MODEL_CLASSES, Loaded, load
from joulemark.workloads.backends.transformer_settings import TransformerSettings
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["TransformersPipeline"]

_ANSWERS: Mapping[str, Callable[[Loaded, Sequence[Item]], list[Answer]]] = {
    "text-generation": writing.generate,
    "chat": writing.chat,
    "code-completion": writing.complete,
    "summarization": writing.summarize,
    "image-captioning": writing.caption,
    "automatic-speech-recognition": writing.transcribe,
    "text-classification": reading.classify,
    "token-classification": reading.tag,
    "question-answering": reading.answer_questions,
    "fill-mask": reading.fill,
    "sentence-embeddings": reading.embed,
    "image-classification": reading.classify_pictures,
    "object-detection": reading.detect,
}


class TransformersPipeline:
    """A model from the folder ``model``, or the hub id of the setting ``model_id`` where there is no folder.

    The whole batch is one call, padded to its longest input; generation is greedy. A hub model must lie in the local
    cache already, so that no trial pays for a download, and its weights must be safetensors: pickles are not run. With
    ``weights`` = "random" it is a twin, see `joulemark.workloads.twins`.

    Settings: those of `TransformerSettings`, ``attention`` as ``attn_implementation``, ``compiled`` as ``compile``.
    """

    distributions = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
    extra = "transformers"
    concurrent = False
    tasks = tuple(MODEL_CLASSES)
    accepts = (
        "model_id",
        "revision",
        "weights",
        "device",
        "device_map",
        "dtype",
        "quantization",
        "attn_implementation",
        "compile",
        "threads",
        "seed",
        "max_new_tokens",
        "min_new_tokens",
        "fixed_length",
        "pooling",
        "reasoning",
        "threshold",
        "language",
    )

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        if task not in _ANSWERS:
            raise UsageError(f"The transformers backend cannot do {task!r}, only {', '.join(_ANSWERS)}.")
        self._task = task
        self._folder = files.get("model")
        self._settings = TransformerSettings.read(settings, task)
        if self._folder is None and not self._settings.model_id:
            raise UsageError("Say which model: set model_id to a hub id, such as 'distilbert/distilgpt2'.")
        self._loaded: Loaded | None = None

    def load(self) -> None:
        """Read the weights, or make them up, on the device.

        Raises:
            MissingExtra: if torch or transformers is not installed, or what a setting needs.
            WorkloadFailed: if the model is not there, has no weights for this task, or the device is none.
        """
        self._loaded = load(self._task, self._folder, self._settings)

    @property
    def parameters(self) -> int:
        """Number of weights of the loaded model, those that layers share counted once."""
        return 0 if self._loaded is None else sum(weight.numel() for weight in self._loaded.model.parameters())

    @property
    def facts(self) -> dict[str, int | float | str | bool]:
        """What was loaded, as the model itself says, for the record."""
        if self._loaded is None:
            return {}
        model, asked = self._loaded.model, self._loaded.settings
        return {
            "architecture": type(model).__name__,
            "attention": str(getattr(model.config, "_attn_implementation", "") or "its own"),
            "compiled": asked.compiled,
            "device": str(model.device),
            "device_map": asked.device_map or "none",
            "dtype": str(model.dtype).removeprefix("torch."),
            "quantization": asked.quantization,
            "revision": str(getattr(model.config, "_commit_hash", None) or asked.revision),
            "seed": asked.seed,
            "threads": self._loaded.torch.get_num_threads(),
        }

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Answer the batch; returns when the device has finished."""
        loaded = self._loaded
        if loaded is None:
            raise WorkloadFailed("The model was asked before it was loaded. Call load() first.")
        if not batch:
            return []
        with loaded.torch.inference_mode():
            answers = _ANSWERS[self._task](loaded, batch)
        loaded.torch.get_device_module(loaded.device).synchronize()
        return answers

    def close(self) -> None:
        """Free the weights, on the device too."""
        if self._loaded is None:
            return
        torch, kind = self._loaded.torch, self._loaded.device.type
        self._loaded = None
        if kind != "cpu":
            torch.get_device_module(kind).empty_cache()
