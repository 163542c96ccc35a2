"""Cavities that an object may have under its openings, as cells: what lies deeper than a wall behind its outside.

Grids are indexed [x, y, z], y points up. Of a vessel the views see the outside, the rim and a part of the inside.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

LEAK_CELLS = 2  # gaps that outside air does not pass: the hull of silhouettes stands off a rim by a cell or two
SKIN_CELLS = 1  # that views see to be empty, next to outside air: a gap that air does not pass, but no wall
LEAST_OPENING = 0.01  # of the object's plan, from which on an opening counts
FLOOR = 1.5  # how many times thicker a floor is than a wall: vessels stand on it, and few views see it from either side
SAME_CAVITY = 0.5  # of the smaller of two cavities that the other one holds, from which on they are one


@dataclass(frozen=True)
class Cavity:
    """What water would fill that falls through an opening."""

    cells: Bool[ndarray, "x y z"]
    columns: Bool[ndarray, "x z"]  # of the opening

    @property
    def size(self) -> int:
        return int(self.cells.sum())


def wall_depth(hull: Bool[ndarray, "x y z"], free: Bool[ndarray, "x y z"]) -> Float[ndarray, "x y z"]:
    """How far each cell lies behind the outside, in cells: behind its sides and its bottom, not behind its top.

    `hull` is of the silhouettes, `free` what views see to be empty in it: a skin of it, where the hull stands off the
    surface, is outside. Air above the object is none, nor what is joined to it only: it may be the air of a cavity.
    Straight down, air has to be `FLOOR` times as far. Cells far from the hull are 0.
    """
    depth = np.zeros(hull.shape, np.float32)
    if hull.any():
        near = _box_around(hull, LEAK_CELLS + 2)  # so that a ring of outside air is left: the rest tells nothing more
        depth[near] = _wall_depth(hull[near], free[near])
    return depth


def _wall_depth(hull: Bool[ndarray, "x y z"], free: Bool[ndarray, "x y z"]) -> Float[ndarray, "x y z"]:
    air = _outside_air(hull, free, over(hull))
    air = ndimage.binary_dilation(air, iterations=SKIN_CELLS, mask=air | (hull & free))
    level = np.arange(hull.shape[1])[:, None]
    under = level - np.maximum.accumulate(np.where(air, level, -len(level)), axis=1)  # cells down to air
    return np.minimum(ndimage.distance_transform_edt(~air), under / FLOOR).astype(np.float32)


def possible_cavities(
    hull: Bool[ndarray, "x y z"], depth: Float[ndarray, "x y z"], *, wall_cells: float | int, opening_cells: int
) -> list[Cavity]:
    """The cavities that the shape may have by its outside alone, the largest first.

    Water falls from above the hull and spreads, and stays more than `wall_cells` deep (`wall_depth`). Openings that a
    disc of radius `opening_cells` does not fit through are crevices. Openings that lead to one cavity are one.
    """
    room = hull & (depth > wall_cells)
    above = over(hull)
    rain = np.zeros_like(room)
    for level in range(room.shape[1] - 2, -1, -1):
        rain[:, level] = room[:, level] & (above[:, level + 1] | rain[:, level + 1])
    side = np.arange(-opening_cells, opening_cells + 1)
    disc = side[:, None] ** 2 + side**2 <= opening_cells**2
    labels, count = ndimage.label(ndimage.binary_opening(rain.any(1), disc), np.ones((3, 3)))
    least = LEAST_OPENING * hull.any(1).sum()
    found: list[Cavity] = []
    for number in range(1, count + 1):
        columns = labels == number
        if columns.sum() >= least:
            _join(found, Cavity(_water(room, rain & columns[:, None]), columns))
    return sorted(found, key=lambda cavity: -cavity.size)


def over(hull: Bool[ndarray, "x y z"]) -> Bool[ndarray, "x y z"]:
    """Cells over the highest one of their column."""
    return hull.any(1)[:, None] & (np.cumsum(hull[:, ::-1], axis=1)[:, ::-1] == 0)


def _box_around(cells: Bool[ndarray, "x y z"], margin: int) -> tuple[slice, ...]:
    spans = []
    for axis in range(3):
        inside = np.flatnonzero(cells.any(tuple({0, 1, 2} - {axis})))
        spans.append(slice(max(0, inside[0] - margin), inside[-1] + 1 + margin))
    return tuple(spans)


def _outside_air(
    hull: Bool[ndarray, "x y z"], free: Bool[ndarray, "x y z"], above: Bool[ndarray, "x y z"]
) -> Bool[ndarray, "x y z"]:
    """Air that reaches the object from its sides and from below, through no gap of `LEAK_CELLS` cells."""
    around = ~hull & ~above
    air = around | (hull & free)
    wide = ndimage.distance_transform_edt(np.pad(air, 1, constant_values=True)) > LEAK_CELLS
    labels, _ = ndimage.label(wide)
    reached = ndimage.distance_transform_edt(labels != labels[0, 0, 0]) <= LEAK_CELLS
    return (reached[1:-1, 1:-1, 1:-1] & air) | around


def _join(found: list[Cavity], new: Cavity) -> None:
    """Add a cavity, as a part of one that is there already where they are the same."""
    for index, known in enumerate(found):
        common = (known.cells & new.cells).sum()
        if common > SAME_CAVITY * min(known.size, new.size):
            found[index] = Cavity(known.cells | new.cells, known.columns | new.columns)
            return
    found.append(new)


def _water(room: Bool[ndarray, "x y z"], rain: Bool[ndarray, "x y z"]) -> Bool[ndarray, "x y z"]:
    """Cells of the room that water reaches which falls and spreads, never rising."""
    water = np.zeros_like(room)
    for level in range(room.shape[1] - 2, -1, -1):
        wet = rain[:, level] | (room[:, level] & water[:, level + 1])
        pools = ndimage.label(room[:, level])[0]
        touched = np.unique(pools[wet])
        water[:, level] = np.isin(pools, touched[touched > 0])
    return water
