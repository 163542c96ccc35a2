"""Where a plane sweep has to look: which views, which planes, and which of them a pixel's ray meets inside the hull."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.views.cameras import Cameras

NARROWEST_DEG, WIDEST_DEG = 3.0, 50.0  # between the viewing directions of a view and its source


def hull_span(
    hull: Bool[Tensor, "x y z"],
    aabb: Float[Tensor, "2 3"],
    cameras: Cameras,
    masks: Tensor,
    z: Float[Tensor, " planes"],
) -> tuple[Int[Tensor, "views height width"], Int[Tensor, "views height width"]]:
    """The first and the last plane on which each pixel of the masks meets the hull, and one more on either side.

    A pixel that never meets it gets all planes.
    """
    first, last = torch.zeros(masks.shape, dtype=torch.int32), torch.full(masks.shape, len(z) - 1, dtype=torch.int32)
    origins, directions = cameras.rays()
    along = pixel_directions(cameras)
    planes = torch.arange(len(z), dtype=torch.int32)
    size = torch.tensor(hull.shape)
    for view in range(len(cameras)):
        inside = masks[view]
        reach = z[:, None] * along[view][inside]
        cells = origins[view][inside] + reach[..., None] * directions[view][inside]
        cells = ((cells - aabb[0]) / (aabb[1] - aabb[0]) * size).long()
        met = ((cells >= 0) & (cells < size)).all(-1)
        x, y, k = cells.clamp_min(0).minimum(size - 1).unbind(-1)
        met &= hull[x, y, k]
        any_met = met.any(0)
        low = torch.where(met, planes[:, None], len(z)).amin(0) - 1
        high = torch.where(met, planes[:, None], -1).amax(0) + 1
        first[view][inside] = torch.where(any_met, low.clamp_min(0), 0).int()
        last[view][inside] = torch.where(any_met, high.clamp_max(len(z) - 1), len(z) - 1).int()
    return first, last


def neighbors(cameras: Cameras, count: int, asked: Sequence[bool]) -> list[Tensor]:
    """Of each view the `count` views with the nearest directions that are apart enough to see depth.

    Views that are not `asked` have no sources, and are none.
    """
    cosine = (cameras.forward @ cameras.forward.t()).clamp(-1, 1)
    angle = torch.rad2deg(cosine.acos())
    usable = torch.tensor(asked)
    usable = usable[:, None] & usable
    angle = torch.where(usable & (angle >= NARROWEST_DEG) & (angle <= WIDEST_DEG), angle, torch.inf)
    order = angle.sort(1)
    return [index[value.isfinite()][:count] for index, value in zip(order.indices, order.values, strict=True)]


def pixel_directions(cameras: Cameras) -> Float[Tensor, "views height width"]:
    """Length of each pixel's ray per unit of depth along the viewing axis."""
    _, directions = cameras.rays()
    return 1 / torch.einsum("vhwi,vi->vhw", directions, cameras.forward)


def plane_homographies(
    cameras: Cameras, view: int, others: Int[Tensor, " sources"], z: Float[Tensor, " planes"]
) -> Float[Tensor, "planes sources 3 3"]:
    """From pixels (column, row, 1) of a view to those of others by the planes at depths `z` along its axis."""
    matrix = torch.linalg.inv(cameras.camera_to_world[others].double())[:, :3]
    focal, center = cameras.focal_px.double(), cameras.center_px.double()
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    calibration = torch.zeros(len(cameras), 3, 3, dtype=torch.float64)
    calibration[:, 0, 0], calibration[:, 1, 1], calibration[:, 2, 2] = focal[:, 0], focal[:, 1], 1
    calibration[:, :2, 2] = center
    to_image = calibration[others] @ flip @ matrix
    pose = cameras.camera_to_world[view].double()
    to_direction = pose[:3, :3] @ flip @ torch.linalg.inv(calibration[view])
    turned = to_image[:, :, :3] @ to_direction
    moved = to_image[:, :, :3] @ pose[:3, 3] + to_image[:, :, 3]
    shift = torch.zeros_like(turned)
    shift[:, :, 2] = moved
    return (z.double()[:, None, None, None] * turned + shift).float()
