"""Silhouettes of ellipsoids in closed form: views whose true shape and cameras are known."""

import torch

from sv3dgen.views.cameras import Cameras
from sv3dgen.views.orbits import Orbit, elevations_and_azimuths, orbit_by_name
from sv3dgen.views.posed_views import PosedViews

# Center and semi-axes. No symmetry plane, so that mirrored or reordered views can be told apart.
FIGURE = (
    ((0.0, -0.1, 0.0), (0.25, 0.3, 0.45)),
    ((0.22, 0.2, 0.25), (0.12, 0.25, 0.1)),
    ((-0.1, 0.1, -0.3), (0.3, 0.1, 0.1)),
)


def inside(points, parts=FIGURE):
    """Whether world points [..., 3] are in any of the ellipsoids."""
    return torch.stack([((points - torch.tensor(c)) / torch.tensor(a)).norm(dim=-1) <= 1 for c, a in parts]).any(0)


def silhouettes(cameras: Cameras, parts=FIGURE):
    """Which pixels' rays meet any of the ellipsoids: a quadratic equation per ray."""
    origins, directions = cameras.rays()
    hits = []
    for center, axes in parts:
        o, d = (origins - torch.tensor(center)) / torch.tensor(axes), directions / torch.tensor(axes)
        a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
        hits.append((b * b >= a * c) & (b < 0))
    return torch.stack(hits).any(0)


def posed_views(cameras: Cameras, parts=FIGURE, seen_by: Cameras | None = None) -> PosedViews:
    """Gray pictures of the ellipsoids. `seen_by` are the cameras that took them, if they are not the declared ones."""
    alpha = silhouettes(seen_by or cameras, parts)[:, None].to(torch.uint8) * 255
    gray = torch.full_like(alpha, 128).expand(-1, 3, -1, -1)
    elevation, azimuth = elevations_and_azimuths(cameras)
    names = tuple(f"{index:03d}.png" for index in range(len(cameras)))
    splits = ("train",) * len(cameras)
    return PosedViews(torch.cat([gray, alpha], 1), cameras, names, splits, elevation, azimuth, torch.eye(4).double())


def sine_orbit() -> Orbit:
    return orbit_by_name("sine30", elevation_deg=10.0)
