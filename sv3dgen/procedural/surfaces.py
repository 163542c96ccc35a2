"""Surfaces as lists of grids: revolved profiles, superellipsoids and tubes.

A grid is an array of points [rows, columns, 3] whose columns x rows direction points outwards. One that closes on
itself repeats its first column at the end. Every sharp edge lies between two grids, so that each grid is smooth.
Lengths are in the units of the object, whose longest side is about 1.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline, PchipInterpolator

Number = float | int
Knots = Sequence[Sequence[Number] | np.ndarray] | np.ndarray  # points, one after the other
Grid = Float[np.ndarray, "rows columns 3"]
Surface = list[Float[np.ndarray, "_ _ 3"]]  # each grid has a shape of its own

EDGE = 0.045  # wished length of a triangle's side along curved directions
SHARP_COS = 0.8  # cosine of the turn (37 degrees) from which a corner of a polyline is an edge


def segments_around(radius: Number) -> int:
    """Into how many pieces a circle of this radius is cut."""
    return int(np.clip(np.ceil(2 * np.pi * radius / EDGE), 8, 40))


def split_at_corners(line: Float[np.ndarray, "points dimensions"]) -> list[Float[np.ndarray, "_ dimensions"]]:
    """Cut an open polyline where it turns sharply, and drop pieces of zero length between equal points."""
    line = line[np.r_[True, np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-9]]
    step = np.diff(line, axis=0)
    step /= np.linalg.norm(step, axis=1, keepdims=True)
    corners = np.flatnonzero((step[:-1] * step[1:]).sum(1) < SHARP_COS) + 1
    cuts = [0, *corners.tolist(), len(line) - 1]
    return [line[first : last + 1] for first, last in pairwise(cuts)]


def revolve(profile: Knots, squash: tuple[Number, Number] = (1.0, 1.0)) -> Surface:
    """A profile of (radius, height) turned around +Y; outside where the profile goes up, x and z times `squash`."""
    profile = np.asarray(profile, dtype=np.float64)
    angle = np.linspace(0, 2 * np.pi, segments_around(float(profile[:, 0].max()) * max(squash)) + 1)
    circle = np.stack([squash[0] * np.sin(angle), np.zeros_like(angle), squash[1] * np.cos(angle)], -1)
    grids = []
    for piece in split_at_corners(profile):
        rise = np.zeros((len(piece), 1, 3))
        rise[:, 0, 1] = piece[:, 1]
        grids.append(piece[:, :1, None] * circle + rise)
    return grids


def smooth_profile(knots: Knots, points: int = 16) -> Float[np.ndarray, "points 2"]:
    """A smooth line through the knots, in even steps along them, that does not overshoot."""
    at = np.asarray(knots, dtype=np.float64)
    along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(at, axis=0), axis=1) + 1e-9)]
    return PchipInterpolator(along, at)(np.linspace(0, along[-1], points))


def smooth_path(knots: Knots, points: int = 14) -> Float[np.ndarray, "points 3"]:
    """A curve through the knots in space."""
    at = np.asarray(knots, dtype=np.float64)
    along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(at, axis=0), axis=1) + 1e-9)]
    if len(at) < 3:
        return np.stack([np.interp(np.linspace(0, along[-1], points), along, column) for column in at.T], -1)
    return CubicSpline(along, at)(np.linspace(0, along[-1], points))


def superellipsoid(
    radii: tuple[Number, Number, Number], exponents: tuple[Number, Number] = (1.0, 1.0), rows: int | None = None
) -> Surface:
    """Barr's superellipsoid around the origin; exponents (up, around): 1 is round, 0.2 boxy, 2 an octahedron."""
    around = segments_around(max(radii[0], radii[2]))
    rows = max(around // 2, 6) if rows is None else rows
    latitude, longitude = np.linspace(-0.5, 0.5, rows + 1) * np.pi, np.linspace(0, 2, around + 1) * np.pi
    ring = signed_power(np.cos(latitude), exponents[0])[:, None]
    points = np.empty((rows + 1, around + 1, 3))
    points[..., 0] = radii[0] * ring * signed_power(np.sin(longitude), exponents[1])
    points[..., 1] = radii[1] * signed_power(np.sin(latitude), exponents[0])[:, None]
    points[..., 2] = radii[2] * ring * signed_power(np.cos(longitude), exponents[1])
    return [points]


def signed_power(values: Float[np.ndarray, " points"], exponent: Number) -> Float[np.ndarray, " points"]:
    """|values| to a power, with the sign of the values; rounding errors around 0 count as 0."""
    return np.sign(values) * np.where(np.abs(values) < 1e-9, 0.0, np.abs(values)) ** exponent


def ball(radius: Number) -> Surface:
    """A sphere around the origin."""
    return superellipsoid((radius, radius, radius))


def tube(
    path: Float[np.ndarray, "points 3"],
    radius: Number | Sequence[Number] | np.ndarray,
    *,
    flat: Number = 1.0,
    round_ends: bool = True,
    closed: bool = False,
) -> Surface:
    """A pipe along a path, `flat` times as thick across the plane of its first bend; radii are spread along it.

    A closed path repeats its first point at the end.
    """
    radii = np.atleast_1d(np.asarray(radius, dtype=np.float64))
    radii = np.interp(np.linspace(0, 1, len(path)), np.linspace(0, 1, len(radii)), radii)
    if closed:
        ends = path[1] - path[-2]
        tangents = np.r_[ends[None], path[2:] - path[:-2], ends[None]]
    else:
        tangents = np.gradient(path, axis=0)
    tangents = tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
    sides = _carried_frame(tangents)
    if round_ends and not closed:
        path, radii, tangents, sides = _with_round_ends(path, radii, tangents, sides)
    angle = np.linspace(0, 2 * np.pi, max(segments_around(float(radii.max())), 8) + 1)
    across = np.cross(tangents, sides)
    ring = np.cos(angle)[:, None] * sides[:, None] + flat * np.sin(angle)[:, None] * across[:, None]
    side = path[:, None] + radii[:, None, None] * ring
    if closed or round_ends:
        return [side]
    start = np.stack([np.broadcast_to(path[0], side[0].shape), side[0]])
    end = np.stack([side[-1], np.broadcast_to(path[-1], side[-1].shape)])
    return [start, side, end]


def _carried_frame(tangents: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
    """A unit vector at right angles to every tangent that turns as little as possible along the way."""
    bend = np.cross(tangents[0], tangents[len(tangents) // 2])
    if np.linalg.norm(bend) < 1e-3:
        bend = np.eye(3)[np.abs(tangents[0]).argmin()]
    sides = np.empty_like(tangents)
    side = np.cross(bend, tangents[0])
    for i, tangent in enumerate(tangents):
        side = side - (side @ tangent) * tangent
        side /= np.linalg.norm(side)
        sides[i] = side
    return sides


def _with_round_ends(path, radii, tangents, sides):
    """Half spheres at both ends, as more rings along the path."""
    turn = np.linspace(0, 0.5 * np.pi, 4)[:-1]
    low = path[0] - np.cos(turn)[:, None] * radii[0] * tangents[0]
    high = path[-1] + np.cos(turn)[::-1, None] * radii[-1] * tangents[-1]
    path = np.concatenate([low, path, high])
    radii = np.concatenate([np.sin(turn) * radii[0], radii, np.sin(turn)[::-1] * radii[-1]])
    spread = [np.repeat(ends, len(turn), axis=0) for ends in (tangents[:1], tangents[-1:], sides[:1], sides[-1:])]
    tangents = np.concatenate([spread[0], tangents, spread[1]])
    return path, radii, tangents, np.concatenate([spread[2], sides, spread[3]])


def torus(radius: Number, thickness: Number, flat: Number = 1.0) -> Surface:
    """A ring around +Y."""
    angle = np.linspace(0, 2 * np.pi, segments_around(radius) + 1)
    path = radius * np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], -1)
    return tube(path, thickness, flat=flat, closed=True)
