"""Make the shipped package data of a trained digits model: diffusers folder, ONNX graphs, model card.

    python training/digits/export.py --trained DIR [--training-record RECORD.json] [--out FOLDER]

Needs joulemark itself with torch, diffusers, transformers, onnx and onnxruntime. Ends with an error if the
ONNX graphs do not say what the torch model says.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import AutoTokenizer, CLIPTextModel

from joulemark.records import Measurement, load_measurement, measurement_energy
from joulemark.units import format_duration
from joulemark.workloads.backends.diffusers import DiffusersImages
from joulemark.workloads.backends.digits_pipeline import DigitsPipeline
from joulemark.workloads.backends.onnx_diffusion import OnnxDiffusion
from joulemark.workloads.tasks.image_generation import TASK

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "src/joulemark/workloads/digits"
CARD = Path(__file__).with_name("MODEL_CARD.template.md")

RECORD = "training.json"
"""The record of the training's energy, beside the model card."""

TOLERANCE = 1e-4
"""Largest absolute difference allowed between ONNX and torch; predictions are of the order of one."""


class Text(torch.nn.Module):  # type: ignore[misc]
    """Token ids (n, tokens) -> text (n, tokens, width)."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """The last hidden state."""
        return self.encoder(input_ids=input_ids).last_hidden_state


class Denoiser(torch.nn.Module):  # type: ignore[misc]
    """Noisy pictures (n, 1, height, width), times (n,), text -> prediction of the pictures' shape."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """The prediction."""
        return self.unet(sample, timestep, text, return_dict=False)[0]


def write_pipeline(trained: Path, folder: Path) -> DigitsPipeline:
    """Write the diffusers folder from the trained parts, and give the pipeline."""
    pipeline = DigitsPipeline(
        unet=UNet2DConditionModel.from_pretrained(trained / "unet", use_safetensors=True),
        text_encoder=CLIPTextModel.from_pretrained(trained / "text_encoder", use_safetensors=True),
        tokenizer=AutoTokenizer.from_pretrained(trained / "tokenizer"),
        scheduler=DDIMScheduler.from_pretrained(trained / "scheduler"),
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    for config in (folder / "unet/config.json", folder / "model_index.json"):
        content = json.loads(config.read_text())
        content.pop("_name_or_path", None)  # where it was trained is nobody's business
        config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
    return pipeline


def write_graph(module: torch.nn.Module, inputs: Mapping[str, torch.Tensor], output: str, file: Path) -> None:
    """Export one module with a free batch size, check the graph, and drop what is not needed to run it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's remarks on shapes that are fixed here
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(file),
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={name: {0: "batch"} for name in [*inputs, output]},
            opset_version=17,
            dynamo=False,
        )
    graph = onnx.load(str(file))
    for node in graph.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(file))


def difference(module: torch.nn.Module, inputs: Mapping[str, torch.Tensor], file: Path) -> float:
    """Largest absolute difference between torch and ONNX Runtime for these inputs."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        wanted = module(*inputs.values()).numpy()
    return float(np.abs(found - wanted).max())


def write_onnx(pipeline: DigitsPipeline, folder: Path) -> dict[str, float]:
    """Write both graphs, and compare them with torch on other batch sizes than they were traced with."""
    torch.manual_seed(0)
    side, width = pipeline.unet.config.sample_size, pipeline.unet.config.cross_attention_dim
    tokens = pipeline.text_encoder.config.max_position_embeddings
    words = pipeline.text_encoder.config.vocab_size

    def text_inputs(n: int) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.randint(0, words, (n, tokens))}

    def unet_inputs(n: int) -> dict[str, torch.Tensor]:
        return {
            "sample": torch.randn(n, 1, side, side),
            "timestep": torch.randint(0, 1000, (n,)),
            "encoder_hidden_states": torch.randn(n, tokens, width),
        }

    worst = {}
    for name, module, inputs, output in (
        ("text_encoder", Text(pipeline.text_encoder), text_inputs, "last_hidden_state"),
        ("unet", Denoiser(pipeline.unet), unet_inputs, "prediction"),
    ):
        file = folder / f"{name}.onnx"
        write_graph(module, inputs(2), output, file)
        worst[name] = max(difference(module, inputs(n), file) for n in (1, 2, 7))
        print(f"{name}: ONNX differs from torch by {worst[name]:.2e} at most", flush=True)
        if worst[name] > TOLERANCE:
            raise SystemExit(f"{name}: ONNX and torch disagree by more than {TOLERANCE}; nothing of it may be shipped.")
    return worst


