"""How much of what silhouettes show is thin: wires, slats, stalks."""

import numpy as np
from scipy import ndimage

from sv3dgen.views.posed_views import PosedViews

THIN = 0.02  # in sizes of the object: two cells of the grids that are enough for all that is thicker


def thin_share(views: PosedViews, thickness: float = THIN) -> float:
    """Share of the silhouettes' area, over all trusted views, that no disc of that diameter fits into.

    The disc is as large as it looks at the distance of the origin. It is 2 pixels wide at least.
    """
    scale = views.cameras.focal_px.mean(1) / views.cameras.positions.norm(dim=-1)
    whole = thin = 0
    for mask, px, trust in zip(views.masks.cpu().numpy(), scale.tolist(), views.trust, strict=True):
        if trust == 0:
            continue
        padded = np.pad(mask, 1)
        radius = max(1.0, thickness * px / 2)
        core = ndimage.distance_transform_edt(padded) > radius
        opened = ndimage.distance_transform_edt(~core) <= radius if core.any() else np.zeros_like(core)
        whole += int(padded.sum())
        thin += int((padded & ~opened).sum())
    return thin / max(1, whole)
