"""The rays of posed views as Dr.Jit's arrays, in a cube around the object. Imported once Mitsuba has its variant."""

from dataclasses import dataclass

import drjit as dr  # pyright: ignore[reportMissingImports]
import mitsuba as mi  # pyright: ignore[reportMissingImports]
import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from sv3dgen.views.posed_views import PosedViews

HULL_STEP = 0.5  # cells between two looks for the hull along a ray


@dataclass(frozen=True)
class Cube:
    """Where a grid lies in the world."""

    lower: Float[ndarray, " 3"]
    side: float


@dataclass(frozen=True)
class Rays:
    """Rays that meet the cube, as Dr.Jit's arrays, in units of its side: it spans 0 to 1."""

    origin: "mi.Point3f"
    direction: "mi.Vector3f"
    near: "mi.Float"
    far: "mi.Float"
    color: "mi.Color3f"  # times opacity, sRGB
    opacity: "mi.Float"

    def __len__(self) -> int:
        return dr.width(self.near)

    def __getitem__(self, index: "mi.UInt32") -> "Rays":
        parts = (self.origin, self.direction, self.near, self.far, self.color, self.opacity)
        return Rays(*(dr.gather(type(part), part, index) for part in parts))


def cube_around(bounds: Float[Tensor, "2 3"], margin: float = 0.02) -> Cube:
    """The cube around a box, with a margin at its longest sides."""
    low, high = bounds.double().numpy()
    side = float((high - low).max()) + 2 * margin
    return Cube((low + high - side) / 2, side)


def rays_of(views: PosedViews, cube: Cube) -> Rays:
    """All rays of all views that meet the cube, with what they show."""
    origins, directions = (part.reshape(-1, 3).double().numpy() for part in views.cameras.rays())
    origins = (origins - cube.lower) / cube.side
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([-origins / directions, (1 - origins) / directions])
    near, far = ends.min(0).max(1).clip(min=0), ends.max(0).min(1)
    met = far > near
    pixels = views.rgba.movedim(1, 3).reshape(-1, 4).numpy()[met]
    return Rays(
        mi.Point3f(_columns(origins[met])),
        mi.Vector3f(_columns(directions[met])),
        *_columns(np.stack([near, far], axis=1)[met]),
        mi.Color3f(_columns(pixels[:, :3] * pixels[:, 3:])),
        *_columns(pixels[:, 3:]),
    )


def within(rays: Rays, hull: Bool[ndarray, "x y z"]) -> Rays:
    """The rays that meet a hull whose voxels fill the cube, from where they enter it to where they leave it."""
    values = mi.TensorXf(np.ascontiguousarray(hull.transpose(2, 1, 0)[..., None], dtype=np.float32))
    inside, step = mi.Texture3f(values, use_accel=False, migrate=False), HULL_STEP / max(hull.shape)

    def look(place: "mi.Float", first: "mi.Float", last: "mi.Float") -> tuple:
        met = inside.eval(dr.fma(rays.direction, place, rays.origin))[0] > 0
        first = dr.select(met & (first < 0), place - step, first)
        return place + step, first, dr.select(met, place + step, last)

    start = (mi.Float(rays.near), dr.full(mi.Float, -1, len(rays)), dr.full(mi.Float, -1, len(rays)))
    _, first, last = dr.while_loop(start, lambda place, *_: place < rays.far, look)
    meeting = dr.compress(last > first)
    near, far = dr.maximum(first, rays.near), dr.minimum(last, rays.far)
    return Rays(rays.origin, rays.direction, near, far, rays.color, rays.opacity)[meeting]


def _columns(rows: Float[ndarray, "rays columns"]) -> list["mi.Float"]:
    return [mi.Float(np.ascontiguousarray(column, dtype=np.float32)) for column in rows.T]
