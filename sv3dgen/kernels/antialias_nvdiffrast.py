"""Coverage by nvdiffrast (Nvidia Source Code License: non-commercial use only), behind `antialiased_coverage`.

The covered pixels are a picture of ones and zeros, which it antialiases: faces in front of one another do not differ in
it, so only the outline is treated, as ours is. Where an edge crosses between a covered centre and an empty one, both
mean the same. But it looks only at the edges of the face that the covered pixel shows, where we take the outermost of
all edges that cross: outlines of faces smaller than a pixel stay hard there in part. It allows for 1/16 px, by which
its own pictures are off, so pictures and coverage should both be its.
"""

import nvdiffrast.torch as dr
import torch
from torch import Tensor

from sv3dgen.kernels.rasterize import Fragments
from sv3dgen.kernels.rasterize_nvdiffrast import plain_faces, top_row_first


def coverage(fragments: Fragments, clip: Tensor, faces: Tensor) -> Tensor:
    """Coverage in [0, 1] by the mesh that `fragments` were made from; differentiable in `clip`."""
    covered = (fragments.face_index >= 0).to(torch.float32)
    if len(faces) == 0:
        return covered.to(clip.dtype)
    nothing = torch.zeros_like(covered)
    seen = torch.stack([nothing, nothing, fragments.depth, (fragments.face_index + 1).float()], dim=-1)
    smooth = dr.antialias(covered[..., None], seen, top_row_first(clip), plain_faces(faces))
    return smooth[..., 0].clamp(0, 1).to(clip.dtype)
