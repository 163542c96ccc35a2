"""Pictures as a pinhole camera would have taken them, from those of a lens that bends straight lines."""

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.views.lens import Distortion

Intrinsics = tuple[float, float, float, float]  # fl_x, fl_y, cx, cy in px

_NEGLIGIBLE_PX = 0.1
_WIDEST = 6.0  # tan of the widest angle from the axis that is looked at, some 80 degrees
_MARGIN_PX = 1.5  # around the object, as taken and as undistorted


def undistorted(
    image: UInt8[Tensor, "4 height width"], intrinsics: Intrinsics, distortion: Distortion
) -> tuple[UInt8[Tensor, "4 height width"], float]:
    """The RGBA picture without distortion, and the factor of its focal lengths; its center and size stay.

    What the lens did not see is transparent. The factor is below 1 where the object would else leave the frame that it
    was seen in. A distortion below a tenth of a pixel is left alone. InputError where the lens shows nothing.
    """
    height, width = image.shape[1:]
    grid, inside = _source_grid(width, height, intrinsics, 1.0, distortion)
    if not inside.any():
        raise InputError(f"its lens ({distortion.kind}, k {distortion.k}) shows none of its {width}x{height} pixels")
    if float(_shift_px(grid, width, height)[inside].max()) < _NEGLIGIBLE_PX:
        return image, 1.0
    zoom = _fitting_zoom(image, intrinsics, distortion)
    if zoom < 1:
        grid, inside = _source_grid(width, height, intrinsics, zoom, distortion)
    return _sampled(image, grid, inside), zoom


def distorted(points: Float[Tensor, "*points 2"], distortion: Distortion) -> Float[Tensor, "*points 2"]:
    """Where ideal points (x right, y down, at depth 1) are seen, in the same units; formulas in `lens.Distortion`."""
    x, y = points.unbind(-1)
    square = x * x + y * y
    if distortion.kind == "fisheye":
        radius = square.sqrt()
        factor = torch.where(radius > 1e-8, _radial(radius, distortion) / radius.clamp_min(1e-8), torch.ones_like(x))
        return points * factor[..., None]
    k1, k2, k3, k4, k5, k6 = distortion.k
    factor = (1 + square * (k1 + square * (k2 + square * k3))) / (1 + square * (k4 + square * (k5 + square * k6)))
    p1, p2 = distortion.p
    sideways = torch.stack(
        [2 * p1 * x * y + p2 * (square + 2 * x * x), p1 * (square + 2 * y * y) + 2 * p2 * x * y], dim=-1
    )
    return points * factor[..., None] + sideways


def _radial(radius: Float[Tensor, "*points"], distortion: Distortion) -> Float[Tensor, "*points"]:
    if distortion.kind == "fisheye":
        angle = radius.atan()
        square = angle * angle
        k1, k2, k3, k4 = distortion.k[:4]
        return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
    points = torch.stack([radius, torch.zeros_like(radius)], dim=-1)
    return distorted(points, Distortion(distortion.kind, distortion.k, (0.0, 0.0)))[..., 0]


def _largest_radius(largest: float, distortion: Distortion) -> float:
    """Up to where the formula is that of a lens: beyond, seen radii shrink again and the picture would repeat."""
    radius = torch.linspace(0, largest, 2001, dtype=torch.float64)
    falls = (_radial(radius, distortion).diff() <= 0).nonzero()
    return float(radius[falls[0, 0]]) if len(falls) else largest


def _fitting_zoom(image: UInt8[Tensor, "4 height width"], intrinsics: Intrinsics, distortion: Distortion) -> float:
    """The focal lengths' factor, at most 1, at which the whole object is in the frame; 1 where it was cut before.

    Radii only: what p1 and p2 add is far below the margin.
    """
    solid = image[3] >= 128
    if not solid.any() or solid[0].any() or solid[-1].any() or solid[:, 0].any() or solid[:, -1].any():
        return 1.0
    focal, center = torch.tensor(intrinsics, dtype=torch.float64).split(2)
    size = torch.tensor(image.shape[:0:-1], dtype=torch.float64)
    seen = (solid.nonzero().flip(1) + 0.5 - center) / focal
    radius = seen.norm(dim=-1)
    ideal = torch.linspace(0, _largest_radius(_WIDEST, distortion), 6001, dtype=torch.float64)
    table = _radial(ideal, distortion).contiguous()
    nearest = torch.searchsorted(table, radius + _MARGIN_PX / focal.min()).clamp(max=len(table) - 1)
    reach = (seen * (ideal[nearest] / radius.clamp_min(1e-9))[:, None] * focal).abs()
    room = torch.where(seen > 0, size - center, center) - _MARGIN_PX
    return min(1.0, float((room / reach.clamp_min(1e-9)).min()))


@lru_cache(maxsize=8)  # frames share their lens, mostly
def _source_grid(
    width: int, height: int, intrinsics: Intrinsics, zoom: float, distortion: Distortion
) -> tuple[Float[Tensor, "height width 2"], Bool[Tensor, "height width"]]:
    """Where each pixel (x, y in px, centers at .5) is found in the picture as it was taken, and whether it is there."""
    focal = torch.tensor(intrinsics[:2], dtype=torch.float64)
    center = torch.tensor(intrinsics[2:], dtype=torch.float64)
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    ideal = (torch.stack([columns, rows], dim=-1).double() - center) / (focal * zoom)
    radius = ideal.norm(dim=-1)
    source = distorted(ideal, distortion) * focal + center
    inside = ((source >= 0) & (source <= torch.tensor([width, height]))).all(-1)
    inside &= radius <= _largest_radius(float(radius.max()), distortion)
    return source.float(), inside


def _shift_px(source: Float[Tensor, "height width 2"], width: int, height: int) -> Float[Tensor, "height width"]:
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return (source - torch.stack([columns, rows], dim=-1)).norm(dim=-1)


def _sampled(
    image: UInt8[Tensor, "4 height width"],
    source: Float[Tensor, "height width 2"],
    inside: Bool[Tensor, "height width"],
) -> UInt8[Tensor, "4 height width"]:
    """Bicubic, colors weighted by alpha."""
    height, width = image.shape[1:]
    alpha = image[3:].float()
    weighed = torch.cat([image[:3].float() * alpha / 255, alpha])
    grid = source / source.new_tensor([width, height]) * 2 - 1
    sampled = torch.nn.functional.grid_sample(
        weighed[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )[0]
    alpha = sampled[3:].clamp(0, 255) * inside
    straight = torch.cat([sampled[:3] * 255 / alpha.clamp_min(0.5), alpha])
    return straight.round().clamp(0, 255).byte()
