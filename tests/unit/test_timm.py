"""timm's models by name, as twins and from a file; skipped where timm or torchvision is not installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.timm import TimmImages
from joulemark.workloads.backends.torchvision import mend_torchvision
from joulemark.workloads.tasks import task

torch = pytest.importorskip("torch", reason="the timm extra is not installed")

pytestmark = pytest.mark.torch

ASKED = task("image-classification")
SMALL = "test_vit.r160_in1k"
"""A model of timm's own tests: 0.4 million weights, 160 pixels, the thousand classes of ImageNet."""


@pytest.fixture(scope="module")
def timm() -> Any:
    if find_spec("torchvision") is None:
        pytest.skip("torchvision, which timm needs, is not installed")
    mend_torchvision()
    return pytest.importorskip("timm", reason="the timm extra is not installed")


def named(files: dict[str, Path], **settings: Any) -> list[Any]:
    chosen = {"model_id": f"timm/{SMALL}", "threads": 1, **settings}
    backend = TimmImages(files, ASKED.name, chosen)
    backend.load()
    items = ASKED.items()[:3]
    answers = backend.run(items)
    assert all(ASKED.check(item, answer, chosen) is None for item, answer in zip(items, answers, strict=True))
    assert [backend.run([item])[0].output for item in items] == [answer.output for answer in answers]
    backend.close()
    backend.close()
    return [answer.output for answer in answers]


def test_classes_have_the_names_of_imagenet(timm: Any) -> None:
    names = timm.data.ImageNetInfo().label_descriptions()
    assert set(named({}, weights="random")) <= set(names)


def test_weights_come_from_a_file(timm: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = timm.create_model(SMALL)
    with torch.no_grad():
        model.head.bias[281] = 1e3  # always a tabby
    file = tmp_path / "model.safetensors"
    save_file(model.state_dict(), file)
    assert named({"weights": file}) == ["tabby, tabby cat"] * 3
    pickle = tmp_path / "model.pth"
    torch.save(model.state_dict(), pickle)
    with pytest.raises(WorkloadFailed, match="safetensors"):
        named({"weights": pickle})
    with pytest.raises(WorkloadFailed, match="refuses"):
        named({"weights": file}, model_id="test_resnet.r160_in1k")


def test_what_is_not_there_is_told(timm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WorkloadFailed, match=f"hf download timm/{SMALL}"):
        named({})
    with pytest.raises(WorkloadFailed, match="no model 'resnet5000'"):
        named({}, model_id="resnet5000", weights="random")


@pytest.mark.parametrize("settings", [{}, {"model_id": "resnet18", "dtype": "int3"}])
def test_wrong_settings_are_refused_before_anything_is_loaded(settings: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        TimmImages({}, ASKED.name, settings)
