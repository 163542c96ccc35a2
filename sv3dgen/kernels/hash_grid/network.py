"""A network of one hidden layer on the hash encoding.

On a CPU encoding and network are one kernel, in which a block of points never leaves the first-level cache.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sv3dgen.kernels.backend import Backend, resolve
from sv3dgen.kernels.hash_grid.encode import HashGridSpec, hash_encode


def hash_network(
    points: Float[Tensor, "points 3"],
    table: Float[Tensor, "entries features"],
    spec: HashGridSpec,
    network: nn.Sequential,
    *,
    active_levels: int | None = None,
    twice: bool = False,
    backend: Backend = "auto",
) -> Float[Tensor, "points outputs"]:
    """`network(hash_encode(points, ...))` of a linear layer, ReLU and a linear layer, both with a bias.

    Differentiable in the points, the table and the network, and once more where `twice` asks for it: then the two are
    separate, on a CPU too. Arguments and errors as in `hash_encode`; numba computes in float32.
    """
    if twice or resolve("hash_grid", backend, table.device) != "numba":
        return network(hash_encode(points, table, spec, active_levels=active_levels, backend=backend))
    hidden, _, out = network
    active = spec.levels if active_levels is None else active_levels
    return _Network.apply(points, table, hidden.weight, hidden.bias, out.weight, out.bias, spec, active)


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        table: Tensor,
        weight: Tensor,
        bias: Tensor,
        out_weight: Tensor,
        out_bias: Tensor,
        spec: HashGridSpec,
        active: int,
    ) -> Tensor:
        from sv3dgen.kernels.hash_grid._network_numba import evaluate

        keep = any(ctx.needs_input_grad)
        found, encoded = evaluate(points, table, spec, active, (weight, bias), (out_weight, out_bias), keep)
        if keep:
            ctx.save_for_backward(points, table, weight, bias, out_weight, encoded)
            ctx.spec, ctx.active = spec, active
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from sv3dgen.kernels.hash_grid._network_numba import evaluate_backward
        from sv3dgen.kernels.hash_grid._numba import contract, scatter

        points, table, weight, bias, out_weight, encoded = ctx.saved_tensors
        spec, active = ctx.spec, ctx.active
        to_encoded, *to_layers = evaluate_backward(encoded, (weight, bias), out_weight, grad, spec.channels)
        to_points = to_table = None
        if ctx.needs_input_grad[0]:
            to_points = contract(points, None, table, to_encoded, spec, active)
        if ctx.needs_input_grad[1]:
            to_table = scatter(points, None, to_encoded, spec, active)
        return to_points, to_table, *to_layers, None, None
