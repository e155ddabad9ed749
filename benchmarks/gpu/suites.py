"""Stages 4 and 6 as suites: twins of the study's models as they were measured and as people run them, and sweeps."""

from __future__ import annotations

from joulemark.bench import Suite, SuiteProtocol, SuiteWorkload

Settings = dict[str, int | float | str | bool]

__all__ = ["study_suite", "sweep_suite"]

PROTOCOL = SuiteProtocol(
    trial_s=1.0, blocks=2, min_trials=6, max_trials=10, budget_s=10.0, idle_s=1.0, warm_up_s=1.0, answer_s=300.0
)

IMAGES: list[tuple[str, Settings]] = [
    ("stabilityai/stable-diffusion-xl-base-1.0", {"steps": 50, "width": 1024, "height": 1024}),
    ("stable-diffusion-v1-5/stable-diffusion-v1-5", {"steps": 50, "width": 512, "height": 512}),
]
TEXTS = ["openai-community/gpt2", "openai-community/gpt2-xl", "bigscience/bloom-560m", "facebook/opt-6.7b"]
REST = [
    ("summarization", "google/flan-t5-base"),
    ("summarization", "facebook/bart-large-cnn"),
    ("image-classification", "google/vit-base-patch16-224"),
    ("image-classification", "microsoft/resnet-50"),
    ("object-detection", "facebook/detr-resnet-50"),
    ("image-captioning", "Salesforce/blip-image-captioning-base"),
    ("text-classification", "distilbert/distilbert-base-uncased-finetuned-sst-2-english"),
    ("fill-mask", "google-bert/bert-base-uncased"),
    ("token-classification", "dslim/bert-base-NER"),
    ("question-answering", "deepset/roberta-base-squad2"),
]


def study_suite(device: str, *, today: bool, quick: bool) -> Suite:
    """Give the study's models in fp32, one at a time; or in bf16 and batches, as people run them today."""
    how: Settings = {"dtype": "bfloat16", "batch_size": 8} if today else {"dtype": "float32", "batch_size": 1}
    common: Settings = {"weights": "random", "device": device, **how}
    images: Settings = {"dtype": how["dtype"], "batch_size": 4 if today else 1, "weights": "random", "device": device}
    lines = [
        SuiteWorkload(
            task="image-generation", model=model, settings={**images, **size}, inputs="picture-prompts", items=4
        )
        for model, size in IMAGES
    ]
    lines += [
        SuiteWorkload(task="text-generation", model=model, settings={**common, "max_new_tokens": 10}, items=8)
        for model in TEXTS
    ]
    lines += [SuiteWorkload(task=task, model=model, settings=common, items=8) for task, model in REST]
    if today:
        lines.append(
            SuiteWorkload(
                task="text-generation",
                model="meta-llama/Llama-3.1-8B-Instruct",
                settings={**common, "max_new_tokens": 64},
                items=8,
            )
        )
    if quick:
        lines = [lines[-2]]
    name = "gpu-today" if today else "gpu-study"
    return Suite(name=name, workloads=tuple(lines), protocol=PROTOCOL)


def sweep_suite(device: str, *, quick: bool) -> Suite:
    """Give one encoder, one decoder and one denoiser over batch sizes and number formats."""
    common: Settings = {"weights": "random", "device": device}
    batches = (1, 2) if quick else (1, 2, 4, 8, 16, 32)
    formats = ("float32",) if quick else ("float32", "bfloat16")
    lines = [
        SuiteWorkload(
            task="fill-mask",
            model="google-bert/bert-base-uncased",
            settings=common,
            sweep={"batch_size": batches, "dtype": formats},
        )
    ]
    if not quick:
        lines += [
            SuiteWorkload(
                task="text-generation",
                model="openai-community/gpt2-xl",
                settings={**common, "max_new_tokens": 32},
                sweep={"batch_size": batches, "dtype": formats},
            ),
            SuiteWorkload(
                task="image-generation",
                model="stable-diffusion-v1-5/stable-diffusion-v1-5",
                settings={**common, "steps": 20, "width": 512, "height": 512},
                sweep={"batch_size": (1, 2, 4, 8), "dtype": formats},
                inputs="picture-prompts",
                items=8,
            ),
        ]
    return Suite(name="gpu-sweep", workloads=tuple(lines), protocol=PROTOCOL)
