"""A reference view as the picture that SV3D is conditioned on: on white, framed as its own cameras would."""

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.views.cameras import look_at_origin, project
from sv3dgen.views.orbits import SV3D_DISTANCE
from sv3dgen.views.posed_views import PosedViews

_SUPERSAMPLE = 4


def framed_picture(view: PosedViews, size_px: int) -> Float[Tensor, "3 size size"]:
    """The one view, moved and scaled so that the plane through the origin falls where SV3D's camera would put it.

    sRGB in [0, 1]. Exact for views of SV3D's own cameras; of others only the perspective remains. What lies outside the
    view is white.
    """
    assert len(view) == 1
    size = _SUPERSAMPLE * size_px
    origin, depth = project(view.cameras, torch.zeros(1, 3))
    model = look_at_origin(torch.zeros(1), torch.zeros(1), distance=SV3D_DISTANCE, size_px=size)
    source_px = view.cameras.focal_px[0] / depth[0] * SV3D_DISTANCE / model.focal_px[0]  # for one pixel of ours
    ticks = torch.arange(size) + 0.5 - size / 2
    x = origin[0, 0, 0] + source_px[0] * ticks
    y = origin[0, 0, 1] + source_px[1] * ticks
    width, height = view.cameras.width_px, view.cameras.height_px
    rows, cols = torch.meshgrid(2 * y / height - 1, 2 * x / width - 1, indexing="ij")
    premultiplied = torch.cat([view.rgba[:, :3] * view.rgba[:, 3:], view.rgba[:, 3:]], dim=1)
    where = torch.stack([cols, rows], dim=-1)[None]
    sampled = torch.nn.functional.grid_sample(premultiplied, where, align_corners=False)
    small = torch.nn.functional.avg_pool2d(sampled, _SUPERSAMPLE)
    return (small[:, :3] + 1 - small[:, 3:])[0].clamp(0, 1)
