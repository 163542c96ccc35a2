"""Depth maps of several views fused into one truncated signed distance (Curless and Levoy 1996)."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from sv3dgen.stereo.plane_sweep import StereoDepths
from sv3dgen.views.cameras import Cameras, distance_to, project

log = logging.getLogger(__name__)

LEAST_SURE = 0.3  # confidence from which on a stereo depth takes part in the fusion
LEAST_PART = 0.005  # of the volume, from which on a loose part stays
TOLD_SHARE = 0.001  # of the volume, from which on it is told that parts were dropped
LEAST_PROVEN = 0.25  # of an opening, over which stereo has to prove free space for what no view sees below to be empty


@torch.no_grad()
def fuse_depth(
    points: Float[Tensor, "points 3"],
    cameras: Cameras,
    depth: Float[Tensor, "views height width"],
    *,
    truncation: float,
    stereo: StereoDepths | None = None,
    stereo_weight: float | int = 0.0,
) -> tuple[Float[Tensor, " points"], Bool[Tensor, " points"]]:
    """Mean truncated distance to the surface the views see (negative inside, at most +-truncation), and what was seen.

    `depth` is the distance from the camera along each pixel's ray, infinite where the view sees past the object. A view
    says nothing about points more than `truncation` behind its surface; points that no view speaks of are unseen, and
    inside. `stereo` adds depths that count `stereo_weight` times their confidence, where that is `LEAST_SURE` or more.
    """
    total, votes = (torch.zeros(len(points), device=points.device) for _ in range(2))
    _add(total, votes, points, cameras, depth, torch.ones_like(depth), truncation)
    if stereo is not None and stereo_weight > 0:
        sure = torch.where(stereo.confidence >= LEAST_SURE, stereo.confidence, 0.0) * stereo_weight
        _add(total, votes, points, stereo.cameras, stereo.depth, sure, truncation)
    return torch.where(votes > 0, total / votes.where(votes > 0, 1.0), -truncation), votes > 0


def _add(
    total: Tensor, votes: Tensor, points: Tensor, cameras: Cameras, depth: Tensor, weight: Tensor, truncation: float
) -> None:
    """Add what each view says, times its weight, and the weight."""
    for view in range(len(cameras)):
        camera = cameras[view : view + 1]
        image_points, _ = project(camera, points)
        col, row = image_points[0].floor().long().unbind(-1)
        in_frame = (col >= 0) & (col < camera.width_px) & (row >= 0) & (row < camera.height_px)
        col, row = col.clamp(0, camera.width_px - 1), row.clamp(0, camera.height_px - 1)
        ahead = (depth[view, row, col] - distance_to(points, cameras.positions[view])).clamp(max=truncation)
        counted = torch.where(in_frame & (ahead > -truncation), weight[view, row, col], 0.0)
        total += torch.where(counted > 0, ahead * counted, 0.0)
        votes += counted


def unseen_hollows(
    empty: Bool[Tensor, "x y z"],
    seen: Bool[Tensor, "x y z"],
    opening_cells: int,
    proven: Bool[Tensor, "x y z"] | None = None,
) -> Bool[Tensor, "x y z"]:
    """Unseen cells that water would reach, falling from empty ones and spreading, never rising. y points up.

    Nobody sees to the bottom of a cup from the side, but its opening has no surface that could be seen, and a solid
    body has one all around. Openings that a disc of radius `opening_cells` does not fit through are crevices, and stay
    shut. With `proven`, so do openings that have less than `LEAST_PROVEN` of their area under such cells.
    """
    unseen = ~seen
    rain = torch.zeros_like(empty)
    for level in range(empty.shape[1] - 2, -1, -1):
        rain[:, level] = unseen[:, level] & (empty[:, level + 1] | rain[:, level + 1])
    disc = torch.arange(-opening_cells, opening_cells + 1)
    disc = disc[:, None].square() + disc.square() <= opening_cells**2
    wide = torch.from_numpy(ndimage.binary_opening(rain.any(1).cpu().numpy(), disc.numpy())).to(rain.device)
    if proven is not None:
        wide = _proven_openings(wide, (proven & _over(rain)).any(1))
    rain &= wide[:, None]

    water = torch.zeros_like(empty)
    for level in range(empty.shape[1] - 2, -1, -1):
        wet = rain[:, level] | (unseen[:, level] & water[:, level + 1])
        pools = torch.from_numpy(ndimage.label(unseen[:, level].cpu().numpy())[0]).to(wet.device)
        water[:, level] = torch.isin(pools, pools[wet].unique())
    return water & unseen


def _over(rain: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """Cells that have rain somewhere below them in their column."""
    return rain.cumsum(1) > 0


def _proven_openings(wide: Bool[Tensor, "x z"], proven: Bool[Tensor, "x z"]) -> Bool[Tensor, "x z"]:
    """Those connected openings of which at least `LEAST_PROVEN` is proven."""
    labels, count = ndimage.label(wide.cpu().numpy(), np.ones((3, 3)))
    if count == 0:
        return wide
    shares = ndimage.mean(proven.cpu().numpy(), labels, range(1, count + 1))
    log.debug("openings over space that no view sees: %d, proven %s", count, ", ".join(f"{s:.0%}" for s in shares))
    kept = np.concatenate([[False], shares >= LEAST_PROVEN])
    return torch.from_numpy(kept[labels]).to(wide.device)


def largest_component(inside: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """The biggest 6-connected set of true cells."""
    labels, count = ndimage.label(inside.cpu().numpy())
    if count <= 1:
        return inside
    sizes = ndimage.sum_labels(inside.cpu().numpy(), labels, range(1, count + 1))
    return torch.from_numpy(labels == 1 + sizes.argmax()).to(inside.device)


def sizable_components(
    inside: Bool[Tensor, "x y z"], needed: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
) -> Bool[Tensor, "x y z"]:
    """The 26-connected sets of true cells that hold `LEAST_PART` of all of them or more, and the biggest one.

    Wires thinner than a cell break, and what hangs on them is no less seen for that: `needed` gets the number of each
    cell's set (0 for none), and which sets are kept (by number, from 0, none of them); it says which others have to
    stay. What is dropped is told.
    """
    labels, count = ndimage.label(inside.cpu().numpy(), np.ones((3, 3, 3)))
    if count <= 1:
        return inside
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = sizes >= LEAST_PART * sizes.sum()
    kept[sizes.argmax()], kept[0] = True, False
    if needed is not None and not kept[1:].all():
        kept |= needed(labels, kept)
        kept[0] = False
    dropped = sizes[~kept].sum() / sizes.sum()
    if dropped >= TOLD_SHARE:
        log.info(
            "surface: %d loose parts that %s dropped, %.1f %% of the volume in all; %d parts kept",
            count - kept.sum(),
            f"are under {100 * LEAST_PART:g} % of the volume" if needed is None else "no view needs",
            100 * dropped,
            kept.sum(),
        )
    return torch.from_numpy(kept[labels]).to(inside.device)
