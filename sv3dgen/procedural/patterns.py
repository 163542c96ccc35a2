"""Solid patterns: a color for every point of a surface, so that they run on across all its grids.

A pattern maps points and unit normals to sRGB colors; `make_pattern` draws one, the rest are what it draws from.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from sv3dgen.procedural.palettes import Color, Palette, shade

Points = Float[np.ndarray, "points 3"]
Values = Float[np.ndarray, " points"]
Pattern = Callable[[Points, Points], Points]

LATTICE = 16  # cells after which noise repeats


def plain(color: Color) -> Pattern:
    """One color."""
    return lambda points, normals: np.broadcast_to(color, points.shape)


def blend(share: Values, low: Color, high: Color) -> Points:
    """From `low` at 0 to `high` at 1."""
    return low + share[:, None] * (high - low)


def step(values: Values, width: float | int = 0.02) -> Values:
    """0 below 0, 1 above, with a soft edge that keeps texels from stairs."""
    return np.clip(values / width + 0.5, 0, 1)


def value_noise(points: Points, frequency: float | int, rng: np.random.Generator, octaves: int = 1) -> Values:
    """Random values on a lattice of `frequency` cells per unit, linear in between; in [0, 1]."""
    total = np.zeros(len(points))
    for octave in range(octaves):
        table = rng.random((LATTICE,) * 3, dtype=np.float32)
        at = points.T * (frequency * 2**octave) + rng.uniform(0, LATTICE, (3, 1))
        total += map_coordinates(table, at, order=1, mode="grid-wrap", prefilter=False) * 0.5**octave
    return total / (2 - 0.5 ** (octaves - 1))


def gradient(axis: Float[np.ndarray, " 3"], low: Color, high: Color, reach: float | int = 0.5) -> Pattern:
    """Linear along an axis from -reach to reach."""
    return lambda points, normals: blend(np.clip(points @ axis / (2 * reach) + 0.5, 0, 1), low, high)


def stripes(
    axis: Float[np.ndarray, " 3"], period: float | int, duty: float | int, first: Color, second: Color
) -> Pattern:
    """Bands at right angles to an axis."""

    def paint(points: Points, normals: Points) -> Points:
        phase = (points @ axis / period) % 1.0
        return blend(step((np.minimum(phase, 1 - phase) * 2 - duty) * period, 0.015), first, second)

    return paint


def bands(heights: list[float], colors: list[Color], axis: int = 1) -> Pattern:
    """One color up to each height, and one above all; one more color than heights."""

    def paint(points: Points, normals: Points) -> Points:
        painted = np.broadcast_to(colors[0], points.shape)
        for height, color in zip(heights, colors[1:], strict=True):
            share = step(points[:, axis] - height, 0.012)[:, None]
            painted = painted * (1 - share) + share * color
        return painted

    return paint


def checks(period: float | int, first: Color, second: Color, axes: tuple[int, ...] = (0, 1, 2)) -> Pattern:
    """A checker of cubes, or of columns where an axis is left out."""

    def paint(points: Points, normals: Points) -> Points:
        parity = np.floor(points[:, axes] / period + 0.5).sum(1) % 2
        return blend(parity, first, second)

    return paint


def noise(seed: int, frequency: float | int, low: Color, high: Color, sharp: bool, octaves: int = 2) -> Pattern:
    """Clouds, or with `sharp` patches as of a cow or of camouflage."""

    def paint(points: Points, normals: Points) -> Points:
        values = value_noise(points, frequency, np.random.default_rng(seed), octaves)
        share = step(values - 0.5, 0.03) if sharp else np.clip(2 * values - 0.5, 0, 1)
        return blend(share, low, high)

    return paint


def dots(seed: int, period: float | int, size: float | int, ground: Color, dot: Color) -> Pattern:
    """Balls on a jittered lattice, cut by the surface; `size` is their radius in periods."""

    def paint(points: Points, normals: Points) -> Points:
        cell = np.floor(points / period)
        jitter = np.random.default_rng(seed).uniform(0.35, 0.65, (8, 8, 8, 3))
        index = cell.astype(np.int64) % 8
        center = (cell + jitter[index[:, 0], index[:, 1], index[:, 2]]) * period
        # Only the part along the surface counts, so that dots are round wherever their ball is cut.
        offset = points - center
        along = offset - (offset * normals).sum(1, keepdims=True) * normals
        return blend(step(size * period - np.linalg.norm(along, axis=1), 0.012), ground, dot)

    return paint


def grain(seed: int, color: Color, axis: int = 1) -> Pattern:
    """Wood: rings around an axis, disturbed by noise."""
    dark = shade(color, 0.72)

    def paint(points: Points, normals: Points) -> Points:
        rng = np.random.default_rng(seed)
        offset = rng.uniform(-0.4, 0.4, 3)
        stretched = points * np.where(np.arange(3) == axis, 0.15, 1.0)
        bend = 0.12 * value_noise(stretched, 5.0, rng)
        radius = np.linalg.norm(np.delete(points - offset, axis, 1), axis=1) + bend
        return blend(0.5 + 0.5 * np.sin(radius * rng.uniform(60, 130)), dark, color)

    return paint


def countershaded(pattern: Pattern, belly: Color, soft: float | int = 0.5) -> Pattern:
    """The pattern, going over to `belly` where the surface looks down."""

    def paint(points: Points, normals: Points) -> Points:
        share = np.clip((-normals[:, 1] - 0.15) / soft, 0, 1)[:, None]
        return pattern(points, normals) * (1 - share) + share * belly

    return paint


def lined(
    pattern: Pattern, period: float | int, color: Color, axes: tuple[int, ...] = (1,), width: float | int = 0.12
) -> Pattern:
    """The pattern with joints every `period` along the axes: bricks, planks, panels."""

    def paint(points: Points, normals: Points) -> Points:
        phase = (points[:, axes] / period) % 1.0
        share = (phase < width).any(1).astype(np.float64)[:, None] * 0.8
        return pattern(points, normals) * (1 - share) + share * color

    return paint


def random_axis(rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    """Mostly one of the world's axes, else any direction."""
    if rng.random() < 0.7:
        return np.eye(3)[rng.choice([0, 1, 1, 2])]
    axis = rng.normal(size=3)
    return axis / np.linalg.norm(axis)


