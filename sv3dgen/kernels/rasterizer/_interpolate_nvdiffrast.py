"""Interpolation by nvdiffrast (Nvidia Source Code License: non-commercial use only), behind the call of `interpolate`.

The list of pixels is one row of a picture to it. Of a pixel's barycentric coordinates it takes those of the first two
corners, and what is missing to 1 is the third: the same values for coordinates that sum to one, and the same gradients
in whatever such coordinates follow from.
"""

import nvdiffrast.torch as dr  # pyright: ignore[reportMissingImports]  (an accelerator)
import torch
from torch import Tensor

from sv3dgen.kernels.rasterizer._rasterize_nvdiffrast import plain_faces


def interpolate(attributes: Tensor, faces: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Vertex attributes [pixels, channels] in their dtype; differentiable in both floats."""
    if len(face_index) == 0:
        return barycentric.new_zeros(0, attributes.shape[1], dtype=attributes.dtype)
    first, second, _ = barycentric.float().unbind(1)
    number = (face_index + 1).float()
    picture = torch.stack([first, second, torch.zeros_like(first), number], dim=1)[None, None]
    values, _ = dr.interpolate(attributes.float()[None].contiguous(), picture.contiguous(), plain_faces(faces))
    return values[0, 0].to(attributes.dtype)
