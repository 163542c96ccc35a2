"""The differentiable functions of compiled compositing; `compiled` is the module with the passes over the samples."""

from types import ModuleType

import torch
from torch import Tensor


class RenderWeights(torch.autograd.Function):
    """Density, delta, offsets -> weights; the gradient goes to the density."""

    @staticmethod
    def forward(ctx, density: Tensor, delta: Tensor, offsets: Tensor, compiled: ModuleType):
        weights, behind = compiled.weights(density, delta, offsets)
        ctx.save_for_backward(delta, offsets, weights, behind)
        ctx.compiled = compiled
        return weights.to(density.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        delta, offsets, weights, behind = ctx.saved_tensors
        return ctx.compiled.weights_backward(grad, delta, offsets, weights, behind).to(grad.dtype), None, None, None


class Accumulate(torch.autograd.Function):
    """Weights, values, offsets -> sums along the rays."""

    @staticmethod
    def forward(ctx, weights: Tensor, values: Tensor, offsets: Tensor, compiled: ModuleType):
        ctx.save_for_backward(weights, values, offsets)
        ctx.compiled = compiled
        return compiled.accumulate(weights, values, offsets).to(values.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        weights, values, offsets = ctx.saved_tensors
        grad_weights, grad_values = ctx.compiled.accumulate_backward(weights, values, offsets, grad)
        return grad_weights.to(weights.dtype), grad_values.to(values.dtype), None, None
