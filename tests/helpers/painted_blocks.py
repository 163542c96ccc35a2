"""Blocks and cups as signed distances on a grid, and views of them: painted with a pattern, or in one color."""

import torch

from sv3dgen.meshes.grid import Grid
from sv3dgen.meshes.held_back import mesh_depth
from sv3dgen.meshes.isosurface import marching_cubes
from sv3dgen.views.cameras import look_at_origin
from sv3dgen.views.posed_views import PosedViews
from tests.helpers.plain_views import plain_views

GRID = Grid(64, 0.62)
TRUNCATION = 0.03


def box_distance(half: tuple[float, float, float], center_y: float = 0.0) -> torch.Tensor:
    ticks = GRID.lower[0] + GRID.spacing * torch.arange(GRID.cells)
    points = torch.stack(torch.meshgrid(ticks, ticks - center_y, ticks, indexing="ij"), -1)
    return (points.abs() - torch.tensor(half)).amax(-1)


def block() -> torch.Tensor:
    return box_distance((0.3, 0.2, 0.3)).clamp(-TRUNCATION, TRUNCATION)


def cup() -> torch.Tensor:
    """The block with a cavity: walls of .06, a floor of .06."""
    return torch.maximum(block(), -box_distance((0.24, 0.2, 0.24), center_y=0.06)).clamp(-TRUNCATION, TRUNCATION)


def views_of(volume: torch.Tensor, from_below: bool = False) -> PosedViews:
    """Painted by place, in smooth waves of about .1."""
    count = 12
    elevation = torch.where(torch.arange(count) % 2 == 0, 40.0, 15.0) * (-1 if from_below else 1)
    cameras = look_at_origin(elevation, torch.arange(count) * 30.0, distance=2.0, size_px=80)
    depth = mesh_depth(marching_cubes(volume, GRID.lower, GRID.spacing), cameras)
    origins, directions = cameras.rays()
    there = depth.isfinite()
    points = origins + depth.where(there, 0.0)[..., None] * directions
    paint = 0.5 + 0.4 * torch.sin(60 * points + torch.tensor([0.0, 1.0, 2.0]))
    rgba = torch.cat([paint * there[..., None], there[..., None].float()], -1).permute(0, 3, 1, 2)
    return plain_views(rgba, cameras)


def in_one_color(views: PosedViews) -> PosedViews:
    """The same views of a white object without light."""
    return plain_views(torch.cat([torch.ones_like(views.rgba[:, :3]), views.rgba[:, 3:]], 1), views.cameras)