def make_pattern(
    rng: np.random.Generator, palette: Palette, first: Color | None = None, busy: float | int = 0.6
) -> Pattern:
    """A pattern on `first` (the palette's main color); plain with probability 1 - busy."""
    first = palette.main if first is None else first
    if rng.random() > busy:
        return plain(first)
    second = (palette.second, palette.accent, palette.light, palette.dark, shade(first, rng.uniform(0.5, 0.85)))[
        rng.integers(5)
    ]
    seed, kind = int(rng.integers(1 << 31)), rng.integers(9)
    if kind == 0:
        return gradient(random_axis(rng), first, second)
    if kind in (1, 2):
        return stripes(random_axis(rng), rng.uniform(0.07, 0.3), rng.uniform(0.2, 0.7), first, second)
    if kind == 3:
        return checks(rng.uniform(0.06, 0.2), first, second, ((0, 1, 2), (0, 1), (0, 2))[rng.integers(3)])
    if kind == 4:
        return dots(seed, rng.uniform(0.09, 0.22), rng.uniform(0.2, 0.38), first, second)
    if kind == 5:
        return bands([float(rng.uniform(-0.2, 0.2))], [second, first])
    if kind == 6:
        return lined(plain(first), rng.uniform(0.08, 0.2), second, ((1,), (0, 1), (0, 2))[rng.integers(3)])
    return noise(seed, rng.uniform(3, 12), first, second, sharp=bool(rng.random() < 0.5))
