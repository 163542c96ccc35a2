"""How much neighboring triangles agree: the mean of 1 - cosine between the normals of faces that share an edge.

The value and its gradient take the same walk over the mesh, so the numba version makes both at once.
"""

import torch
from jaxtyping import Float, Int
from numba import get_num_threads
from torch import Tensor

from sv3dgen.kernels._normal_consistency_numba import value_and_gradient
from sv3dgen.kernels.backend import Backend, resolve


def normal_consistency(
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    neighbors: Int[Tensor, "pairs 2"],
    *,
    smallest_share: float = 0.1,
    backend: Backend = "auto",
) -> Float[Tensor, ""]:
    """Mean of 1 - cosine over the pairs of faces `neighbors` (a pair with -1 is a border and counts nothing).

    Pairs with a face under `smallest_share` of the mean area are left out: the normal of a sliver turns wildly with
    tiny moves of its vertices, and marching tetrahedra make many. Differentiable in the vertices, once.
    """
    if resolve("normal_consistency", backend, vertices.device) == "torch":
        return _reference(vertices, faces, neighbors, smallest_share)
    return _NormalConsistency.apply(vertices.float(), faces.long(), neighbors.long(), smallest_share).to(vertices.dtype)


def _reference(vertices: Tensor, faces: Tensor, neighbors: Tensor, smallest_share: float) -> Tensor:
    a, b, c = (vertices.index_select(0, corner) for corner in faces.unbind(1))
    weighted = torch.linalg.cross(b - a, c - a)
    with torch.no_grad():
        twice_area = weighted.norm(dim=-1)
        large = twice_area > smallest_share * twice_area.sum() / max(len(faces), 1)
        first, second = neighbors.clamp_min(0).unbind(1)
        # Weighted, not picked out: the host would wait for a GPU to tell how many there are.
        counts = (neighbors >= 0).all(1) & large[first] & large[second]
    # The bound keeps the gradient (to the -3/2) of an empty face finite.
    normals = weighted * torch.rsqrt(weighted.square().sum(-1, keepdim=True).clamp_min(1e-24))
    cosine = (normals.index_select(0, first) * normals.index_select(0, second)).sum(-1)
    return ((1 - cosine) * counts).sum() / counts.sum().clamp_min(1)


class _NormalConsistency(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vertices, faces, neighbors, smallest_share):
        arrays = (tensor.detach().contiguous().numpy() for tensor in (vertices, faces, neighbors))
        value, gradient = value_and_gradient(*arrays, smallest_share, get_num_threads())
        ctx.save_for_backward(torch.from_numpy(gradient))
        return vertices.new_tensor(value)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        (gradient,) = ctx.saved_tensors
        return upstream * gradient, None, None, None
