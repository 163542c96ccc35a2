"""Training of a decoder on what the model itself samples: its colors come out right where the views are blurred."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.domains import Between, IntervalOrNever, LearningRate, Seed, Steps
from sv3dgen.seeding import generator
from sv3dgen.sv3d.checkpoint.model_config import config_from_fields
from sv3dgen.sv3d.checkpoint.save import save_official
from sv3dgen.sv3d.memory import MemoryPlan
from sv3dgen.sv3d.model import SV3D
from sv3dgen.sv3d.training.muon import Muon
from sv3dgen.sv3d.training.norm import fast_norms
from sv3dgen.sv3d.training.start_weights import starting_parts
from sv3dgen.views.orbits import Orbit
from systems.training.batches import TrainingBatch
from systems.training.training_module import TrainingModule

LUMA = (0.299, 0.587, 0.114)  # of sRGB (ITU-R BT.601)


class Sv3dDecoder(TrainingModule):
    """The decoder alone, on latents that the whole model samples for the training orbits.

    A small model's views are means of what may be there, and a mean of latents is no latent of a mean picture: to it a
    decoder that has seen true latents only gives another hue. The loss takes color from the true frames, brightness
    from the decoder as it was: told the true brightness too, it draws blurred outlines. True latents are decoded too,
    so that the conditioning view stays sharp. The encoder stays, and with it all that was trained on its latents.
    """

    def __init__(
        self,
        *,
        model: Mapping[str, Any],
        weights: str | None,
        steps: Steps,
        sampler_steps: Annotated[int, Between(1, 1000)] = 2,
        frames_per_clip: Annotated[int, Between(1, 1000)] = 6,
        learning_rate: LearningRate = 1e-3,
        warmup_steps: IntervalOrNever = 50,
        seed: Seed = 0,
    ):
        """`weights` are of the whole model; `frames_per_clip` of the sampled frames are decoded in a step."""
        super().__init__(steps=steps, seed=seed, learning_rate=learning_rate, warmup_steps=warmup_steps)
        config = config_from_fields(model, "model")
        if weights is None:
            raise ValueError("weights=null: expected those of a model whose decoder is to be trained")
        if sampler_steps < 1 or not 1 <= frames_per_clip <= config.frames:
            raise ValueError(
                f"sampler_steps={sampler_steps}, frames_per_clip={frames_per_clip}: expected at least 1, and of the "
                f"frames at most {config.frames}"
            )
        parts, self.config, _ = starting_parts(weights, config, torch.Generator().manual_seed(seed))
        self.unet, self.vae, self.image_encoder = parts
        self.before = copy.deepcopy(self.vae)
        self.requires_grad_(False)
        self.vae.decoder.requires_grad_(True)
        self.sampler_steps, self.frames_per_clip = sampler_steps, frames_per_clip
        fast_norms(self.vae)
        self.train()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return Muon(self.trained_parameters(), lr=self.learning_rate)

    def losses(self, batch: TrainingBatch, step: int) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        stream = generator(self.seed, "decoder", step)
        frames = batch.orbits.frames.float() / 127.5 - 1
        clips, count = frames.shape[:2]
        chosen = torch.rand(clips, count, generator=stream).argsort(1)[:, : self.frames_per_clip].to(frames.device)
        which = torch.arange(clips, device=frames.device)[:, None], chosen
        sampled, truth = self.sampled(batch, frames)[which].flatten(0, 1), frames[which].flatten(0, 1)
        with torch.no_grad():
            was = self.before.decode(sampled).float()
            latents = self.before.encode(truth) * self.config.vae.scale_factor
        drawn = self.vae.decode(sampled).float()
        error = drawn - truth
        losses = {
            "hue": (error - luma(error)).square().mean(),
            "brightness": luma(drawn - was).square().mean(),
            "reconstruction": (self.vae.decode(latents).float() - truth).square().mean(),
        }
        return torch.stack(list(losses.values())).sum(), losses

    def sampled(
        self, batch: TrainingBatch, frames: Float[Tensor, "clips frames 3 height width"]
    ) -> Float[Tensor, "clips frames channels _ _"]:
        """What the model makes of the conditioning views, scaled; noise follows from the clips' places in the run."""
        plan = MemoryPlan(clips_together=len(frames))
        model = SV3D(self.unet, self.before, self.image_encoder, self.config, device=self.device, memory=plan)
        orbits = batch.orbits
        paths = [Orbit(*angles) for angles in zip(orbits.elevation_deg.cpu(), orbits.azimuth_deg.cpu(), strict=True)]
        noise = [model.draw_noise(self.seed + int(place), frames.shape[1]) for place in batch.positions]
        condition = model.condition(frames[:, -1], paths, torch.stack([picture for picture, _ in noise]))
        return model.sample(condition, torch.stack([latents for _, latents in noise]), steps=self.sampler_steps)

    def save_weights(self, path: Path) -> None:
        """Write the whole model, with its new decoder."""
        save_official(self.parts, self.config, path, write=self.global_rank == 0)


def luma(color: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images 1 height width"]:
    """The brightness of sRGB, or of a difference of such."""
    return torch.einsum("ichw,c->ihw", color, color.new_tensor(LUMA))[:, None]
