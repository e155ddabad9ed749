"""How far a twin is from the trained model: the same architecture, trained and random weights, one after the other.

``python -m benchmarks.twins`` measures the models whose weights ship in packages, and writes ``results.json``. Each
pair of trials answers the same inputs with both, in random order, on one thread; the ratio of their times is the
geometric mean over the pairs, with Student's interval of its logarithm. A machine without an energy sensor knows CPU
energy from a model that follows CPU time, so its ratio of energies is the ratio of CPU times. The trained weights are
tried where safetensors leaves them, in a file mapped into memory, and copied out of it.

Needs the packages of ``requirements/quickstart-models.txt`` and ``test-models.txt``, and for two of the four models
``pip install --no-deps accelerate gguf rxnmapper==0.4.3``; a model that is not there is left out, and named.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from joulemark import Meter
from joulemark.errors import JoulemarkError
from joulemark.workloads.backends.diffusers import DiffusersImages
from joulemark.workloads.backends.stand_in import StandInTokenizer
from joulemark.workloads.backends.transformers import TransformersPipeline
from joulemark.workloads.models import model
from joulemark.workloads.seam import Backend, Item, Settings
from joulemark.workloads.tasks import task

RESULTS = Path(__file__).with_name("results.json")
TRIAL_S = 0.5
"""Least length of a trial in seconds."""


COPIED = "trained, copied"
"""The trained model, its weights copied from the mapped file into memory."""


@dataclass(frozen=True)
class Case:
    """A trained model, where its folder comes from, and what it is asked.

    `published` is its id in the table of architectures, to measure a twin with a stand-in tokenizer too.
    """

    name: str
    task: str
    backend: Callable[..., Backend]
    folder: Callable[[Path], Path]
    role: str = "model"
    published: str = ""
    settings: Settings = field(default_factory=dict)
    items: Sequence[Item] = ()


def smollm2(here: Path) -> Path:
    """SmolLM2 out of its GGUF file, its four bits unpacked to float32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    file = model("smollm2-135m-instruct-q4").locate()["weights"]
    loaded = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    fresh = LlamaForCausalLM(loaded.config)  # what came out of a GGUF file cannot be saved as it is
    fresh.load_state_dict(loaded.state_dict())
    fresh.save_pretrained(here)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(here)
    return here


ATOMS = r"\[[^\]]+\]|Br|Cl|>>|%\d{2}|."
"""How a chemical formula (SMILES) is cut, after Schwaller et al. 2018 (doi:10.1039/C8SC02339E), in short."""


def rxnmapper(here: Path) -> Path:
    """The ALBERT of rxnmapper, which fills gaps in chemical formulas; its pickle is read as weights alone."""
    import shutil
    from importlib.metadata import distribution

    import torch
    from safetensors.torch import save_file
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inside = "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k"
    source = Path(str(distribution("rxnmapper").locate_file(inside)))
    shutil.copy(source / "config.json", here)
    words = (source / "vocab.txt").read_text(encoding="utf-8").splitlines()
    raw = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(ATOMS), "isolated")
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=256, **special).save_pretrained(here)
    weights = torch.load(source / "pytorch_model.bin", map_location="cpu", weights_only=True)
    save_file({k: v.clone().contiguous() for k, v in weights.items()}, here / "model.safetensors", {"format": "pt"})
    return here


REACTIONS = tuple(
    Item(id=f"reaction-{n}", content=formula)
    for n, formula in enumerate(
        (
            "CC(=O)O.OCC>>CC(={mask})OCC",
            "CC(=O)Cl.NCC>>CC(=O){mask}CC",
            "OCC.CC(=O)O>>CCOC(C)={mask}",
            "CCBr.O>>CC{mask}",
        )
    )
)

CASES = (
    Case(
        "all-MiniLM-L6-v2",
        "sentence-embeddings",
        TransformersPipeline,
        lambda here: model("minilm-l6-v2").locate()["model"],
        published="sentence-transformers/all-MiniLM-L6-v2",
    ),
    Case(
        "SmolLM2-135M-Instruct",
        "text-generation",
        TransformersPipeline,
        smollm2,
        published="HuggingFaceTB/SmolLM2-135M-Instruct",
        settings={"max_new_tokens": 8},
    ),
    Case("rxnmapper ALBERT", "fill-mask", TransformersPipeline, rxnmapper, items=REACTIONS),
    Case(
        "digits diffusion",
        "image-generation",
        DiffusersImages,
        lambda here: model("digits-diffusion-torch").locate()["pipeline"],
        role="pipeline",
        settings={"steps": 10},
    ),
)


