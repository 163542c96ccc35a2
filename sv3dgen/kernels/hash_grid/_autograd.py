"""The differentiable functions of the compiled hash encodings, around three sweeps over the points.

`gather` encodes, `scatter` makes the table's gradient and `contract` the points'; given a direction, each takes its
weights' derivatives along it instead. They are linear in all but the points, so the three are each other's derivatives:
that is how gradients of gradients come without further kernels. `sweeps` is the module that has them.
"""

from types import ModuleType

import torch
from torch import Tensor

from sv3dgen.kernels.hash_grid.encode import HashGridSpec


class Encode(torch.autograd.Function):
    """Table, points -> encoding."""

    @staticmethod
    def forward(ctx, table: Tensor, points: Tensor, spec: HashGridSpec, active: int, sweeps: ModuleType):
        ctx.save_for_backward(table, points)
        ctx.grid = spec, active, sweeps
        return sweeps.gather(points, None, table, spec, active)

    @staticmethod
    def backward(ctx, grad):
        table, points = ctx.saved_tensors
        grad_table = TableGradient.apply(points, grad, table.dtype, *ctx.grid) if ctx.needs_input_grad[0] else None
        grad_points = PointGradient.apply(table, points, grad, *ctx.grid) if ctx.needs_input_grad[1] else None
        return grad_table, grad_points, None, None, None


class TableGradient(torch.autograd.Function):
    """Points, gradient in the encoding -> gradient in the table."""

    @staticmethod
    def forward(ctx, points, grad, dtype, spec, active, sweeps):
        ctx.save_for_backward(points, grad)
        ctx.grid = spec, active, sweeps
        return sweeps.scatter(points, None, grad, spec, active).to(dtype)

    @staticmethod
    def backward(ctx, table):
        points, grad = ctx.saved_tensors
        grad_points = PointGradient.apply(table, points, grad, *ctx.grid) if ctx.needs_input_grad[0] else None
        grad_grad = Encode.apply(table, points, *ctx.grid) if ctx.needs_input_grad[1] else None
        return grad_points, grad_grad, None, None, None, None


class PointGradient(torch.autograd.Function):
    """Table, points, gradient in the encoding -> gradient in the points."""

    @staticmethod
    def forward(ctx, table, points, grad, spec, active, sweeps):
        ctx.save_for_backward(table, points, grad)
        ctx.grid = spec, active, sweeps
        return sweeps.contract(points, None, table, grad, spec, active)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, direction):
        table, points, grad = ctx.saved_tensors
        spec, active, sweeps = ctx.grid
        need_table, need_points, need_grad = ctx.needs_input_grad[:3]
        return (
            sweeps.scatter(points, direction, grad, spec, active).to(table.dtype) if need_table else None,
            sweeps.contract(points, direction, table, grad, spec, active) if need_points else None,
            sweeps.gather(points, direction, table, spec, active) if need_grad else None,
            None,
            None,
            None,
        )
