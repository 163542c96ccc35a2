"""The visual hull: which part of space no silhouette rules out, as voxels, decided by votes of the views."""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.views.cameras import Cameras

SCENE_HALF_SIZE = 0.62  # the box that every object lies in (docs/method.md)
OBJECT_ALPHA = 0.2  # low, so that parts thinner than a pixel count as object


def visual_hull(
    masks: Bool[Tensor, "views height width"],
    cameras: Cameras,
    *,
    resolution: int = 128,
    aabb: Float[Tensor, "2 3"] | None = None,
    miss_votes: int = 0,
    dilate_px: int | None = None,
) -> Bool[Tensor, "x y z"]:
    """Voxels of the box `aabb` (min, max corner; default +-0.62) whose center lies in all silhouettes but `miss_votes`.

    With exact masks 0 misses carve exactly; generated views disagree, and 2 or 3 of 21 keep their parts alive. Masks
    are dilated by `dilate_px`, by default half a voxel's diagonal, so that parts thinner than a voxel survive
    sampling at its center. Outside the frame counts as background, except in views whose mask is cut by the border.
    """
    missing = missing_views(masks, cameras, resolution=resolution, aabb=aabb, most=miss_votes, dilate_px=dilate_px)
    return missing <= miss_votes


def missing_views(
    masks: Bool[Tensor, "views height width"],
    cameras: Cameras,
    *,
    resolution: int,
    aabb: Float[Tensor, "2 3"] | None = None,
    most: int,
    within: Bool[Tensor, "x y z"] | None = None,
    dilate_px: int | None = None,
) -> Int[Tensor, "x y z"]:
    """In how many silhouettes the center of each voxel does not lie; `most` + 1 if in more than `most`.

    So it says outside `within`, where nothing is counted. All else is as in `visual_hull`.
    """
    box = scene_box() if aabb is None else aabb.double()
    matrices = _world_to_image(cameras)
    if dilate_px is None:
        dilate_px = _half_diagonal_px(cameras, box, resolution)
    grown = dilated(masks, dilate_px).contiguous().numpy().view(np.uint8)
    cell = ((box[1] - box[0]) / resolution).float()
    first = (box[0] + 0.5 * (box[1] - box[0]) / resolution).float()
    cut = touches_border(masks).any(1)
    asked = torch.ones((resolution,) * 3, dtype=torch.bool) if within is None else within
    return torch.from_numpy(
        _count_missing(grown, matrices.numpy(), cut.numpy(), first.numpy(), cell.numpy(), asked.numpy(), most)
    )


def scene_box() -> Float[Tensor, "2 3"]:
    """The default box: min and max corner."""
    half = torch.full((3,), SCENE_HALF_SIZE, dtype=torch.float64)
    return torch.stack([-half, half])


def hull_bounds(hull: Bool[Tensor, "x y z"], aabb: Float[Tensor, "2 3"] | None = None) -> Float[Tensor, "2 3"] | None:
    """Min and max corner of the box around the occupied voxels (their outer faces); None if there are none."""
    box = scene_box() if aabb is None else aabb
    if not hull.any():
        return None
    low, high = [], []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        occupied = hull.any(dim=others[1]).any(dim=others[0]).nonzero()[:, 0]
        low.append(occupied[0] / hull.shape[axis])
        high.append((occupied[-1] + 1) / hull.shape[axis])
    return box[0] + torch.stack([torch.stack(low), torch.stack(high)]).to(box) * (box[1] - box[0])


def voxel_centers(hull: Bool[Tensor, "x y z"], aabb: Float[Tensor, "2 3"] | None = None) -> Float[Tensor, "occupied 3"]:
    """World positions of the occupied voxels."""
    box = scene_box() if aabb is None else aabb
    size = torch.tensor(hull.shape, dtype=torch.float64)
    return (box[0] + (hull.nonzero() + 0.5) / size * (box[1] - box[0])).float()


def explained(
    masks: Bool[Tensor, "views height width"],
    cameras: Cameras,
    points: Float[Tensor, "points 3"],
) -> Float[Tensor, " views"]:
    """Share of each mask that the points cover when every one is drawn as 2x2 pixels; 1 for an empty mask.

    For the points of a hull: close to 1 where cameras and masks belong together.
    """
    covered = drawn(points, cameras) & masks
    return covered.flatten(1).sum(1) / masks.flatten(1).sum(1).clamp_min(1) + (~masks.flatten(1).any(1)).float()