def compare_pictures(folder: Path) -> int:
    """Largest difference of the task's pictures, ONNX to diffusers, in grey levels of 255."""
    onnx_files = {
        "text_encoder": folder / "onnx/text_encoder.onnx",
        "unet": folder / "onnx/unet.onnx",
        "tokenizer": folder / "pipeline/tokenizer/tokenizer.json",
        "scheduler": folder / "pipeline/scheduler/scheduler_config.json",
    }
    pictures = []
    for backend in (
        OnnxDiffusion(onnx_files, TASK.name, TASK.defaults),
        DiffusersImages({"pipeline": folder / "pipeline"}, TASK.name, TASK.defaults),
    ):
        backend.load()
        pictures.append(np.stack([np.asarray(a.output, dtype=int) for a in backend.run(TASK.items())]))
        backend.close()
    worst = int(np.abs(pictures[0] - pictures[1]).max())
    print(f"pictures: ONNX differs from diffusers by {worst} of 255 grey levels at most", flush=True)
    if worst > 2:
        raise SystemExit("The same noise gives other pictures through ONNX than through diffusers.")
    return worst


def training_energy(record: Measurement | None) -> str:
    """What training took, in a sentence, from the record of its measurement; None if it was not measured."""
    if record is None:
        return "not measured for these weights."
    (energy,) = measurement_energy(record)
    (window,) = record.windows
    where = f"{record.machine.processor} ({record.machine.cpus} CPUs)"
    return (
        f"**{energy.format('Wh')}** (95 % interval) in {format_duration(window.duration_s)} on {where}; "
        f"evidence: {energy.evidence}; it covers {energy.boundary}. Measured with `joulemark measure`; "
        f"the record is `{RECORD}`."
    )


def write_card(trained: Path, folder: Path, record: Measurement | None, facts: Mapping[str, Any]) -> None:
    """Fill the template of the model card."""
    training = json.loads((trained / "training.json").read_text())
    split = json.loads((SHIPPED / "split.json").read_text())
    card = CARD.read_text().format(
        training_energy=training_energy(record),
        generator=_span(split["generator"]),
        judge=_span(split["judge"]),
        default_steps=TASK.defaults["steps"],
        guidance=TASK.defaults["guidance"],
        **{name: value for name, value in training.items() if name not in ("parameters", "versions")},
        unet=f"{training['parameters']['unet']:,}",
        text_encoder=f"{training['parameters']['text_encoder']:,}",
        torch=training["versions"]["torch"],
        **facts,
    )
    (folder / "MODEL_CARD.md").write_text(card)


def _span(bounds: Sequence[int]) -> str:
    first, last = bounds
    return f"images {first} to {last - 1} ({last - first})"


def main() -> None:
    """Read the command line, write the folder, print what is in it."""
    parser = argparse.ArgumentParser(description="Export a trained digits model into the package.")
    parser.add_argument("--trained", type=Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--training-record", type=Path, help="what `joulemark measure --save` wrote")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    args = parser.parse_args()
    out: Path = args.out

    for part in ("pipeline", "onnx"):
        shutil.rmtree(out / part, ignore_errors=True)
    pipeline = write_pipeline(args.trained, out / "pipeline")
    worst = write_onnx(pipeline, out / "onnx")
    grey_levels = compare_pictures(out)
    record = load_measurement(args.training_record) if args.training_record else None
    if args.training_record:
        shutil.copyfile(args.training_record, out / RECORD)
    facts = {
        "words": len(pipeline.tokenizer),
        "onnx_text_encoder": f"{worst['text_encoder']:.1e}",
        "onnx_unet": f"{worst['unet']:.1e}",
        "onnx_pictures": grey_levels,
    }
    write_card(args.trained, out, record, facts)
    for part in ("pipeline", "onnx"):
        for file in sorted(f for f in (out / part).rglob("*") if f.is_file()):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            print(f"{digest}  {file.stat().st_size:>8}  {file.relative_to(out)}")


if __name__ == "__main__":
    main()
