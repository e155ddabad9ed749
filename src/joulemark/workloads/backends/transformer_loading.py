"""Loading models of transformers: trained ones from a folder or the hub's cache, twins from their architecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulemark.errors import WorkloadFailed
from joulemark.workloads.backends.options import require
from joulemark.workloads.backends.torchvision import mend_torchvision
from joulemark.workloads.backends.transformer_settings import TransformerSettings
from joulemark.workloads.backends.twin_models import stand_in_for, twin_config, twin_model

__all__ = ["MODEL_CLASSES", "Loaded", "load"]

MODEL_CLASSES = {
    "text-generation": "AutoModelForCausalLM",
    "chat": "AutoModelForCausalLM",
    "code-completion": "AutoModelForCausalLM",
    "summarization": "AutoModelForSeq2SeqLM",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "fill-mask": "AutoModelForMaskedLM",
    "sentence-embeddings": "AutoModel",
    "image-classification": "AutoModelForImageClassification",
    "object-detection": "AutoModelForObjectDetection",
    "image-captioning": "AutoModelForImageTextToText",
    "automatic-speech-recognition": "AutoModelForSpeechSeq2Seq",
}
"""The class that gives a model of each task its head."""

_SEES = ("image-classification", "object-detection", "image-captioning")
_HEARS = ("automatic-speech-recognition",)
_READS = tuple(task for task in MODEL_CLASSES if task not in ("image-classification", "object-detection"))
# What transformers writes for "not known" is 1e30.
_NO_LIMIT = 1_000_000
_PURPOSE = "A Hugging Face model"
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")


@dataclass(slots=True)
class Loaded:
    """A model in memory with what makes its inputs ready: a tokenizer, and what prepares pictures or sounds."""

    torch: Any
    model: Any
    settings: TransformerSettings
    tokenizer: Any = None
    pictures: Any = None
    sounds: Any = None
    processor: Any = None

    @property
    def device(self) -> Any:
        """Where inputs belong."""
        return self.model.device


def load(task: str, folder: Path | None, settings: TransformerSettings) -> Loaded:
    """Bring a model to its device.

    Raises:
        MissingExtra: if torch or transformers is not installed, or what a setting needs.
        WorkloadFailed: if the model is not there, has no weights for this task, or the device is none.
    """
    torch = require("torch", package="torch", extra="transformers", purpose=_PURPOSE)
    mend_torchvision()
    transformers = require("transformers", package="transformers", extra="transformers", purpose=_PURPOSE)
    transformers.utils.logging.disable_progress_bar()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    maker = getattr(transformers, MODEL_CLASSES[task])
    loaded = (_twin if settings.twin else _trained)(torch, transformers, maker, task, folder, settings)
    loaded.model.eval()
    if loaded.tokenizer is not None:
        _limit(loaded)
    if settings.compiled:
        loaded.model.compile()
    return loaded


def _limit(loaded: Loaded) -> None:
    """Tell the tokenizer what it does not know: what to pad with, and how long an input may be."""
    tokenizer = loaded.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.model_max_length > _NO_LIMIT:
        inner = loaded.model.config.get_text_config()
        tokenizer.model_max_length = getattr(inner, "max_position_embeddings", 512)


def _trained(
    torch: Any, transformers: Any, maker: Any, task: str, folder: Path | None, settings: TransformerSettings
) -> Loaded:
    source = str(folder) if folder is not None else settings.model_id
    name = source if folder is not None else f"{source} ({settings.revision})"
    where = {"revision": settings.revision, "local_files_only": True}
    options = _options(torch, transformers, settings)
    try:
        readers = _readers(transformers, task, source, where)
        model, info = maker.from_pretrained(source, **where, **options, use_safetensors=True, output_loading_info=True)
    except (OSError, ValueError, KeyError) as error:
        fetch = (
            "If it is not on this machine yet, fetch it first, outside of any measurement: "
            f"hf download {source} --revision {settings.revision}"
        )
        advice = "Check the folder." if folder is not None else fetch
        raise WorkloadFailed(f"{name} cannot be loaded. {advice} Transformers says: {error}") from error
    # The pooler is on top of the vectors that embeddings are made of; nothing here reads it.
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise WorkloadFailed(
            f"{name} has no weights for {', '.join(missing[:3])}, so its answers would be random: "
            f"it was not trained for {task}. Choose a model that was."
        )
    if not settings.device_map and settings.quantization == "none":
        try:
            model = model.to(settings.device)
        except (RuntimeError, AssertionError) as error:
            raise WorkloadFailed(f"The device {settings.device!r} cannot be used: {error}") from error
    return Loaded(torch, model, settings, **readers)


def _options(torch: Any, transformers: Any, settings: TransformerSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"dtype": getattr(torch, settings.dtype)}
    if settings.attention:
        options["attn_implementation"] = settings.attention
    if settings.device_map or settings.quantization != "none":
        require("accelerate", package="accelerate", extra="quantization", purpose="Spreading a model over devices")
        options["device_map"] = settings.device_map or {"": settings.device}
    if settings.quantization != "none":
        purpose = f"Quantising a model to {settings.quantization}"
        require("bitsandbytes", package="bitsandbytes", extra="quantization", purpose=purpose)
        eight = settings.quantization == "int8"
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_8bit=eight, load_in_4bit=not eight, bnb_4bit_compute_dtype=getattr(torch, settings.dtype)
        )
    return options


def _readers(transformers: Any, task: str, source: str, where: dict[str, Any]) -> dict[str, Any]:
    readers: dict[str, Any] = {}
    if task in _READS:
        readers["tokenizer"] = transformers.AutoTokenizer.from_pretrained(source, **where)
    if task in _SEES:
        readers["pictures"] = transformers.AutoImageProcessor.from_pretrained(source, **where)
    if task in _HEARS:
        readers["sounds"] = transformers.AutoFeatureExtractor.from_pretrained(source, **where)
    if task == "image-captioning" and getattr(readers["tokenizer"], "chat_template", None):
        readers["processor"] = transformers.AutoProcessor.from_pretrained(source, **where)
    return readers


def _twin(
    torch: Any, transformers: Any, maker: Any, task: str, folder: Path | None, settings: TransformerSettings
) -> Loaded:
    config, known = twin_config(folder, settings.model_id, settings.revision)
    options = {"attn_implementation": settings.attention} if settings.attention else {}
    model = twin_model(
        maker, config, known, device=settings.device, dtype=settings.dtype, seed=settings.seed, **options
    )
    loaded = Loaded(torch, model, settings)
    here = {"local_files_only": True}
    if task in _READS:
        own = folder is not None and any((folder / name).exists() for name in _VOCABULARIES)
        loaded.tokenizer = (
            transformers.AutoTokenizer.from_pretrained(str(folder), **here) if own else stand_in_for(config, known)
        )
    prepared = folder is not None and (folder / "preprocessor_config.json").exists()
    if task in _SEES:
        if prepared:
            loaded.pictures = transformers.AutoImageProcessor.from_pretrained(str(folder), **here)
        else:
            loaded.pictures = _default_pictures(transformers, config, known.reader)
    if task in _HEARS:
        features = getattr(transformers, known.reader.get("sound", "WhisperFeatureExtractor"))
        loaded.sounds = (
            transformers.AutoFeatureExtractor.from_pretrained(str(folder), **here)
            if prepared
            else features(feature_size=config.num_mel_bins, chunk_length=config.max_source_positions // 50)
        )
    return loaded


def _default_pictures(transformers: Any, config: Any, reader: Any) -> Any:
    """The image processor of a twin, with the sizes of its configuration and transformers' defaults for the rest."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    usual = IMAGE_PROCESSOR_MAPPING_NAMES.get(config.model_type, {}).get("pil", "ViTImageProcessorPil")
    made = getattr(transformers, reader.get("picture", usual))
    side = getattr(getattr(config, "vision_config", config), "image_size", None)
    if "size" in reader:
        return made(size=dict(reader["size"]))
    return made(size={"height": side, "width": side}) if isinstance(side, int) else made()
