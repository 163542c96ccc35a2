"""From the network's output to an estimate of the clean latents: preconditioning and classifier-free guidance.

sigma is the standard deviation of the noise on clean latents x0, so a noisy x is x0 + sigma n. The network predicts
v = (n - sigma x0) / sqrt(sigma^2 + 1) (Karras et al. 2022, section 5, with SVD's noise conditioning). Everything here
is differentiable, so training and score distillation call the same functions as the sampler.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from sv3dgen.sv3d.conditioning import Condition, joined


@runtime_checkable
class Network(Protocol):
    """What `VideoUNet` is to the sampler; clips are the outer index of images."""

    def __call__(
        self,
        latents: Float[Tensor, "images in_channels height width"],
        c_noise: Float[Tensor, " clips"],
        context: Float[Tensor, "clips 1 context_dim"],
        vector: Float[Tensor, "images vector_dim"],
        *,
        frames: int,
    ) -> Float[Tensor, "images out_channels height width"]: ...


@dataclass(frozen=True)
class Scalings:
    """Factors at a noise level: x0 = out * network(input * x, noise) + skip * x."""

    skip: Float[Tensor, " clips"]
    out: Float[Tensor, " clips"]
    input: Float[Tensor, " clips"]
    noise: Float[Tensor, " clips"]  # not a factor: the number that tells the network the noise level


def scalings(sigma: Float[Tensor, " clips"]) -> Scalings:
    """Of v-prediction with data of unit variance; `noise` is ln(sigma) / 4."""
    total = sigma**2 + 1
    return Scalings(skip=1 / total, out=-sigma * total.rsqrt(), input=total.rsqrt(), noise=0.25 * sigma.log())


def predict_v(
    network: Network,
    latents: Float[Tensor, "clips frames channels height width"],
    sigma: Float[Tensor, " clips"],
    condition: Condition,
) -> Float[Tensor, "clips frames channels height width"]:
    """The network's v for noisy latents, one noise level for each clip; in the dtype of `latents`."""
    frames, factors = condition.frames, scalings(sigma)
    noisy = rearrange(latents * _per_clip(factors.input), "clips frames c h w -> (clips frames) c h w")
    picture = repeat(condition.image_latents, "clips c h w -> (clips frames) c h w", frames=frames)
    vector = rearrange(condition.vector, "clips frames dim -> (clips frames) dim")
    v = network(torch.cat([noisy, picture], dim=1), factors.noise, condition.context, vector, frames=frames)
    return rearrange(v, "(clips frames) c h w -> clips frames c h w", frames=frames).to(latents.dtype)


def denoise(
    network: Network,
    latents: Float[Tensor, "clips frames channels height width"],
    sigma: Float[Tensor, " clips"],
    condition: Condition,
) -> Float[Tensor, "clips frames channels height width"]:
    """The estimate of x0 under one condition."""
    factors = scalings(sigma)
    v = predict_v(network, latents, sigma, condition)
    return _per_clip(factors.out) * v + _per_clip(factors.skip) * latents


def denoise_halves(
    network: Network,
    latents: Float[Tensor, "clips frames channels height width"],
    sigma: Float[Tensor, " clips"],
    condition: Condition,
    *,
    together: bool = True,
) -> tuple[
    Float[Tensor, "clips frames channels height width"],
    Float[Tensor, "clips frames channels height width"],
]:
    """x0 without and with the picture: one call of twice the size (as official), or two calls that need less memory."""
    without = condition.unconditional()
    if together:
        both = denoise(network, latents.repeat(2, 1, 1, 1, 1), sigma.repeat(2), joined([without, condition]))
        unconditional, conditional = both.chunk(2)
        return unconditional, conditional
    return denoise(network, latents, sigma, without), denoise(network, latents, sigma, condition)


def denoise_guided(
    network: Network,
    latents: Float[Tensor, "clips frames channels height width"],
    sigma: Float[Tensor, " clips"],
    condition: Condition,
    scale: Float[Tensor, " frames"],
    *,
    together: bool = True,
) -> Float[Tensor, "clips frames channels height width"]:
    """x0 guided towards the condition, each frame by its own scale; 1 is the conditional estimate itself."""
    if (scale == 1).all():  # half the work
        return denoise(network, latents, sigma, condition)
    unconditional, conditional = denoise_halves(network, latents, sigma, condition, together=together)
    return torch.lerp(unconditional, conditional, scale.to(latents)[:, None, None, None])


def _per_clip(factor: Float[Tensor, " clips"]) -> Float[Tensor, "clips 1 1 1 1"]:
    return factor[:, None, None, None, None]
