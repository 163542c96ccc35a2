"""A sphere at the origin with its normals in closed form: views, normal maps, and renders of any batch."""

import torch
from torch import Tensor

from sv3dgen.interfaces import RenderOutput, ViewBatch
from sv3dgen.views.cameras import Cameras, look_at_origin
from sv3dgen.views.posed_views import PosedViews

RADIUS = 0.45
ELEVATION_DEG = (0.0, 20.0, -35.0, 60.0, 10.0, 0.0)
AZIMUTH_DEG = (0.0, 40.0, 130.0, 215.0, 300.0, 180.0)


def sphere_views(size_px: int = 64) -> PosedViews:
    """Gray pictures of the sphere from all around."""
    elevation, azimuth = torch.tensor(ELEVATION_DEG), torch.tensor(AZIMUTH_DEG)
    cameras = look_at_origin(elevation, azimuth, distance=2.0, size_px=size_px)
    hit, _ = seen_normals(cameras, None)
    alpha = hit[:, None].to(torch.uint8) * 255
    names = tuple(f"r_{index}.png" for index in range(len(cameras)))
    gray = torch.full_like(alpha, 128).expand(-1, 3, -1, -1)
    splits = ("train",) * len(cameras)
    return PosedViews(torch.cat([gray, alpha], 1), cameras, names, splits, elevation, azimuth, torch.eye(4).double())


def seen_normals(cameras: Cameras, pixels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which rays meet the sphere, and the world normal where they do: the point itself over the radius."""
    origins, directions = cameras.rays(pixels)
    half_b = (origins * directions).sum(-1)
    discriminant = half_b.square() - origins.square().sum(-1) + RADIUS**2
    points = origins + directions * (-half_b - discriminant.clamp(min=0).sqrt())[..., None]
    hit = discriminant > 0
    return hit, torch.where(hit[..., None], points / RADIUS, 0.0)


def maps_in_camera(cameras: Cameras) -> Tensor:
    """[views, height, width, 3]: along each camera's right, up and backward axes, one dot product each."""
    hit, normals = seen_normals(cameras, None)
    axes = cameras.camera_to_world[:, :3, :3]
    right, up, backward = (axes[:, None, None, :, axis] for axis in range(3))
    along = [(normals * axis).sum(-1) for axis in (right, up, backward)]
    return torch.stack(along, dim=-1) * hit[..., None]


def render_of(batch: ViewBatch) -> RenderOutput:
    """What a perfect renderer draws of the sphere for a batch."""
    hit, normals = seen_normals(batch.cameras, batch.pixels)
    opacity = hit[:, None].float()
    return RenderOutput(batch.rgb, opacity, hit[:, None], {"normal": normals.permute(0, 3, 1, 2)})
