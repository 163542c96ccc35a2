"""An object under construction: surfaces with patterns, and pictures stuck onto them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from sv3dgen.procedural.patterns import Pattern
from sv3dgen.procedural.pictures import Picture
from sv3dgen.procedural.surfaces import Number, Surface

Vector = Sequence[Number] | Float[np.ndarray, " 3"]


@dataclass(frozen=True)
class Decal:
    """A picture projected along `facing` onto what looks towards it."""

    picture: Picture
    center: Float[np.ndarray, " 3"]
    facing: Float[np.ndarray, " 3"]  # unit, out of the surface
    up: Float[np.ndarray, " 3"]  # unit, at right angles
    half_width: Number
    half_height: Number
    reach: Number  # how far along `facing` from the center the surface may lie


@dataclass
class Assembly:
    """Parts and pictures, in the frame they are built in; `pose` turns the painted whole to front +Z, +Y up."""

    parts: list[tuple[Surface, Pattern]] = field(default_factory=list)
    decals: list[Decal] = field(default_factory=list)
    pose: Float[np.ndarray, "3 3"] = field(default_factory=lambda: np.eye(3))

    def lay(self, axis: str, degrees: Number) -> None:
        """Turn the finished object around x, y or z."""
        self.pose = Rotation.from_euler(axis, degrees, degrees=True).as_matrix() @ self.pose

    def add(self, surface: Surface, pattern: Pattern) -> None:
        """Put a surface where it is."""
        self.parts.append((surface, pattern))

    def add_pair(self, surface: Surface, pattern: Pattern) -> None:
        """A surface and its mirror image in x."""
        self.parts += [(surface, pattern), (mirrored(surface), pattern)]

    def stick(
        self,
        picture: Picture,
        center: Vector,
        size: tuple[Number, Number],
        facing: Vector = (0.0, 0.0, 1.0),
        reach: Number = 0.3,
    ) -> None:
        """Stick a picture of (width, height) onto whatever is near `center` and looks towards `facing`."""
        facing = np.asarray(facing, dtype=np.float64) / np.linalg.norm(facing)
        up = np.array([0.0, 1.0, 0.0]) if abs(facing[1]) < 0.9 else np.array([0.0, 0.0, -np.sign(facing[1])])
        up = up - (up @ facing) * facing
        up /= np.linalg.norm(up)
        place = np.asarray(center, dtype=np.float64)
        self.decals.append(Decal(picture, place, facing, up, 0.5 * size[0], 0.5 * size[1], reach))


def moved(surface: Surface, offset: Vector) -> Surface:
    """The surface shifted."""
    return [grid + np.asarray(offset, dtype=np.float64) for grid in surface]


def scaled(surface: Surface, factors: Vector) -> Surface:
    """The surface stretched along the axes; factors are positive."""
    return [grid * np.asarray(factors, dtype=np.float64) for grid in surface]


def turned(surface: Surface, axis: str, degrees: Number) -> Surface:
    """The surface turned about the origin, counter-clockwise around x, y or z."""
    matrix = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    return [grid @ matrix.T for grid in surface]


def mirrored(surface: Surface) -> Surface:
    """The mirror image in x; columns run the other way, so that the outside stays outside."""
    return [grid[:, ::-1] * np.array([-1.0, 1.0, 1.0]) for grid in surface]


def tapered(surface: Surface, top: Number, low: Number, high: Number) -> Surface:
    """Narrower (or wider) towards the top: x and z are scaled from 1 at height `low` to `top` at `high`."""
    done = []
    for grid in surface:
        share = np.clip((grid[..., 1:2] - low) / (high - low), 0, 1)
        done.append(grid * (1 + share * (top - 1) * np.array([1.0, 0.0, 1.0])))
    return done
