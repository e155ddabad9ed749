"""Models of the Hugging Face hub, or of a folder in its format, through transformers and PyTorch."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.entities import spans
from joulemark.workloads.backends.options import require, text, threads, whole
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["TransformersPipeline"]

_CLASSES = {
    "text-generation": "AutoModelForCausalLM",
    "summarization": "AutoModelForSeq2SeqLM",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "fill-mask": "AutoModelForMaskedLM",
    "sentence-embeddings": "AutoModel",
    "image-classification": "AutoModelForImageClassification",
}
# What transformers writes for "not known" is 1e30.
_NO_LIMIT = 1_000_000
_DTYPES = ("float32", "float16", "bfloat16")


class TransformersPipeline:
    """A model from the folder ``model``, or the hub id of the setting ``model_id`` where there is no folder.

    The whole batch is one call, padded to its longest input; generation is greedy. A hub model must lie in the local
    cache already, so that no trial pays for a download, and its weights must be safetensors: pickles are not run.

    Settings: ``model_id``, ``revision`` (a commit, for results that can be repeated), ``device`` (``cpu``, ``cuda``,
    ``cuda:1`` ...), ``dtype`` (``float32``, ``float16``, ``bfloat16``), ``threads`` (of the whole process),
    ``max_new_tokens``, ``pooling`` (``mean`` or ``cls``, for embeddings).
    """

    distributions = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
    accepts = ("model_id", "revision", "device", "dtype", "threads", "max_new_tokens", "pooling")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        if task not in _CLASSES:
            raise UsageError(f"The transformers backend cannot do {task!r}, only {', '.join(_CLASSES)}.")
        self._task = task
        self._folder = files.get("model")
        self._model_id = text(settings, "model_id", "")
        if self._folder is None and not self._model_id:
            raise UsageError("Say which model: set model_id to a hub id, such as 'distilbert/distilgpt2'.")
        self._revision = text(settings, "revision", "main")
        self._device = text(settings, "device", "cpu")
        self._dtype = text(settings, "dtype", "float32", known=_DTYPES)
        self._pooling = text(settings, "pooling", "mean", known=("mean", "cls"))
        self._threads = threads(settings)
        self._max_new_tokens = whole(settings, "max_new_tokens", 64)
        self._torch: Any = None
        self._model: Any = None
        self._reader: Any = None

    def load(self) -> None:
        """Read the weights and move them to the device.

        Raises:
            MissingExtra: if torch or transformers is not installed.
            WorkloadFailed: if the model is not there, has no weights for this task, or the device is none.
        """
        purpose = "A Hugging Face model"
        self._torch = require("torch", package="torch", extra="transformers", purpose=purpose)
        transformers = require("transformers", package="transformers", extra="transformers", purpose=purpose)
        transformers.utils.logging.disable_progress_bar()
        if self._threads is not None:
            self._torch.set_num_threads(self._threads)

        reader = transformers.AutoTokenizer
        if self._task == "image-classification":
            reader = transformers.AutoImageProcessor
        model, missing = self._read(reader, getattr(transformers, _CLASSES[self._task]))
        if missing:
            raise WorkloadFailed(
                f"{self._name} has no weights for {', '.join(sorted(missing)[:3])}, so its answers would be random: "
                f"it was not trained for {self._task}. Choose a model that was."
            )
        try:
            self._model = model.to(self._device).eval()
        except (RuntimeError, AssertionError) as error:
            raise WorkloadFailed(f"The device {self._device!r} cannot be used: {error}") from error

    @property
    def _name(self) -> str:
        return str(self._folder) if self._folder is not None else f"{self._model_id} ({self._revision})"

    def _read(self, reader: Any, model: Any) -> tuple[Any, set[str]]:
        """Give the model and the names of those of its weights that its files do not hold."""
        source = str(self._folder) if self._folder is not None else self._model_id
        where = {"revision": self._revision, "local_files_only": True}
        try:
            self._reader = reader.from_pretrained(source, **where)
            loaded, info = model.from_pretrained(
                source,
                **where,
                dtype=getattr(self._torch, self._dtype),
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError) as error:
            advice = "Check the folder." if self._folder is not None else self._advice()
            raise WorkloadFailed(f"{self._name} cannot be loaded. {advice} Transformers says: {error}") from error
        if getattr(self._reader, "model_max_length", 0) > _NO_LIMIT:
            self._reader.model_max_length = getattr(loaded.config, "max_position_embeddings", 512)
        # The pooler is on top of the vectors that embeddings are made of; nothing here reads it.
        return loaded, {key for key in info["missing_keys"] if not key.startswith("pooler.")}

    def _advice(self) -> str:
        return (
            "If it is not on this machine yet, fetch it first, outside of any measurement: "
            f"hf download {self._model_id} --revision {self._revision}"
        )

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Answer the batch; returns when the device has finished."""
        answer: Callable[[Sequence[Item]], list[Answer]] = {
            "text-generation": self._generate,
            "summarization": self._summarize,
            "text-classification": self._classify,
            "token-classification": self._tag,
            "fill-mask": self._fill,
            "sentence-embeddings": self._embed,
            "image-classification": self._classify_images,
        }[self._task]
        with self._torch.inference_mode():
            answers = answer(batch)
        if self._device.startswith("cuda"):
            self._torch.cuda.synchronize()
        return answers

    def _encode(self, texts: Sequence[str], **options: Any) -> Any:
        if self._reader.pad_token is None:
            self._reader.pad_token = self._reader.eos_token
        return self._reader(list(texts), return_tensors="pt", padding=True, truncation=True, **options)

    def _generate(self, batch: Sequence[Item]) -> list[Answer]:
        texts = [str(item.content) for item in batch]
        if self._reader.chat_template:
            chats = [[{"role": "user", "content": text}] for text in texts]
            texts = self._reader.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
        # The answer goes on where the prompt ends, so padding must stand before it.
        self._reader.padding_side = "left"
        inputs = self._encode(texts, add_special_tokens=not self._reader.chat_template).to(self._device)
        written = self._write(inputs, exactly=True)[:, inputs["input_ids"].shape[1] :]
        return self._texts(inputs, written)

    def _summarize(self, batch: Sequence[Item]) -> list[Answer]:
        asked = (getattr(self._model.config, "task_specific_params", None) or {}).get("summarization", {})
        texts = [asked.get("prefix", "") + str(item.content) for item in batch]
        inputs = self._encode(texts).to(self._device)
        return self._texts(inputs, self._write(inputs, exactly=False)[:, 1:])

    def _write(self, inputs: Any, *, exactly: bool) -> Any:
        return self._model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=self._max_new_tokens,
            min_new_tokens=self._max_new_tokens if exactly else 0,
            do_sample=False,
            num_beams=1,
            pad_token_id=self._reader.pad_token_id,
        )

    def _texts(self, inputs: Any, written: Any) -> list[Answer]:
        exact = self._task == "text-generation"
        counts = [written.shape[1]] * len(written) if exact else (written != self._reader.pad_token_id).sum(1)
        outputs = self._reader.batch_decode(written, skip_special_tokens=True)
        return [
            Answer(output=output.strip(), tokens_in=int(read), tokens_out=int(count))
            for output, read, count in zip(outputs, inputs["attention_mask"].sum(1), counts, strict=True)
        ]

    def _classify(self, batch: Sequence[Item]) -> list[Answer]:
        inputs = self._encode([str(item.content) for item in batch]).to(self._device)
        return self._labels(self._model(**inputs).logits, inputs["attention_mask"].sum(1))

    def _classify_images(self, batch: Sequence[Item]) -> list[Answer]:
        image = require("PIL.Image", package="pillow", extra="transformers", purpose="Image classification")
        pictures = [image.open(_opened(item.content)).convert("RGB") for item in batch]
        inputs = self._reader(pictures, return_tensors="pt").to(self._device, self._model.dtype)
        return self._labels(self._model(**inputs).logits, [None] * len(batch))

    def _labels(self, logits: Any, read: Any) -> list[Answer]:
        names = self._model.config.id2label
        return [
            Answer(output=names[int(best)], tokens_in=None if count is None else int(count))
            for best, count in zip(logits.argmax(-1), read, strict=True)
        ]

    def _tag(self, batch: Sequence[Item]) -> list[Answer]:
        inputs = self._encode([str(item.content) for item in batch], return_offsets_mapping=True)
        offsets = inputs.pop("offset_mapping").tolist()
        words = [inputs.word_ids(row) for row in range(len(batch))]
        names = self._model.config.id2label
        best = self._model(**inputs.to(self._device)).logits.argmax(-1).tolist()
        return [
            Answer(
                output=spans([names[tag] for tag in tags], words[row], offsets[row]),
                tokens_in=int(inputs["attention_mask"][row].sum()),
            )
            for row, tags in enumerate(best)
        ]

    def _fill(self, batch: Sequence[Item]) -> list[Answer]:
        mask = self._reader.mask_token
        inputs = self._encode([str(item.content).replace("{mask}", mask) for item in batch]).to(self._device)
        rows, columns = (inputs["input_ids"] == self._reader.mask_token_id).nonzero(as_tuple=True)
        if rows.tolist() != list(range(len(batch))):
            raise WorkloadFailed(f"Each text must have exactly one gap, written {{mask}} or {mask}.")
        best = self._model(**inputs).logits[rows, columns].argmax(-1)
        read = inputs["attention_mask"].sum(1)
        return [
            Answer(output=self._reader.decode([int(token)]).strip(), tokens_in=int(count))
            for token, count in zip(best, read, strict=True)
        ]

    def _embed(self, batch: Sequence[Item]) -> list[Answer]:
        inputs = self._encode([str(item.content) for item in batch]).to(self._device)
        hidden, mask = self._model(**inputs).last_hidden_state, inputs["attention_mask"]
        if self._pooling == "cls":
            vectors = hidden[:, 0]
        else:
            vectors = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        vectors = self._torch.nn.functional.normalize(vectors.float(), dim=-1).tolist()
        return [Answer(output=vector, tokens_in=int(count)) for vector, count in zip(vectors, mask.sum(1), strict=True)]

    def close(self) -> None:
        """Free the weights, on the device too."""
        self._model = self._reader = None
        if self._torch is not None and self._device.startswith("cuda"):
            self._torch.cuda.empty_cache()


def _opened(content: str | Path | bytes) -> Any:
    return io.BytesIO(content) if isinstance(content, bytes) else content
