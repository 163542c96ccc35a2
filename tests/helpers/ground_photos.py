"""Photos of an object on a patterned ground, as somebody takes them who walks around it: for structure from motion."""

from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sv3dgen.views.cameras import Cameras, look_at_origin

FLOOR_Y, FLOOR_SIDE = -0.5, 3.0


def walk(photos: int, size_px: int, seed: int = 0) -> Cameras:
    """Cameras around the origin, held level, at heights and distances that vary."""
    random = torch.Generator().manual_seed(seed)
    azimuth_deg = torch.arange(photos) * 360.0 / photos
    elevation_deg = 30 + 12 * torch.sin(torch.deg2rad(3 * azimuth_deg)) + 3 * torch.rand(photos, generator=random)
    return look_at_origin(elevation_deg, azimuth_deg, distance=2.6, fov_deg=50.0, size_px=size_px)


def over_ground(
    rgba: Float[Tensor, "views 4 height width"], cameras: Cameras, seed: int = 0
) -> Float[Tensor, "views 3 height width"]:
    """Pictures of an object that stands on the floor, over that floor and a wall far behind it."""
    random = torch.Generator().manual_seed(seed)
    origins, directions = cameras.rays()
    t = (FLOOR_Y - origins[..., 1]) / directions[..., 1]
    floor = (origins + t[..., None] * directions)[..., [0, 2]] / FLOOR_SIDE
    on_floor = (t > 0) & (floor.abs().amax(-1) < 1)
    sky = torch.stack([torch.atan2(directions[..., 0], directions[..., 2]) / torch.pi, directions[..., 1]], dim=-1)
    color = torch.where(on_floor[..., None], _pattern(floor, 0.55, random), _pattern(sky, 0.75, random))
    alpha = rgba[:, 3:]
    return rgba[:, :3] * alpha + color.permute(0, 3, 1, 2) * (1 - alpha)


def _pattern(points: Float[Tensor, "*points 2"], light: float, random: torch.Generator) -> Float[Tensor, "*points 3"]:
    """Smooth noise of several sizes, in [-1, 1] along each axis."""
    total, grid = torch.full((*points.shape[:-1], 3), light), points.reshape(1, -1, 1, 2)
    for cells in (12, 40, 130):
        noise = torch.rand(1, 3, cells, cells, generator=random) - 0.5
        noise = 0.5 * noise + 0.5 * noise.mean(1, keepdim=True)
        drawn = torch.nn.functional.grid_sample(noise, grid, mode="bilinear", align_corners=True)
        total = total + 0.3 * drawn[0, :, :, 0].T.reshape(total.shape)
    return total.clamp(0, 1)


def write_photos(folder: Path, rgb: Float[Tensor, "views 3 height width"], alpha: Tensor | None = None) -> None:
    """JPEGs, or with an `alpha` PNGs that say what the object is and keep the colors of the ground."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate((rgb * 255).round().byte().permute(0, 2, 3, 1)):
        if alpha is None:
            Image.fromarray(picture.numpy()).save(folder / f"photo_{index:03d}.jpg", quality=90)
        else:
            own = (alpha[index].reshape(*picture.shape[:2], 1) * 255).round().byte()
            Image.fromarray(torch.cat([picture, own], -1).numpy()).save(folder / f"photo_{index:03d}.png")
