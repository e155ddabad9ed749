"""A diffusers pipeline for text to small pictures, straight in pixels: no image autoencoder.

Imported only by those who have diffusers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, ImagePipelineOutput, UNet2DConditionModel
from transformers import CLIPTextModel, PreTrainedTokenizerBase

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DigitsPipeline"]


class DigitsPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Text encoder, UNet in pixel space and scheduler, with classifier-free guidance."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        scheduler: DDIMScheduler,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler)

    def encode(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text of shape (prompts, tokens, width)."""
        tokens = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
        text: torch.Tensor = self.text_encoder(input_ids=tokens.input_ids.to(self.device)).last_hidden_state
        return text

    @torch.no_grad()  # type: ignore[untyped-decorator,unused-ignore]
    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        num_inference_steps: int = 20,
        guidance_scale: float = 3.0,
        latents: torch.Tensor | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Paint one picture a prompt.

        Args:
            prompt: one or several prompts.
            num_inference_steps: denoising steps.
            guidance_scale: weight of the prompt; 1 is none.
            latents: noise to start from, shape (prompts, channels, height, width); drawn if not given.
            generator: where noise is drawn from.
            output_type: "pil" or "np" (floats in [0, 1], shape (prompts, height, width, channels)).
        """
        from diffusers.utils.torch_utils import randn_tensor

        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        guided = guidance_scale > 1
        text = self.encode([""] * len(prompts) + prompts if guided else prompts)
        config = self.unet.config
        shape = (len(prompts), config.in_channels, config.sample_size, config.sample_size)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=self.device, dtype=self.unet.dtype)
        sample = latents.to(self.device, self.unet.dtype) * self.scheduler.init_noise_sigma

        self.scheduler.set_timesteps(num_inference_steps, device=self.device)
        for time in self.progress_bar(self.scheduler.timesteps):
            noisy = torch.cat([sample, sample]) if guided else sample
            predicted = self.unet(self.scheduler.scale_model_input(noisy, time), time, text).sample
            if guided:
                free, asked = predicted.chunk(2)
                predicted = free + guidance_scale * (asked - free)
            # The noise follows from the clipped picture, or guidance would burn it in, step by step.
            sample = self.scheduler.step(predicted, time, sample, use_clipped_model_output=True).prev_sample

        images: NDArray[np.float32] = ((sample.float().clamp(-1, 1) + 1) / 2).permute(0, 2, 3, 1).cpu().numpy()
        return ImagePipelineOutput(images=self.numpy_to_pil(images) if output_type == "pil" else images)