def drawn(points: Float[Tensor, "points 3"], cameras: Cameras) -> Bool[Tensor, "views height width"]:
    """Where points appear when every one is drawn as 2x2 pixels, without regard to what is in front."""
    stained = _splat(points.contiguous().numpy(), _world_to_image(cameras).numpy(), cameras.height_px, cameras.width_px)
    return torch.from_numpy(stained).bool()


def dilated(masks: Bool[Tensor, "views height width"], radius_px: int) -> Bool[Tensor, "views height width"]:
    """Masks grown by `radius_px` in each axis (a square)."""
    if radius_px == 0:
        return masks
    grown = masks
    for axis in (1, 2):  # one axis after the other gives the square
        source = grown
        length = masks.shape[axis]
        grown = source.clone()
        for shift in range(1, min(radius_px, length - 1) + 1):
            grown.narrow(axis, shift, length - shift).logical_or_(source.narrow(axis, 0, length - shift))
            grown.narrow(axis, 0, length - shift).logical_or_(source.narrow(axis, shift, length - shift))
    return grown


def touches_border(masks: Bool[Tensor, "views height width"]) -> Bool[Tensor, "views 4"]:
    """Whether each mask has pixels at the top, bottom, left and right border."""
    sides = (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1])
    return torch.stack([side.any(1) for side in sides], dim=1)


def _half_diagonal_px(cameras: Cameras, box: Float[Tensor, "2 3"], resolution: int) -> int:
    """Half the diagonal of a voxel's face, seen from the typical camera, less the half pixel that rounding forgives."""
    distance = (cameras.positions.double() - box.mean(0)).norm(dim=-1)
    voxel_px = cameras.focal_px.mean(1).double() * float((box[1] - box[0]).max()) / resolution / distance
    return max(1, math.ceil(float(voxel_px.median()) / math.sqrt(2) - 0.5))


def _world_to_image(cameras: Cameras) -> Float[Tensor, "views 3 4"]:
    """Matrices that give (column * depth, row * depth, depth) in pixels of a world point, float32."""
    view = torch.linalg.inv(cameras.camera_to_world.double())[:, :3]
    x, y, depth = view[:, 0], -view[:, 1], -view[:, 2]
    focal, center = cameras.focal_px.double()[..., None], cameras.center_px.double()[..., None]
    column = focal[:, 0] * x + center[:, 0] * depth
    row = focal[:, 1] * y + center[:, 1] * depth
    return torch.stack([column, row, depth], dim=1).float().contiguous()


# One thread: 128^3 voxels take 50 ms so, and waking a pool costs more for the small hulls of a pose check.
@kernel(nogil=True)
@no_type_check
def _count_missing(masks, matrices, cut, first, cell, asked, most):
    views, height, width = masks.shape
    columns, rows, layers = asked.shape
    missing = np.full(asked.shape, most + 1, np.int16)
    for i in range(columns):
        x = first[0] + np.float32(i) * cell[0]
        for j in range(rows):
            y = first[1] + np.float32(j) * cell[1]
            for k in range(layers):
                if not asked[i, j, k]:
                    continue
                z = first[2] + np.float32(k) * cell[2]
                misses = 0
                for v in range(views):
                    m = matrices[v]
                    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
                    inside = False
                    in_frame = False
                    if depth > 0:
                        column = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / depth
                        row = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / depth
                        if column >= 0 and row >= 0 and column < width and row < height:
                            in_frame = True
                            inside = masks[v, int(row), int(column)] != 0
                    if not inside and (in_frame or not cut[v]):
                        misses += 1
                        if misses > most:
                            break
                missing[i, j, k] = misses
    return missing


@kernel(nogil=True)
@no_type_check
def _splat(points, matrices, height, width):
    views = matrices.shape[0]
    stained = np.zeros((views, height, width), dtype=np.uint8)
    for v in range(views):
        m = matrices[v]
        for p in range(points.shape[0]):
            x, y, z = points[p, 0], points[p, 1], points[p, 2]
            depth = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
            if depth > 0:
                # The four pixels whose centers surround the point.
                column = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / depth - np.float32(0.5)
                row = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / depth - np.float32(0.5)
                if column > -1 and row > -1 and column < width and row < height:
                    c0, r0 = int(np.floor(column)), int(np.floor(row))
                    for r in range(max(r0, 0), min(r0 + 2, height)):
                        for c in range(max(c0, 0), min(c0 + 2, width)):
                            stained[v, r, c] = 1
    return stained
