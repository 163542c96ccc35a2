"""Group normalization whose gradient is fast on a CPU in half precision."""

from types import MethodType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class _GroupNorm(torch.autograd.Function):
    """torch's own forward pass; the gradient in few passes over memory, with sums in float32.

    torch's gradient of pictures laid out channels last takes longer than all convolutions of the autoencoder together.
    With s = sum of the gradient dy over a group, weighted, t the same of dy times the normalized input, n the group's
    elements: dx = rstd (weight dy - s / n - normalized t / n), which is linear in dy and x with few coefficients.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        x = x.contiguous(memory_format=_layout(x))
        images, channels, pixels = len(x), x.shape[1], x[0, 0].numel()
        y, mean, rstd = torch.native_group_norm(x, weight, bias, images, channels, pixels, groups, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        (dy,) = gradients
        x, weight, mean, rstd = ctx.saved_tensors
        (images, channels), groups, space = x.shape[:2], mean.shape[1], tuple(range(2, x.dim()))
        dy = dy.contiguous(memory_format=_layout(x))
        total = dy.sum(space, dtype=torch.float32).view(images, groups, -1)
        with_x = (dy * x).sum(space, dtype=torch.float32).view(images, groups, -1)
        mean, rstd, scale = mean.float()[..., None], rstd.float()[..., None], weight.float().view(1, groups, -1)
        normalized = (with_x - mean * total) * rstd  # sum of dy times the normalized input, of each channel
        elements = scale.shape[-1] * x[0, 0].numel()
        s = (scale * total).sum(-1, keepdim=True) / elements
        t = (scale * normalized).sum(-1, keepdim=True) / elements
        of_dy, of_x, constant = (
            value.expand(images, groups, channels // groups).reshape(images, channels, *[1] * len(space)).to(x.dtype)
            for value in (scale * rstd, -rstd.square() * t, rstd * (rstd * mean * t - s))
        )
        dx = torch.addcmul(constant, dy, of_dy).addcmul_(x, of_x)
        return dx, normalized.sum(0).flatten().to(weight.dtype), total.sum(0).flatten().to(weight.dtype), None, None


def _layout(x: Tensor) -> torch.memory_format:
    """Channels last where it is that way already."""
    return torch.channels_last if x.dim() == 4 and x.stride(1) == 1 else torch.contiguous_format


def fast_norms(module: nn.Module) -> None:
    """Let every group normalization of a module use it; values and names of parameters stay what they are."""
    for layer in module.modules():
        if isinstance(layer, nn.GroupNorm):
            layer.forward = MethodType(_normalized, layer)  # type: ignore[method-assign]


def _normalized(
    self: nn.GroupNorm, x: Float[Tensor, "images channels *space"]
) -> Float[Tensor, "images channels *space"]:
    if not torch.is_grad_enabled():
        return nn.GroupNorm.forward(self, x)
    weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
    return _GroupNorm.apply(x, weight, bias, self.num_groups, self.eps)  # type: ignore[return-value]
