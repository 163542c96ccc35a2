"""Surfaces made of cross sections: lofts along +Z, and extruded outlines with a bevel and perhaps a hole."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from sv3dgen.procedural.surfaces import (
    EDGE,
    Knots,
    Number,
    Surface,
    segments_around,
    signed_power,
    split_at_corners,
)

Outline = Float[np.ndarray, "corners 2"]  # counter-clockwise, not repeating its first point, star-shaped around 0


def loft(stations: Knots, rows: int = 18, power: Number = 1.0) -> Surface:
    """A body along +Z through stations (z, center height, half width, half height, superellipse exponent).

    Exponent 1 is an ellipse, 0.3 a rounded box. Ends are closed flat. `power` above 1 puts more rows near the ends.
    """
    at = np.asarray(stations, dtype=np.float64)
    knots = np.arange(len(at), dtype=np.float64)
    ease = np.linspace(-1, 1, rows)
    ease = np.sign(ease) * (1 - (1 - np.abs(ease)) ** power)
    z, height, wide, tall, exponent = PchipInterpolator(knots, at)((ease + 1) / 2 * knots[-1]).T
    angle = np.linspace(0, 2 * np.pi, segments_around(float(max(at[:, 2].max(), at[:, 3].max()))) + 1)
    rings = []
    for i in range(rows):
        x, y = signed_power(np.cos(angle), exponent[i]), signed_power(np.sin(angle), exponent[i])
        rings.append(np.stack([wide[i] * x, height[i] + tall[i] * y, np.full_like(x, z[i])], -1))
    side = np.stack(rings)
    back = np.stack([np.broadcast_to(side[0].mean(0), side[0].shape), side[0]])
    front = np.stack([side[-1], np.broadcast_to(side[-1].mean(0), side[-1].shape)])
    return [side, back, front]


def extrude(
    outline: Outline, depth: Number, bevel: Number = 0.0, hole: Float[np.ndarray, "_ 2"] | None = None
) -> Surface:
    """An outline in the x-y plane given a thickness along z, centered; `hole` is an outline inside it, around 0 too."""
    bevel = min(bevel, 0.45 * depth)
    surface = _walls(outline, depth, bevel)
    inner = np.zeros((2, 2))
    if hole is not None:
        surface += [grid[:, ::-1] for grid in _walls(hole, depth, -bevel)]
        inner = np.concatenate([hole, hole[:1]])
    rim = _inset(np.concatenate([outline, outline[:1]]), bevel)
    center = _along_angles(inner, rim) if hole is not None else np.zeros_like(rim)
    if hole is not None:
        center = _inset(center, -bevel)
    front = np.stack([_at(rim, depth / 2), _at(center, depth / 2)])
    back = np.stack([_at(center, -depth / 2), _at(rim, -depth / 2)])
    return [*surface, front, back]


def _walls(outline: Outline, depth: Number, bevel: Number) -> Surface:
    line = np.concatenate([outline, outline[:1]])
    low, high = -depth / 2, depth / 2
    if bevel == 0:
        return [np.stack([_at(piece, low), _at(piece, high)]) for piece in split_at_corners(line)]
    narrow = _inset(line, bevel)
    step = abs(bevel)
    grids = []
    start = 0
    for piece in split_at_corners(line):
        stop = start + len(piece)
        inset = narrow[start:stop] if stop <= len(narrow) else narrow[-len(piece) :]
        grids.append(np.stack([_at(inset, low), _at(piece, low + step)]))
        grids.append(np.stack([_at(piece, low + step), _at(piece, high - step)]))
        grids.append(np.stack([_at(piece, high - step), _at(inset, high)]))
        start = stop - 1
    return grids


def _at(line: Float[np.ndarray, "points 2"], z: Number) -> Float[np.ndarray, "points 3"]:
    return np.concatenate([line, np.full((len(line), 1), z)], axis=1)


def _inset(line: Float[np.ndarray, "points 2"], distance: Number) -> Float[np.ndarray, "points 2"]:
    """A closed line (first point repeated) pulled inwards along its normals."""
    step = np.diff(np.concatenate([line[-2:-1], line, line[1:2]]), axis=0)
    step /= np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12)
    along = step[:-1] + step[1:]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    # At a corner the offset line runs farther out by the secant of half the turn; more than 2 would make spikes.
    stretch = 1 / np.maximum((along * step[1:]).sum(1, keepdims=True), 0.5)
    return line + distance * stretch * np.stack([-along[:, 1], along[:, 0]], -1)


def _along_angles(
    closed: Float[np.ndarray, "points 2"], like: Float[np.ndarray, "others 2"]
) -> Float[np.ndarray, "others 2"]:
    """The points of one star-shaped closed line in the directions of another's points."""
    angle = np.unwrap(np.arctan2(closed[:, 1], closed[:, 0]))
    radius = np.linalg.norm(closed, axis=1)
    wished = np.arctan2(like[:, 1], like[:, 0])
    found = np.interp((wished - angle[0]) % (2 * np.pi), angle - angle[0], radius)
    return found[:, None] * np.stack([np.cos(wished), np.sin(wished)], -1)


def rounded_rectangle(width: Number, height: Number, radius: Number, corner_points: int = 4) -> Outline:
    """Counter-clockwise, centered."""
    radius = min(radius, 0.499 * width, 0.499 * height)
    centers = np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]]) * [width / 2 - radius, height / 2 - radius]
    turn = np.linspace(0, 0.5 * np.pi, corner_points)
    arcs = [
        center + radius * np.stack([np.cos(turn + start), np.sin(turn + start)], -1)
        for center, start in zip(centers, np.arange(-1, 3) * 0.5 * np.pi, strict=True)
    ]
    return np.concatenate(arcs)


def polar_outline(radius_at: Callable[[np.ndarray], np.ndarray], points: int = 48) -> Outline:
    """An outline from its radius at every angle (radians, from +X towards +Y)."""
    angle = np.arange(points) * 2 * np.pi / points
    return np.asarray(radius_at(angle))[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def box(width: Number, height: Number, depth: Number, rounding: Number = 0.0, bevel: Number | None = None) -> Surface:
    """A box around the origin, its four edges along z rounded, the others beveled; sharp where both are 0."""
    bevel = 0.5 * rounding if bevel is None else bevel
    if rounding <= 0:
        corners = np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]]) * [width / 2, height / 2]
        return extrude(corners.astype(np.float64), depth, bevel)
    points = int(np.clip(np.ceil(0.5 * np.pi * rounding / EDGE), 3, 8))
    return extrude(rounded_rectangle(width, height, rounding, points), depth, bevel)
