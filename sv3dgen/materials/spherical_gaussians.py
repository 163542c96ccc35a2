"""Spherical Gaussians: lobes on the unit sphere with closed-form integrals.

G(x; mu, s, a) = a exp(s (mu . x - 1)) with unit axis mu, sharpness s >= 0 and amplitude a (paper, section 4).
Irradiance here is divided by pi, so that a sphere of constant radiance 1 gives 1, and color = albedo * irradiance.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

COSINE_SHARPNESS, COSINE_AMPLITUDE = 2.133, 1.17  # the lobe closest to max(n . x, 0) (paper, section 4)
HILL_MIN_SHARPNESS = 1.0  # blunter, Hill's fit soon turns negative: it was made for narrower lobes


def fibonacci_axes(count: int) -> Float[Tensor, "count 3"]:
    """Unit vectors spread evenly over the sphere on a spiral around +Y, from the top down."""
    index = torch.arange(count, dtype=torch.float64)
    y = 1 - (2 * index + 1) / count
    radius, angle = torch.sqrt(1 - y * y), index * math.pi * (3 - math.sqrt(5))
    return torch.stack([radius * angle.cos(), y, radius * angle.sin()], dim=-1).float()


def covering_sharpness(axes: Float[Tensor, "lobes 3"]) -> float:
    """The sharpness at which equal lobes on these axes blend into one another; 12.23 for 24 Fibonacci axes.

    ln(0.65) count / (m - 1), m the least cosine between the first axis and its half vectors with the others.
    A lone lobe has nothing to blend with and gets the cosine's sharpness.
    """
    if len(axes) == 1:
        return COSINE_SHARPNESS
    halfway = torch.nn.functional.normalize(axes + axes[:1], dim=-1)
    return math.log(0.65) * len(axes) / ((halfway @ axes[0]).min().item() - 1)


def evaluate(
    directions: Float[Tensor, "directions 3"],
    axes: Float[Tensor, "lobes 3"],
    sharpness: Float[Tensor, " lobes"],
    amplitude: Float[Tensor, " lobes"],
) -> Float[Tensor, "lobes directions"]:
    """Each lobe's value in each unit direction."""
    return amplitude[:, None] * torch.exp(sharpness[:, None] * (axes @ directions.T - 1))


def integral(sharpness: Float[Tensor, "*shape"], amplitude: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Integral of a lobe over the sphere; sharpness > 0."""
    return -2 * math.pi * amplitude * torch.expm1(-2 * sharpness) / sharpness


def product_integral(
    cosine: Float[Tensor, "*#shape"],
    sharpness_1: Float[Tensor, "*#shape"],
    sharpness_2: Float[Tensor, "*#shape"],
) -> Float[Tensor, "..."]:
    """Integral over the sphere of the product of two lobes of amplitude 1 whose axes have this cosine.

    2 pi exp(d - m) (1 - exp(-2 d)) / d with d = |s1 mu1 + s2 mu2| and m = s1 + s2. The paper prints m = s1 - s2,
    which is a slip. The exponent d - m is rearranged so that nothing cancels for sharp lobes; small d, where opposite
    lobes are nearly equal, go by the series of 4 pi exp(-m) sinh(d) / d.
    """
    m, twice = sharpness_1 + sharpness_2, 2 * sharpness_1 * sharpness_2
    square = sharpness_1**2 + sharpness_2**2 + twice * cosine
    series = 1 + square / 6 * (1 + square / 20 * (1 + square / 42))
    d = torch.sqrt(square.clamp_min(0.25))
    closed = -torch.exp(twice * (cosine - 1) / (d + m)) * torch.expm1(-2 * d) / d
    return 2 * math.pi * torch.where(square < 0.25, 2 * torch.exp(-m) * series, closed)


def irradiance_product(
    normals: Float[Tensor, "points 3"],
    axes: Float[Tensor, "lobes 3"],
    sharpness: Float[Tensor, " lobes"],
    amplitude: Float[Tensor, " lobes"],
) -> Float[Tensor, " points"]:
    """Irradiance over pi at unit normals, with the cosine as a lobe: the paper's L(n). Amplitudes must not be negative.

    Differentiable once in every argument. Costs one pass over lobes x points each way; the plain form is
    `product_integral`. 24 unit lobes on Fibonacci axes give 1.06, the exact cosine 0.98.
    """
    return _IrradianceProduct.apply(normals, axes, sharpness, amplitude)


class _IrradianceProduct(torch.autograd.Function):
    """sum_k a_k f(s_k, mu_k . n), f(s, x) = (2 C / d) (exp(d - m) - exp(-d - m)), d^2 = s^2 + c^2 + 2 s c x, m = s + c.

    C and c are the amplitude and sharpness of the cosine's lobe. The forward pass keeps f and (df/dd) / d, both lobes x
    points; everything backward is then one multiplication and a few thin matrix products.
    """

    @staticmethod
    def forward(ctx, normals, axes, sharpness, amplitude):
        c = COSINE_SHARPNESS
        s = sharpness[:, None]
        # Opposite lobes of equal sharpness meet at d = 0, where f is flat: below 0.02 it changes by less than 1e-4.
        d = torch.addmm(s * s + c * c, 2 * c * s * axes, normals.T).clamp_min_(4e-4).sqrt_()
        inverse = d.reciprocal()
        rising = d.sub_(s + c).exp_()
        falling = torch.exp(-2 * (s + c)) / rising
        lobe = (rising - falling).mul_(inverse).mul_(2 * COSINE_AMPLITUDE)
        slope = rising.add_(falling).mul_(2 * COSINE_AMPLITUDE).sub_(lobe).mul_(inverse).mul_(inverse)
        ctx.save_for_backward(normals, axes, sharpness, amplitude, lobe, slope)
        return amplitude @ lobe

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        normals, axes, sharpness, amplitude, lobe, slope = ctx.saved_tensors
        c = COSINE_SHARPNESS
        pull = slope * gradient
        toward = pull @ normals
        leverage = (amplitude * sharpness * c)[:, None]
        plain = lobe @ gradient
        from_normals = pull.T @ (leverage * axes)
        along = (axes * toward).sum(-1)
        from_sharpness = amplitude * (sharpness * pull.sum(-1) + c * along - plain)
        return from_normals, leverage * toward, from_sharpness, plain


def irradiance_hill(
    normals: Float[Tensor, "points 3"],
    axes: Float[Tensor, "lobes 3"],
    sharpness: Float[Tensor, " lobes"],
    amplitude: Float[Tensor, " lobes"],
    clip: bool = True,
) -> Float[Tensor, " points"]:
    """Irradiance over pi by Hill's fitted curve (c0 = 0.36), as the authors' code has it.

    That code clips mu . n at 0 before the curve, so a lobe behind the surface still lights it as one on the horizon
    does: 24 unit lobes give 1.19 instead of 0.98. `clip=False` is the fit as published (0.99). Sharpness is taken as at
    least `HILL_MIN_SHARPNESS`.
    """
    s = sharpness.clamp_min(HILL_MIN_SHARPNESS)[:, None]
    once, twice = torch.exp(-s), torch.exp(-2 * s)
    scale = 1 + 2 * twice - 1 / s
    bias = (once - twice) / s - twice
    root = torch.sqrt(1 - scale)
    cosine = axes @ normals.T
    if clip:
        cosine = cosine.clamp_min(0)
    near, bend = 0.36 * cosine, root / (4 * 0.36)
    curve = torch.where(near.abs() <= bend, (near + bend) ** 2 / root, cosine.clamp(0, 1))
    return (amplitude[:, None] * 2 / s * (scale * curve + bias)).sum(0)
