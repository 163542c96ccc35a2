"""Training of SV3D's picture autoencoder from nothing: for models whose sizes no released autoencoder has."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.domains import Between, IntervalOrNever, LearningRate, Magnitude, Seed, Steps
from sv3dgen.seeding import generator
from sv3dgen.sv3d.checkpoint.model_config import config_from_fields
from sv3dgen.sv3d.checkpoint.save import save_official
from sv3dgen.sv3d.network.vae import ImageVAE
from sv3dgen.sv3d.training.initialize import fresh_parts
from sv3dgen.sv3d.training.muon import Muon
from sv3dgen.sv3d.training.norm import fast_norms
from systems.training.batches import TrainingBatch
from systems.training.training_module import TrainingModule

_FIRST_LOG_VARIANCE = -8.0  # almost no noise: with more, brightness is learned and colors are drowned
_SPREAD_MEMORY = 0.95  # of the running mean that becomes the scale factor


class Sv3dAutoencoder(TrainingModule):
    """Frames through few latents and back: squared error, that of edges, and a weak pull to a normal distribution.

    There is neither a perceptual nor an adversarial term, whose networks would have to be downloaded. Absolute errors
    are not used: they are smallest for a color's median, which is gray, and stay there. The pull keeps latents smooth
    and bounded, as in latent diffusion (Rombach et al. 2022, section 3.1). Color, a twentieth of the pictures'
    variance, would be learned long after brightness: errors in it weigh more at first. The scale factor that is saved
    makes the latents' deviation 1.
    """

    spread: Tensor

    def __init__(
        self,
        *,
        model: Mapping[str, Any],
        steps: Steps,
        frames_per_clip: Annotated[int, Between(1, 1000)] = 4,
        learning_rate: LearningRate = 3e-3,
        warmup_steps: IntervalOrNever = 200,
        edge_weight: Magnitude = 1.0,
        color_weight: Magnitude = 3.0,
        pull_weight: Magnitude = 1e-5,
        seed: Seed = 0,
    ):
        """`model` holds the sizes of a whole model, whose other parts stay as they are made."""
        super().__init__(steps=steps, seed=seed, learning_rate=learning_rate, warmup_steps=warmup_steps)
        self.config = config_from_fields(model, "model")
        self.unet, self.vae, self.image_encoder = fresh_parts(self.config, torch.Generator().manual_seed(seed))
        self.vae.requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.frames_per_clip = frames_per_clip
        self.edge_weight, self.color_weight, self.pull_weight = edge_weight, color_weight, pull_weight
        with torch.no_grad():
            _begin_as_identity(self.vae)
            cast(Tensor, self.vae.quant_conv.bias)[self.config.vae.latent_channels :] = _FIRST_LOG_VARIANCE
        self.register_buffer("spread", torch.ones(()))  # running mean of the latents' mean square
        fast_norms(self.vae)
        self.train()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return Muon(self.trained_parameters(), lr=self.learning_rate)

    def color_weight_at(self, step: int) -> float:
        """A straight line down to 1 at the last step."""
        return 1 + (self.color_weight - 1) * (1 - min(1.0, step / self.steps))

    def losses(self, batch: TrainingBatch, step: int) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        stream = generator(self.seed, "autoencoder", step)
        pictures = self._pictures(batch, stream)
        mean, log_variance = self.vae.moments(pictures).float().chunk(2, dim=1)
        log_variance = log_variance.clamp(-30, 20)
        noise = torch.randn(mean.shape, generator=stream).to(mean.device)
        decoded = self.vae.decode((mean + noise * (0.5 * log_variance).exp()) * self.config.vae.scale_factor).float()
        error = decoded - pictures
        weighed = in_color(error, self.color_weight_at(step))
        losses = {
            "color": weighed.square().mean(),
            "squared": error.detach().square().mean(),
            "edges": edges(weighed),
            "pull": 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(),
        }
        loss = losses["color"] + self.edge_weight * losses["edges"] + self.pull_weight * losses["pull"]
        self.spread.lerp_(mean.detach().square().mean(), 1 - _SPREAD_MEMORY)
        return loss, {"loss": loss, **losses}

    def _pictures(self, batch: TrainingBatch, generator: torch.Generator) -> Float[Tensor, "images 3 height width"]:
        """Some frames of each clip, in [-1, 1]."""
        clips, frames = batch.orbits.frames.shape[:2]
        chosen = torch.rand(clips, frames, generator=generator).argsort(1)[:, : self.frames_per_clip]
        pictures = batch.orbits.frames[torch.arange(clips)[:, None], chosen].flatten(0, 1)
        return (pictures.float() / 127.5 - 1).to(memory_format=torch.channels_last)

    def save_weights(self, path: Path) -> None:
        """Write a whole model, of which only the autoencoder has learned anything."""
        scale = 1 / float(self.spread.sqrt())
        config = replace(self.config, vae=replace(self.config.vae, scale_factor=scale))
        save_official(self.parts, config, path, write=self.global_rank == 0)


def _begin_as_identity(vae: ImageVAE) -> None:
    """Have every residual block and the attention add nothing at first: what is seen gets through to the latents."""
    for layer in vae.modules():
        last = layer.conv2 if isinstance(layer, ResnetBlock2D) else None
        last = cast(nn.ModuleList, layer.to_out)[0] if isinstance(layer, Attention) else last
        if last is not None:
            nn.init.zeros_(cast(Tensor, last.weight))
            nn.init.zeros_(cast(Tensor, last.bias))


def in_color(error: Float[Tensor, "images 3 height width"], weight: float) -> Float[Tensor, "images 3 height width"]:
    """An error in RGB with its part that is no gray `weight` times as large."""
    return error + (weight - 1) * (error - error.mean(dim=1, keepdim=True))


def edges(error: Float[Tensor, "images 3 height width"]) -> Float[Tensor, ""]:
    """Mean squared difference between neighboring pixels' errors."""
    return error.diff(dim=-1).square().mean() + error.diff(dim=-2).square().mean()
