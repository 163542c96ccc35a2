"""The training loss: squared error of the denoised latents, weighted as v-prediction weighs it."""

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.sv3d.conditioning import Condition
from sv3dgen.sv3d.denoiser import Network, predict_v


def sigmas_from_normal(
    draws: Float[Tensor, "*draws"], *, mean: float | int = 0.7, std: float | int = 1.6
) -> Float[Tensor, "*draws"]:
    """Noise levels whose logarithm is normal (Karras et al. 2022, table 1), from standard normal draws.

    Draw one for each clip: all frames of a clip have the same noise level.
    """
    return torch.exp(mean + std * draws)


def v_weight(sigma: Float[Tensor, "*levels"]) -> Float[Tensor, "*levels"]:
    """Weight of a squared error in x0 that makes it a squared error in v."""
    return (sigma**2 + 1) / sigma**2


def frame_losses(
    network: Network,
    latents: Float[Tensor, "clips frames channels height width"],
    noise: Float[Tensor, "clips frames channels height width"],
    sigma: Float[Tensor, " clips"],
    condition: Condition,
) -> Float[Tensor, "clips frames"]:
    """Mean over channels and pixels of `v_weight(sigma) (denoised - latents)^2`, for every frame.

    `latents` are clean and scaled, `noise` is of unit variance. Computed as the error in v, which is the same number
    without the cancellation at small sigma.
    """
    level = sigma[:, None, None, None, None]
    target = (noise - level * latents) * (level**2 + 1).rsqrt()
    v = predict_v(network, latents + level * noise, sigma, condition)
    return (v - target).square().mean(dim=(2, 3, 4))