def measure(case: Case, pairs: int, seed: int, *, device: str = "cpu", meter: Meter | None = None) -> dict[str, Any]:
    """Load the trained model and its twins, and time them in turn; with a meter measure their energies besides."""
    asked = task(case.task)
    common = {**asked.defaults, **case.settings, "threads": 1, "device": device}
    items = list(case.items or asked.items()[:2])
    with tempfile.TemporaryDirectory() as folder:
        files = {case.role: case.folder(Path(folder))}
        backends = {
            "trained": case.backend(files, case.task, common),
            "twin": case.backend(files, case.task, {**common, "weights": "random"}),
        }
        backends[COPIED] = case.backend(files, case.task, common)
        if case.published:
            settings = {**common, "weights": "random", "model_id": case.published}
            backends["twin with stand-in tokenizer"] = case.backend({}, case.task, settings)
        for backend in backends.values():
            backend.load()
        copy_weights(backends[COPIED])
    tokens = {name: [answer.tokens_in for answer in backend.run(items)] for name, backend in backends.items()}
    passes = max(1, math.ceil(TRIAL_S / _once(backends["trained"], items)[0]))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in backends}
    energies: dict[str, list[float]] = {name: [] for name in backends}
    order, source = list(backends), random.Random(seed)  # noqa: S311 - an order, not a secret
    for _ in range(pairs):
        source.shuffle(order)
        for name in order:
            with nullcontext() if meter is None else meter.measure(name) as window:
                trials = [_once(backends[name], items) for _ in range(passes)]
            if window is not None and window.energy.available:
                energies[name].append(window.energy.value)
            times[name].append((sum(t[0] for t in trials), sum(t[1] for t in trials)))
    for backend in backends.values():
        backend.close()
    return {
        "model": case.name,
        "task": case.task,
        "settings": dict(common),
        "pairs": pairs,
        "trial_s": statistics.median(t[0] for t in times["trained"]),
        "trained_s": statistics.median(t[0] for t in times["trained"]) / passes / len(items),
        "tokens_in": {name: _mean(counts) for name, counts in tokens.items()},
        "ratios": {
            f"{name} / {base}": {
                "time": ratio([t[0] for t in times[name]], [t[0] for t in times[base]]),
                "cpu_time": ratio([t[1] for t in times[name]], [t[1] for t in times[base]]),
                **(
                    {"energy": ratio(energies[name], energies[base])}
                    if len(energies[name]) == len(energies[base]) == pairs
                    else {}
                ),
            }
            for base in ("trained", COPIED)
            for name in backends
            if name not in {"trained", base}
        },
    }


def copy_weights(backend: Any) -> None:
    """Move the weights out of the file that is mapped into memory, to memory of their own, where a twin's are."""
    pipeline = getattr(backend, "_pipeline", None)
    parts = pipeline.components.values() if pipeline is not None else [backend._loaded.model]
    for part in parts:
        for weight in part.parameters() if hasattr(part, "parameters") else ():
            weight.data = weight.data.clone()


def _once(backend: Backend, items: Sequence[Item]) -> tuple[float, float]:
    """Wall and CPU seconds for one item at a time, all of them."""
    wall, cpu = time.perf_counter(), time.process_time()
    for item in items:
        backend.run([item])
    return time.perf_counter() - wall, time.process_time() - cpu


def _mean(counts: Sequence[int | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return statistics.mean(known) if known else None


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Geometric mean of the paired ratios with its 95 % interval (Student's, of the mean logarithm)."""
    from scipy.stats import t

    logs = [math.log(a / b) for a, b in zip(above, below, strict=True)]
    half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    middle = statistics.mean(logs)
    return {"value": math.exp(middle), "low": math.exp(middle - half), "high": math.exp(middle + half)}


def tokenizers() -> list[dict[str, Any]]:
    """Tokens of the stand-in over those of real tokenizers, on Joulemark's own texts, frames left out."""
    from tokenizers import Tokenizer

    files = {
        "BERT (WordPiece)": model("minilm-l6-v2").locate()["model"] / "tokenizer.json",
        "GPT-2 (BPE, as Whisper tiny.en has it)": model("whisper-tiny.en").locate()["model"] / "tokenizer.json",
        "T5 (SentencePiece)": model("flan-t5-small-int8").locate()["tokenizer"],
    }
    rows = []
    for name, file in files.items():
        real = Tokenizer.from_file(str(file))
        real.no_padding()
        real.no_truncation()
        stand_in = StandInTokenizer(30_000, most=1_000_000)
        for asked in ("text-generation", "summarization", "text-classification", "sentence-embeddings"):
            texts = [str(item.content) for item in task(asked).items()]
            true = sum(len(real.encode(text, add_special_tokens=False).ids) for text in texts)
            ours = sum(len(stand_in(text)["input_ids"][0]) for text in texts)
            rows.append({"tokenizer": name, "texts": task(asked).inputs, "n": len(texts), "ratio": ours / true})
    return rows


def main() -> None:
    """Measure all, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--device", default="cpu", help="cpu, cuda ...; with another one energies are measured too")
    parser.add_argument("--only", choices=[case.name for case in CASES])
    arguments = parser.parse_args()
    done, left_out = [], {}
    for case in CASES:
        if arguments.only not in {None, case.name}:
            continue
        try:
            with nullcontext() if arguments.device == "cpu" else Meter() as meter:
                one = measure(case, arguments.pairs, arguments.seed, device=arguments.device, meter=meter)
        except (JoulemarkError, ImportError) as error:
            left_out[case.name] = str(error)
            print(f"{case.name}: left out: {error}")
            continue
        done.append(one)
        for name, found in one["ratios"].items():
            shown = "   ".join(f"{k} {r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}]" for k, r in found.items())
            print(f"{case.name}, {name}: {shown}", flush=True)
    counted = tokenizers()
    for row in counted:
        print(f"stand-in / {row['tokenizer']}, {row['texts']}: {row['ratio']:.3f}")
    result = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        "software": {name: version(name) for name in ("torch", "transformers", "diffusers")},
        "seed": arguments.seed,
        "models": done,
        "left_out": left_out,
        "tokenizers": counted,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
