"""The visual hull of views that are not all alike: photos carve exactly, generated views with doubt."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.views.cameras import Cameras, project
from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.visual_hull import dilated, drawn, missing_views, visual_hull, voxel_centers

MISS_VOTES = 2  # generated views that may miss a voxel: none is quite right
MORE_VOTES = (4, 6, 10)  # that may, one after the other, where the photo shows something and the hull is empty
SLACK = 0.015  # of the frame's longer side, by which the outline of a generated view may be off


def hull_of_views(
    views: PosedViews,
    *,
    resolution: int,
    aabb: Float[Tensor, "2 3"],
    miss_votes: int | None = None,
    doubted: Sequence[bool] | None = None,
) -> Bool[Tensor, "x y z"]:
    """Voxels that lie in the silhouettes of all photos, and in those of all generated views but `miss_votes` (2).

    A generated silhouette is widened by what views of its kind are off. What a photo shows is there: where the hull
    leaves part of its silhouette empty, voxels that more of the generated views miss fill it. Without generated views
    `miss_votes` (0) is of the photos. Views without trust have no vote. `doubted` says which views count as generated
    here.
    """
    trusted = torch.tensor([trust > 0 for trust in views.trust])
    generated = torch.tensor(views.generated if doubted is None else doubted) & trusted
    if not generated.any():
        asked = views[trusted.nonzero()[:, 0]]
        return visual_hull(asked.masks, asked.cameras, resolution=resolution, aabb=aabb, miss_votes=miss_votes or 0)
    made = views[generated.nonzero()[:, 0]]
    first = MISS_VOTES if miss_votes is None else miss_votes
    taken = trusted & ~generated
    photos, allowed = None, None
    if taken.any():
        photos = views[taken.nonzero()[:, 0]]
        allowed = visual_hull(photos.masks, photos.cameras, resolution=resolution, aabb=aabb)
    missing = missing_views(
        dilated(made.masks, round(SLACK * max(made.images.shape[2:]))),
        made.cameras,
        resolution=resolution,
        aabb=aabb,
        most=min(first if photos is None else max(first, *MORE_VOTES), len(made) - 1),
        within=allowed,
    )
    hull = missing <= min(first, len(made) - 1)
    if photos is not None:
        for votes in MORE_VOTES:
            lacking = dilated(photos.masks & ~drawn(voxel_centers(hull, aabb), photos.cameras), 1)
            if lacking.any():
                hull |= _seen_in(lacking, photos.cameras, missing <= min(votes, len(made) - 1), aabb)
    return hull


def _seen_in(
    masks: Bool[Tensor, "views height width"], cameras: Cameras, voxels: Bool[Tensor, "x y z"], aabb: Tensor
) -> Bool[Tensor, "x y z"]:
    """Those of the voxels whose center appears in some mask."""
    pixels, depth = project(cameras, voxel_centers(voxels, aabb))
    column, row = pixels.floor().long().unbind(-1)
    height, width = masks.shape[1:]
    inside = (depth > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    view = torch.arange(len(masks))[:, None]
    shown = inside & masks[view, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    kept = torch.zeros_like(voxels)
    kept[voxels] = shown.any(0)
    return kept
