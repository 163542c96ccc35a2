"""A mesh out of a file of tensors that anybody may have written."""

import torch
from torch import Tensor

from sv3dgen.meshes.mesh import Mesh

FARTHEST = 1e3  # of a vertex from the origin: objects are about 1 across


def saved_mesh(vertices: object, faces: object) -> Mesh:
    """The mesh of two saved tensors. Raises ValueError where they are none.

    Compiled kernels follow the faces' numbers into memory without looking where they lead.
    """
    if not (isinstance(vertices, Tensor) and isinstance(faces, Tensor)):
        raise ValueError("expected a mesh's vertices and faces as tensors")
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not vertices.is_floating_point():
        raise ValueError(f"expected vertices of 3 coordinates, found {tuple(vertices.shape)}")
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"expected faces of 3 numbers of vertices, found {tuple(faces.shape)}")
    if not bool((vertices.abs() <= FARTHEST).all()):  # NaN is not
        raise ValueError(f"expected vertices within {FARTHEST:g} of the origin")
    if faces.numel() and not (0 <= int(faces.min()) and int(faces.max()) < len(vertices)):
        raise ValueError(f"expected faces of {len(vertices)} vertices")
    return Mesh(vertices, faces)
