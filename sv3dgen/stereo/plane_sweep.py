"""Depths of posed views by plane-sweep stereo, each with a confidence that it has to earn."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.domains import Between, Pixels, Share
from sv3dgen.kernels.plane_sweep.sweep import NOTHING, plane_sweep
from sv3dgen.stereo.sweep_planes import hull_span, neighbors, pixel_directions, plane_homographies
from sv3dgen.views.cameras import Cameras, project
from sv3dgen.views.certainty import certain
from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.visual_hull import voxel_centers

LUMA = (0.299, 0.587, 0.114)
FEWEST_VIEWS = 3
BEST = 2  # sources that a pixel's score is the mean of: what hides it from others does no harm


@dataclass(frozen=True)
class StereoDepths:
    """What pictures tell of depth, one map a view; of views that tell nothing the map is empty."""

    cameras: Cameras  # of the maps
    depth: Float[Tensor, "views height width"]  # along each pixel's ray, in world units; infinite where nothing is told
    confidence: Float[Tensor, "views height width"]  # 0 to 1; 0 where nothing is told

    def to(self, device: torch.device | str) -> "StereoDepths":
        return StereoDepths(self.cameras.to(device), self.depth.to(device), self.confidence.to(device))


class PlaneSweepStereo:
    """Sweeps `planes` planes, even in inverse depth, through the hull of each view, at `size_px` a side.

    A view is compared with the `sources` views that look from nearest by, in windows of 2 `radius_px` + 1 pixels. A
    depth's confidence is the score of its plane, times the square of the share of its sources that, asked for their own
    depth where they see the point, say the same within `tolerance` (in world units). Only photos that are fully trusted
    are asked: generated views disagree by more than the depth that is looked for.
    """

    def __init__(
        self,
        *,
        size_px: Pixels = 160,
        planes: Annotated[int, Between(8, 1024)] = 96,
        radius_px: Annotated[int, Between(1, 20)] = 2,
        sources: Annotated[int, Between(2, 16)] = 4,
        tolerance: Share = 0.0125,
    ) -> None:
        self.size_px, self.planes, self.radius_px = size_px, planes, radius_px
        self.sources, self.tolerance = sources, tolerance

    @torch.no_grad()
    def depths(self, views: PosedViews, hull: Bool[Tensor, "x y z"], aabb: Float[Tensor, "2 3"]) -> StereoDepths | None:
        """Depths of the views, on the CPU; None where fewer than three views can be asked, or the hull is empty."""
        asked = certain(views)
        if sum(asked) < FEWEST_VIEWS or not hull.any():
            return None
        small = views.resized(self.size_px)
        cameras, masks = small.cameras, small.masks
        gray = (small.rgba[:, :3].movedim(1, -1) @ small.rgba.new_tensor(LUMA)).contiguous()
        reach = project(cameras, voxel_centers(hull, aabb))[1]
        reach = reach[reach > 0]
        inverse = torch.linspace(float(1 / reach.min()), float(1 / reach.max()), self.planes)
        first, last = hull_span(hull, aabb, cameras, masks, 1 / inverse)
        chosen = neighbors(cameras, self.sources, asked)
        along = pixel_directions(cameras)
        depth = torch.full(masks.shape, torch.inf)
        score = torch.full(masks.shape, NOTHING)
        for view, others in enumerate(chosen):
            if len(others) < BEST:
                continue
            found = plane_sweep(
                gray[view],
                masks[view],
                gray[others],
                masks[others],
                plane_homographies(cameras, view, others, 1 / inverse),
                first[view],
                last[view],
                radius=self.radius_px,
                best=BEST,
            )
            z = 1 / (inverse[0] + found.plane * (inverse[1] - inverse[0]))
            depth[view] = torch.where(found.score > NOTHING, z * along[view], torch.inf)
            score[view] = found.score
        agreeing = agreement(cameras, depth, chosen, self.tolerance)
        return StereoDepths(cameras, depth, score.clamp(0, 1) * agreeing.square())


def agreement(
    cameras: Cameras, depth: Float[Tensor, "views height width"], chosen: list[Tensor], tolerance: float
) -> Float[Tensor, "views height width"]:
    """The share of its sources that confirm each pixel's depth: their own depth of that point is the same."""
    origins, directions = cameras.rays()
    share = torch.zeros_like(depth)
    for view, others in enumerate(chosen):
        row, col = depth[view].isfinite().nonzero().unbind(1)
        if len(row) == 0 or len(others) == 0:
            continue
        points = origins[view, row, col] + depth[view, row, col, None] * directions[view, row, col]
        c, r = project(cameras[others], points)[0].floor().long().unbind(-1)
        inside = (c >= 0) & (r >= 0) & (c < cameras.width_px) & (r < cameras.height_px)
        theirs = depth[others[:, None], r.clamp(0, cameras.height_px - 1), c.clamp(0, cameras.width_px - 1)]
        distance = (points[None] - cameras.positions[others][:, None]).norm(dim=-1)
        share[view, row, col] = (inside & ((theirs - distance).abs() < tolerance)).float().mean(0)
    return share
