"""Free space that confident depths prove: what lies in front of a seen surface is empty."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.stereo.plane_sweep import StereoDepths
from sv3dgen.views.cameras import distance_to, project
from sv3dgen.views.visual_hull import voxel_centers

LEAST_CONFIDENCE = 1.0  # summed over the views that see through a voxel: one that is quite sure, or several


@torch.no_grad()
def carved(
    hull: Bool[Tensor, "x y z"], aabb: Float[Tensor, "2 3"], depths: StereoDepths, *, margin: float
) -> Bool[Tensor, "x y z"]:
    """The hull less what confident depths see through.

    A voxel more than `margin` in front of a depth is seen through, one within `margin` of it is on a surface; each view
    counts with its confidence. A voxel goes where those who see through it sum up to `LEAST_CONFIDENCE`, and to more
    than those who see a surface there.
    """
    points = voxel_centers(hull, aabb)
    through, surface = torch.zeros(len(points)), torch.zeros(len(points))
    cameras = depths.cameras
    for view in range(len(cameras)):
        places, z = project(cameras[view : view + 1], points)
        col, row = places[0].floor().long().unbind(-1)
        inside = (z[0] > 0) & (col >= 0) & (row >= 0) & (col < cameras.width_px) & (row < cameras.height_px)
        col, row = col.clamp(0, cameras.width_px - 1), row.clamp(0, cameras.height_px - 1)
        ahead = depths.depth[view, row, col] - distance_to(points, cameras.positions[view])
        sure = depths.confidence[view, row, col] * inside
        through += torch.where(ahead > margin, sure, 0.0)
        surface += torch.where(ahead.abs() <= margin, sure, 0.0)
    kept = hull.clone()
    kept[hull] = (through < LEAST_CONFIDENCE) | (through <= surface)
    return kept
