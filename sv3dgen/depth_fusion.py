"""Depth maps of several views fused into one truncated signed distance (Curless and Levoy 1996)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.cameras import Cameras, project


@torch.no_grad()
def fuse_depth(
    points: Float[Tensor, "points 3"],
    cameras: Cameras,
    depth: Float[Tensor, "views height width"],
    *,
    truncation: float,
) -> Float[Tensor, " points"]:
    """Mean truncated distance to the surface the views see, negative inside, in [-truncation, truncation].

    `depth` is the distance from the camera along each pixel's ray, infinite where the view sees past the object. A view
    says nothing about points more than `truncation` behind its surface; what no view can speak of is inside.
    """
    total = torch.zeros(len(points))
    votes = torch.zeros(len(points))
    for view in range(len(cameras)):
        camera = cameras[view : view + 1]
        image_points, _ = project(camera, points)
        col, row = image_points[0].floor().long().unbind(-1)
        in_frame = (col >= 0) & (col < camera.width_px) & (row >= 0) & (row < camera.height_px)
        seen = depth[view, row.clamp(0, camera.height_px - 1), col.clamp(0, camera.width_px - 1)]
        ahead = (seen - (points - camera.positions).norm(dim=-1)).clamp(max=truncation)
        counted = in_frame & (ahead > -truncation)
        total += torch.where(counted, ahead, 0.0)
        votes += counted
    return torch.where(votes > 0, total / votes.clamp(min=1), -truncation)


def largest_component(inside: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """The biggest 6-connected set of true cells."""
    from scipy import ndimage

    labels, count = ndimage.label(inside.cpu().numpy())
    if count <= 1:
        return inside
    sizes = ndimage.sum_labels(inside.cpu().numpy(), labels, range(1, count + 1))
    return torch.from_numpy(labels == 1 + sizes.argmax()).to(inside.device)
