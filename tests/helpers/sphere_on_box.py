"""A sphere on a box, traced exactly: posed views with known surfaces."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sv3dgen.views.cameras import Cameras, look_at_origin
from sv3dgen.views.posed_views import PosedViews

SPHERE_CENTER, SPHERE_RADIUS = (0.0, 0.1, 0.0), 0.3
BOX_HALF = (0.4, 0.12, 0.2)  # centered on (0, -0.2, 0)
BOX_CENTER = (0.0, -0.2, 0.0)


def sphere_on_box() -> PosedViews:
    """12 views of 64 px of a sphere that sits on a box, both checkered; the last one is the front."""
    azimuth_deg = torch.arange(1, 13, dtype=torch.float32) * 30 % 360
    elevation_deg = torch.full((12,), 15.0)
    cameras = look_at_origin(elevation_deg, azimuth_deg, distance=2.0, size_px=64)
    return PosedViews(
        images=traced(cameras),
        cameras=cameras,
        names=tuple(f"{index:03d}.png" for index in range(12)),
        splits=("train",) * 12,
        elevation_deg=elevation_deg,
        azimuth_deg=azimuth_deg,
        source_to_world=torch.eye(4),
    )


def traced(cameras: Cameras) -> UInt8[Tensor, "views 4 height width"]:
    """Pictures of the two, with straight alpha."""
    origins, directions = cameras.rays()
    hit_sphere, sphere = hit_of_sphere(origins, directions)
    hit_box, box = hit_of_box(origins, directions)
    depth = torch.where(hit_sphere, sphere, torch.inf).minimum(torch.where(hit_box, box, torch.inf))
    alpha = depth.isfinite()
    points = origins + directions * torch.where(alpha, depth, 0.0)[..., None]
    checker = (points / 0.1).floor().sum(-1).remainder(2)
    rgb = torch.stack([0.3 + 0.5 * checker, 0.4 + points[..., 1], 0.8 - 0.4 * checker], dim=-1).clamp(0, 1)
    rgba = torch.cat([rgb * alpha[..., None], alpha[..., None].float()], dim=-1)
    return (rgba * 255).round().byte().permute(0, 3, 1, 2).contiguous()


def hit_of_sphere(origins: Float[Tensor, "*rays 3"], directions: Float[Tensor, "*rays 3"]) -> tuple[Tensor, Tensor]:
    """Whether and where (distance) rays meet the sphere, by the quadratic formula."""
    offset = origins - torch.tensor(SPHERE_CENTER)
    half_b = (offset * directions).sum(-1)
    discriminant = half_b.square() - offset.square().sum(-1) + SPHERE_RADIUS**2
    return discriminant > 0, -half_b - discriminant.clamp(min=0).sqrt()


def hit_of_box(origins: Float[Tensor, "*rays 3"], directions: Float[Tensor, "*rays 3"]) -> tuple[Tensor, Tensor]:
    """Whether and where (distance) rays meet the box, by its three slabs."""
    offset, half = origins - torch.tensor(BOX_CENTER), torch.tensor(BOX_HALF)
    first, second = (-half - offset) / directions, (half - offset) / directions
    near, far = torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)
    return near < far, near
