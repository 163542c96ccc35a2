"""Depth maps of several views fused into one truncated signed distance (Curless and Levoy 1996)."""

import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from sv3dgen.views.cameras import Cameras, project


@torch.no_grad()
def fuse_depth(
    points: Float[Tensor, "points 3"],
    cameras: Cameras,
    depth: Float[Tensor, "views height width"],
    *,
    truncation: float,
) -> tuple[Float[Tensor, " points"], Bool[Tensor, " points"]]:
    """Mean truncated distance to the surface the views see (negative inside, at most +-truncation), and what was seen.

    `depth` is the distance from the camera along each pixel's ray, infinite where the view sees past the object. A view
    says nothing about points more than `truncation` behind its surface; points that no view speaks of are unseen, and
    inside.
    """
    total, votes = (torch.zeros(len(points), device=points.device) for _ in range(2))
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
    return torch.where(votes > 0, total / votes.clamp(min=1), -truncation), votes > 0


def unseen_hollows(
    empty: Bool[Tensor, "x y z"], seen: Bool[Tensor, "x y z"], opening_cells: int
) -> Bool[Tensor, "x y z"]:
    """Unseen cells that water would reach, falling from empty ones and spreading, never rising. y points up.

    Nobody sees to the bottom of a cup from the side, but its opening has no surface that could be seen, and a solid
    body has one all around. Openings that a disc of radius `opening_cells` does not fit through are crevices, and stay
    shut.
    """
    unseen = ~seen
    rain = torch.zeros_like(empty)
    for level in range(empty.shape[1] - 2, -1, -1):
        rain[:, level] = unseen[:, level] & (empty[:, level + 1] | rain[:, level + 1])
    disc = torch.arange(-opening_cells, opening_cells + 1)
    disc = disc[:, None].square() + disc.square() <= opening_cells**2
    wide = torch.from_numpy(ndimage.binary_opening(rain.any(1).cpu().numpy(), disc.numpy())).to(rain.device)
    rain &= wide[:, None]

    water = torch.zeros_like(empty)
    for level in range(empty.shape[1] - 2, -1, -1):
        wet = rain[:, level] | (unseen[:, level] & water[:, level + 1])
        pools = torch.from_numpy(ndimage.label(unseen[:, level].cpu().numpy())[0]).to(wet.device)
        water[:, level] = torch.isin(pools, pools[wet].unique())
    return water & unseen


def largest_component(inside: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """The biggest 6-connected set of true cells."""
    labels, count = ndimage.label(inside.cpu().numpy())
    if count <= 1:
        return inside
    sizes = ndimage.sum_labels(inside.cpu().numpy(), labels, range(1, count + 1))
    return torch.from_numpy(labels == 1 + sizes.argmax()).to(inside.device)
