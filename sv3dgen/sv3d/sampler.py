"""The deterministic Euler sampler of EDM (Karras et al. 2022, algorithm 1 without its second-order correction)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.sv3d.config import SamplerConfig

Denoise = Callable[
    [Float[Tensor, "clips frames channels height width"], Float[Tensor, " clips"]],
    Float[Tensor, "clips frames channels height width"],
]
OnStep = Callable[[int, int], None]  # (steps done, all steps)


def sigma_schedule(config: SamplerConfig, steps: int) -> Float[Tensor, " levels"]:
    """`steps` noise levels from sigma_max down to sigma_min, and the final 0 (Karras et al. 2022, eq. 5); float32."""
    if steps < 1:
        raise InputError(f"steps={steps}: expected at least 1")
    top, bottom = config.sigma_max ** (1 / config.rho), config.sigma_min ** (1 / config.rho)
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    levels = (top + ramp * (bottom - top)) ** config.rho
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)]).float()


def starting_latents(
    noise: Float[Tensor, "clips frames channels height width"], sigmas: Float[Tensor, " levels"]
) -> Float[Tensor, "clips frames channels height width"]:
    """Unit noise scaled to the variance of noisy data at the highest level."""
    return noise * (1 + float(sigmas[0]) ** 2) ** 0.5


def euler(
    denoise: Denoise,
    latents: Float[Tensor, "clips frames channels height width"],
    sigmas: Float[Tensor, " levels"],
    on_step: OnStep | None = None,
) -> Float[Tensor, "clips frames channels height width"]:
    """Follow the probability flow from `latents` at `sigmas[0]` to `sigmas[-1]`, one call of `denoise` a step.

    A step of x along (x - x0) / sigma to the next sigma leaves the share next / sigma of x - x0. Written as that
    share, a step to 0 lands exactly on the estimate.
    """
    levels = sigmas.tolist()
    for step, (sigma, following) in enumerate(zip(levels[:-1], levels[1:], strict=True)):
        denoised = denoise(latents, latents.new_full((len(latents),), sigma))
        latents = torch.lerp(denoised, latents, following / sigma)
        if on_step is not None:
            on_step(step + 1, len(levels) - 1)
    return latents


def draw_noise(
    seed: int, picture_shape: tuple[int, ...], latents_shape: tuple[int, ...]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Unit noise for the conditioning picture, then for the latents: the official order.

    Drawn on the CPU in float32, so that a seed means the same on every device and in every precision.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(picture_shape, generator=generator), torch.randn(latents_shape, generator=generator)
