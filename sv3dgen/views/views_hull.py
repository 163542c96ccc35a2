"""The visual hull of views that are not all alike: photos carve exactly, generated views with doubt."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.visual_hull import dilated, visual_hull

MISS_VOTES = 2  # generated views that may miss a voxel: none is quite right
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

    A generated silhouette is widened by what views of its kind are off. Without generated views `miss_votes` (0) is of
    the photos. Views without trust have no vote. `doubted` says which views count as generated here.
    """
    trusted = torch.tensor([trust > 0 for trust in views.trust])
    generated = torch.tensor(views.generated if doubted is None else doubted) & trusted
    if not generated.any():
        asked = views[trusted.nonzero()[:, 0]]
        return visual_hull(asked.masks, asked.cameras, resolution=resolution, aabb=aabb, miss_votes=miss_votes or 0)
    made = views[generated.nonzero()[:, 0]]
    hull = visual_hull(
        dilated(made.masks, round(SLACK * max(made.images.shape[2:]))),
        made.cameras,
        resolution=resolution,
        aabb=aabb,
        miss_votes=min(MISS_VOTES if miss_votes is None else miss_votes, len(made) - 1),
    )
    taken = trusted & ~generated
    if taken.any():
        photos = views[taken.nonzero()[:, 0]]
        hull &= visual_hull(photos.masks, photos.cameras, resolution=resolution, aabb=aabb)
    return hull
