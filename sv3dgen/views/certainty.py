"""What views can be relied on for: which of them show the object as it is, and how fine."""

import statistics

from sv3dgen.views.posed_views import PosedViews


def certain(views: PosedViews) -> list[bool]:
    """Which views are photos of full trust."""
    return [not made and trust == 1 for made, trust in zip(views.generated, views.trust, strict=True)]


def mostly_small(views: PosedViews, px: int) -> bool:
    """Whether most views are generated ones, which are themselves of at most `px` pixels a side; the median."""
    sizes = [own for own, made in zip(views.own_px, views.generated, strict=True) if made]
    return 2 * len(sizes) > len(views) and statistics.median(sizes) <= px


def usual_pixel(views: PosedViews) -> float:
    """How wide a pixel of the views' own pictures is at the distance of the origin, in world units; the median."""
    pixels = views.cameras.positions.norm(dim=-1) / views.cameras.focal_px.mean(1)
    longer = max(views.images.shape[2:])
    return statistics.median(pixel * longer / own for pixel, own in zip(pixels.tolist(), views.own_px, strict=True))
