"""Train a text-to-image diffusion model of handwritten digits, from nothing, on one core.

    python training/digits/train.py --out DIR

Writes the diffusers parts (``unet/``, ``text_encoder/``, ``tokenizer/``, ``scheduler/``) and
``training.json`` to DIR; ``export.py`` makes the shipped package data of them. The same seed gives the same
weights on the same machine and library versions. Needs torch, diffusers, transformers and scikit-learn.

The model: denoising diffusion (Ho et al. 2020) on 16x16 grey pixels with a cosine schedule (Nichol & Dhariwal
2021), v-prediction (Salimans & Ho 2022) and classifier-free guidance (Ho & Salimans 2022); a UNet with
cross-attention to the tokens of a small CLIP text transformer, both trained together.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from prompts import MAX_TOKENS, build_tokenizer, draw
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

ROOT = Path(__file__).resolve().parents[2]
SPLIT = ROOT / "src/joulemark/workloads/digits/split.json"
SIZE = 16
TEXT_WIDTH = 64


def generator_images() -> tuple[Tensor, list[int], list[str | None]]:
    """The generator's share of the data: images (n, 1, 8, 8) in [0, 1], their digits, and their ink.

    Ink is "bold" for the third of a digit's images with most ink, "thin" for that with least, None in
    between.
    """
    first, last = json.loads(SPLIT.read_text())["generator"]
    data = load_digits()
    images = torch.tensor(data.images[first:last] / 16, dtype=torch.float32).unsqueeze(1)
    digits = [int(d) for d in data.target[first:last]]
    amount = images.mean(dim=(1, 2, 3))
    ink: list[str | None] = [None] * len(digits)
    for digit in range(10):
        own = [i for i, d in enumerate(digits) if d == digit]
        own.sort(key=lambda i: float(amount[i]))
        third = len(own) // 3
        for i in own[:third]:
            ink[i] = "thin"
        for i in own[-third:]:
            ink[i] = "bold"
    return images, digits, ink


def enlarge(images: Tensor) -> Tensor:
    """Images (n, 1, 8, 8) in [0, 1] to (n, 1, 16, 16) in [-1, 1], each turned, scaled and shifted a little.

    One bilinear resampling does both; the small change of pose keeps a small data set from being learnt by
    heart.
    """
    n = len(images)
    angle = (torch.rand(n) * 2 - 1) * math.radians(8)
    scale = 1 + (torch.rand(n, 2) * 2 - 1) * 0.06
    shift = (torch.rand(n, 2) * 2 - 1) * 0.06
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = torch.stack([cos * scale[:, 0], -sin, shift[:, 0], sin, cos * scale[:, 1], shift[:, 1]], dim=1)
    grid = functional.affine_grid(rows.view(n, 2, 3), [n, 1, SIZE, SIZE], align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False) * 2 - 1


def build(vocabulary_size: int) -> tuple[UNet2DConditionModel, CLIPTextModel, DDIMScheduler]:
    """The untrained model: 0.8 million parameters in the UNet, 0.07 million in the text encoder."""
    unet = UNet2DConditionModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary_size,
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    scheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=True,
        clip_sample_range=1.0,
        set_alpha_to_one=True,
    )
    return unet, text_encoder, scheduler


def train(args: argparse.Namespace) -> None:
    """Train and write the folder ``args.out``."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)
    dice = np.random.default_rng(args.seed)
    started_s = time.perf_counter()

    images, digits, ink = generator_images()
    tokenizer = build_tokenizer()
    unet, text_encoder, scheduler = build(len(tokenizer))
    weights = [*unet.parameters(), *text_encoder.parameters()]
    smooth = [w.detach().clone() for w in weights]
    optimizer = torch.optim.AdamW(weights, lr=args.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    warm_up = max(1, args.steps // 30)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * step / args.steps)) + 0.01),
    )
    losses: list[float] = []
    print(
        f"{len(images)} images, {sum(w.numel() for w in weights):,} parameters, {args.steps} steps",
        flush=True,
    )

    for step in range(args.steps):
        chosen = dice.integers(len(images), size=args.batch)
        prompts = ["" if dice.random() < args.drop else draw(digits[i], ink[i], dice) for i in chosen]
        clean = enlarge(images[chosen])
        noise = torch.randn_like(clean)
        # One random offset, evenly spread times: every part of the schedule in every batch.
        share = (torch.rand(1) + torch.arange(args.batch) / args.batch) % 1
        times = (share * scheduler.config.num_train_timesteps).long()
        tokens = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        text = text_encoder(input_ids=tokens).last_hidden_state
        guess = unet(scheduler.add_noise(clean, noise, times), times, text).sample
        loss = functional.mse_loss(guess, scheduler.get_velocity(clean, noise, times))

        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        rate.step()
        with torch.no_grad():
            keep = min(0.998, (1 + step) / (10 + step))
            for average, weight in zip(smooth, weights, strict=True):
                average.lerp_(weight, 1 - keep)

        losses.append(loss.item())
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            recent = sum(losses[-100:]) / len(losses[-100:])
            print(f"step {step + 1:5d}  loss {recent:.4f}  {time.perf_counter() - started_s:6.0f} s", flush=True)

    with torch.no_grad():
        for average, weight in zip(smooth, weights, strict=True):
            weight.copy_(average)
    out: Path = args.out
    unet.save_pretrained(out / "unet", safe_serialization=True)
    text_encoder.save_pretrained(out / "text_encoder", safe_serialization=True)
    tokenizer.save_pretrained(out / "tokenizer")
    scheduler.save_pretrained(out / "scheduler")
    record = {
        "seed": args.seed,
        "steps": args.steps,
        "batch": args.batch,
        "learning_rate": args.learning_rate,
        "prompt_dropout": args.drop,
        "images": len(images),
        "parameters": {
            "unet": sum(w.numel() for w in unet.parameters()),
            "text_encoder": sum(w.numel() for w in text_encoder.parameters()),
        },
        "final_loss": sum(losses[-100:]) / len(losses[-100:]),
        "duration_s": round(time.perf_counter() - started_s, 1),
        "threads": 1,
        "processor": platform.machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
    }
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {out}", flush=True)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the text-to-image model of handwritten digits.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained parts")
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--drop", type=float, default=0.12, help="share of prompts dropped, for guidance")
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
