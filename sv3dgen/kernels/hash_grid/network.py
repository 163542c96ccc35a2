"""A network of one hidden layer on the hash encoding: as one kernel where no gradient is asked for (pruning, pictures).

On a CPU encoding and network are one kernel, in which a block of points never leaves the first-level cache.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.kernels.backend import Backend, resolve
from sv3dgen.kernels.hash_grid.encode import HashGridSpec, hash_encode


def hash_network(
    points: Float[Tensor, "points 3"],
    table: Float[Tensor, "entries features"],
    spec: HashGridSpec,
    network: nn.Sequential,
    *,
    active_levels: int | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "points outputs"]:
    """`network(hash_encode(points, ...))` of a linear layer, ReLU and a linear layer, both with a bias.

    Differentiable where gradients are enabled; the two are separate then. Arguments and errors as in `hash_encode`.
    """
    if torch.is_grad_enabled() or resolve("hash_grid", backend, table.device) != "numba":
        return network(hash_encode(points, table, spec, active_levels=active_levels, backend=backend))
    from sv3dgen.kernels.hash_grid._network_numba import evaluate

    hidden, _, out = network
    active = spec.levels if active_levels is None else active_levels
    return evaluate(points, table, spec, active, (hidden.weight, hidden.bias), (out.weight, out.bias))
