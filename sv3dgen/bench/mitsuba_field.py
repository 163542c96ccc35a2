"""A radiance field on a grid, fitted to posed views with Dr.Jit and Mitsuba 3's optimizer, and the mesh that it holds.

The recipe of Mitsuba's tutorial on radiance fields: a grid of extinction and emission whose negative extinctions count
as none (Karnewar et al. 2022, "ReLU Fields"), marched in even steps; absolute differences; Adam; a resolution that
doubles. The gradient comes from a second march that replays the first (Vicini et al. 2021, "Path Replay
Backpropagation"). Ours: rays of all views in one batch, an emission that does not change with direction, and opacity in
the loss, since the views have it. Imported once Mitsuba has its variant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import drjit as dr  # pyright: ignore[reportMissingImports]
import mitsuba as mi  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

from sv3dgen.bench.mitsuba_rays import Cube, Rays, cube_around, rays_of, within
from sv3dgen.meshes.isosurface import marching_cubes
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.visual_hull import hull_bounds, visual_hull

DENSITY_UNIT = 100.0  # extinction along the cube's side that a 1 in the grid stands for, so that one rate fits all four
HULL_DENSITY = 0.02
OPAQUE, SMALLEST = 1e-3, 1e-4  # light left where a ray ends; transmittance of a step, in a division


@dataclass(frozen=True)
class Stage:
    """One resolution, and what share of the time it gets."""

    resolution: int
    share: float
    rays: int = 16_384  # in a step
    rate: float = 0.05  # of Adam at its beginning
    last_rate: float = 0.05  # at its end


STAGES = (Stage(16, 0.05), Stage(32, 0.1), Stage(64, 0.3), Stage(128, 0.55, 32_768, 0.03, 0.003))
FROM_HULL = (Stage(32, 0.1), Stage(64, 0.35), Stage(128, 0.55, 32_768, 0.03, 0.003))


def fit_field(
    views: PosedViews, seconds: float, stages: tuple[Stage, ...] = STAGES, *, from_hull: bool = False
) -> tuple[Float[ndarray, "z y x 4"], Cube, int]:
    """A grid [z, y, x, 4] of extinction / DENSITY_UNIT and colors, its cube, and the steps that were made.

    With `from_hull` rays are marched within the visual hull alone.
    """
    random = np.random.default_rng(0)
    hull = visual_hull(views.masks, views.cameras, resolution=stages[-1].resolution)
    bounds = hull_bounds(hull)
    assert bounds is not None
    cube = cube_around(bounds)
    rays = rays_of(views, cube)
    box = torch.from_numpy(np.stack([cube.lower, cube.lower + cube.side]))
    grid = empty_grid(stages[0].resolution)
    if from_hull:
        start = visual_hull(views.masks, views.cameras, resolution=stages[0].resolution, aabb=box)
        rays, grid = within(rays, start.numpy()), hull_grid(start.numpy())
    optimizer = mi.ad.Adam(lr=stages[0].rate)
    optimizer["grid"] = mi.TensorXf(grid)
    steps = 0
    for stage in stages:
        size = stage.resolution
        if optimizer["grid"].shape[0] != size:
            optimizer["grid"] = dr.resample(optimizer["grid"], (size, size, size, 4), filter="linear")
        for _ in _steps(optimizer, rays, stage, stage.share * seconds, random):
            steps += 1
    return np.array(optimizer["grid"]), cube, steps


def empty_grid(size: int) -> Float[ndarray, "z y x 4"]:
    """Nearly nothing, gray."""
    grid = np.full((size, size, size, 4), 0.3, np.float32)
    grid[..., 0] = 0.01
    return grid


def hull_grid(hull: Bool[ndarray, "x y z"]) -> Float[ndarray, "z y x 4"]:
    """Nearly nothing where the hull is, and none outside."""
    grid = np.full((*hull.shape, 4), 0.3, np.float32)
    grid[..., 0] = np.where(hull, HULL_DENSITY, -0.1).transpose(2, 1, 0)
    return grid


def _steps(optimizer, rays: Rays, stage: Stage, seconds: float, random: np.random.Generator) -> Iterator[int]:
    """Steps of the optimizer until the time is over; one at least."""
    field = mi.Texture3f(optimizer["grid"], use_accel=False, migrate=False)
    step = mi.Float(1 / stage.resolution)
    start, done, count = perf_counter(), 0.0, 0
    while done < 1:
        optimizer.set_learning_rate(stage.rate * (stage.last_rate / stage.rate) ** done)
        batch = rays[mi.UInt32(random.integers(0, len(rays), stage.rays, dtype=np.uint32))]
        field.set_tensor(optimizer["grid"])
        jitter = mi.Float(random.random(stage.rays, dtype=np.float32))
        shown = march(field, batch, jitter, step)
        dr.eval(shown)
        pull = tuple(
            dr.sign(seen - true) / stage.rays for seen, true in zip(shown, (batch.color, batch.opacity), strict=True)
        )
        march(field, batch, jitter, step, shown, pull)
        optimizer.step()
        dr.eval(optimizer["grid"])
        dr.sync_thread()
        count += 1
        done = (perf_counter() - start) / max(seconds, 1e-9)
        yield count


def march(field: "mi.Texture3f", rays: Rays, jitter: "mi.Float", step: "mi.Float", shown=None, pull=None) -> tuple:
    """Color times opacity, and opacity, of rays through a field.

    Given what they have `shown` and the loss's gradient in it, the march is replayed, and the gradient goes into the
    field: what lies behind a step is what was shown less what has been passed.
    """

    def advance(place: "mi.Float", light: "mi.Float", color: "mi.Color3f") -> tuple:
        with dr.resume_grad(when=pull is not None):
            density, *emission = field.eval(dr.fma(rays.direction, place, rays.origin))
            through = dr.exp(-DENSITY_UNIT * dr.maximum(density, 0) * step)
            added = light * (1 - through) * mi.Color3f(emission)
            passed = dr.detach(added)
            if pull is not None:
                behind = through / dr.maximum(dr.detach(through), SMALLEST)
                by_color = dr.dot(pull[0], added + (shown[0] - color - passed) * behind)
                dr.backward_from(by_color - pull[1] * (1 - shown[1]) * behind)
        return place + step, light * dr.detach(through), color + passed

    with dr.suspend_grad():
        start = (rays.near + jitter * step, dr.full(mi.Float, 1, len(rays)), dr.zeros(mi.Color3f, len(rays)))
        _, light, color = dr.while_loop(
            start, lambda place, light, _: (place < rays.far) & (light > OPAQUE), advance, mode="symbolic"
        )
    return color, 1 - light


def mesh_of_field(grid: Float[ndarray, "z y x 4"], cube: Cube, level: float) -> TexturedMesh:
    """The surface where the extinction is `level`, without cavities and crumbs, in the colors that the field has there.

    What no ray reaches is not fitted, so that a field is hollow inside: cavities are filled.
    """
    extinction = DENSITY_UNIT * np.maximum(grid[..., 0], 0)
    solid = ndimage.binary_fill_holes(extinction > level)
    parts, count = ndimage.label(solid)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    large = sizes > 0.01 * sizes[1:].max(initial=0)
    large[0] = False
    extinction = np.where(solid & (extinction <= level), 2 * level, extinction)
    extinction = np.where(solid & ~large[parts], 0, extinction)
    values = np.pad(level - extinction, 1, constant_values=level).transpose(2, 1, 0)
    cell = cube.side / len(grid)
    lower = torch.from_numpy(cube.lower - 0.5 * cell).float()
    mesh = marching_cubes(torch.from_numpy(values), lower, cell)
    places = ((mesh.vertices - lower) / cell - 1).numpy().T[::-1]
    weight = extinction + 1e-3
    shares = [ndimage.map_coordinates(weight * grid[..., channel], places, order=1) for channel in (1, 2, 3)]
    colors = np.stack(shares, axis=1) / ndimage.map_coordinates(weight, places, order=1)[:, None]
    return TexturedMesh(mesh.vertices, mesh.faces, vertex_colors=torch.from_numpy(colors).float().clamp(0, 1))
