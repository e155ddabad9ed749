"""Image classification through timm (PyTorch Image Models)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.options import require, text, threads, whole
from joulemark.workloads.backends.torchvision import mend_torchvision
from joulemark.workloads.backends.transformer_settings import DTYPES
from joulemark.workloads.backends.twin_models import building
from joulemark.workloads.seam import Answer, Item, Settings
from joulemark.workloads.tasks.forms import opened

__all__ = ["TimmImages"]

_PURPOSE = "Image classification with timm"


class TimmImages:
    """A model that timm knows by name (``resnet50.a1_in1k``), prepared and labelled as timm does it.

    Its weights come from ``files["weights"]``, a safetensors file, or from the hub's cache (``timm/NAME``), where they
    must lie already; with ``weights`` = "random" it is a twin, which needs neither.

    Settings: ``model_id``, ``revision``, ``weights``, ``dtype`` (float32, float16 or bfloat16), ``device``, ``threads``
    (of the whole process), ``seed`` (of a twin's weights). Output: the name of the class, as ImageNet has it.
    """

    distributions = ("timm", "torch", "numpy")
    extra = "timm"
    concurrent = False
    tasks = ("image-classification",)
    accepts = ("model_id", "revision", "weights", "dtype", "device", "threads", "seed")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        if task not in self.tasks:
            raise UsageError(f"The timm backend cannot do {task!r}, only {', '.join(self.tasks)}.")
        self._name = text(settings, "model_id", "").removeprefix("timm/")
        if not self._name:
            raise UsageError("Say which model: set model_id to one of timm's names, such as 'resnet50.a1_in1k'.")
        self._file = files.get("weights")
        self._revision = text(settings, "revision", "main")
        self._twin = text(settings, "weights", "trained", known=("trained", "random")) == "random"
        self._dtype = text(settings, "dtype", "float32", known=DTYPES)
        self._device = text(settings, "device", "cpu")
        self._threads = threads(settings)
        self._seed = whole(settings, "seed", 0, least=0)
        self._model: Any = None
        self._prepare: Any = None
        self._label: Callable[[int], str] = str

    def load(self) -> None:
        """Bring the model to its device.

        Raises:
            MissingExtra: if timm or torchvision is not installed.
            WorkloadFailed: if timm knows no such model, its weights are not there, or the device is none.
        """
        torch = require("torch", package="torch", extra="timm", purpose=_PURPOSE)
        mend_torchvision()
        require("torchvision", package="torchvision", extra="timm", purpose=_PURPOSE)
        timm = require("timm", package="timm", extra="timm", purpose=_PURPOSE)
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        if not timm.is_model(self._name):
            near = ", ".join(timm.list_models(f"{self._name.split('.')[0][:6]}*")[:5])
            raise WorkloadFailed(f"timm {timm.__version__} has no model {self._name!r}. {near and f'Near: {near}.'}")
        with building(self._device, self._dtype, self._seed):
            model = timm.create_model(self._name, pretrained=False)
        if not self._twin:
            self._read_weights(timm, model)
        self._model = model.to(self._device, getattr(torch, self._dtype)).eval()
        self._prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
        subset = timm.data.infer_imagenet_subset(model)
        if subset:
            self._label = timm.data.ImageNetInfo(subset).index_to_description

    def _read_weights(self, timm: Any, model: Any) -> None:
        file = self._file
        if file is None:
            import huggingface_hub

            source = f"timm/{self._name}"
            found = huggingface_hub.try_to_load_from_cache(source, "model.safetensors", revision=self._revision)
            if not isinstance(found, str):
                raise WorkloadFailed(
                    f"The weights of {source} are not on this machine yet. Fetch them first, outside of any "
                    f"measurement: hf download {source} model.safetensors --revision {self._revision}"
                )
            file = Path(found)
        if file.suffix != ".safetensors":
            raise WorkloadFailed(f"{file.name} is no safetensors file; other formats can run code and are not read.")
        try:
            timm.models.load_checkpoint(model, str(file))
        except (OSError, RuntimeError, ValueError) as error:
            raise WorkloadFailed(f"timm refuses {file.name} as weights of {self._name}: {error}") from error

    @property
    def parameters(self) -> int:
        """Number of weights of the loaded model."""
        return 0 if self._model is None else sum(weight.numel() for weight in self._model.parameters())

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Name what is in each picture, all of them in one batch; returns when the device has finished."""
        import torch

        if self._model is None:
            raise WorkloadFailed("The model was asked before it was loaded. Call load() first.")
        if not batch:
            return []
        weights = next(self._model.parameters())
        with torch.inference_mode():
            pictures = torch.stack([self._prepare(opened(item.content).convert("RGB")) for item in batch])
            best = self._model(pictures.to(weights.device, weights.dtype)).argmax(-1).tolist()
        return [Answer(output=self._label(number)) for number in best]

    def close(self) -> None:
        """Free the model, and the device's memory with it."""
        if self._model is None:
            return
        import torch

        kind = next(self._model.parameters()).device.type
        self._model = self._prepare = None
        if kind != "cpu":
            torch.get_device_module(kind).empty_cache()
