"""Shoes and boots."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, turned
from sv3dgen.procedural.palettes import random_palette
from sv3dgen.procedural.patterns import bands, make_pattern, plain
from sv3dgen.procedural.pictures import emblem, lettering
from sv3dgen.procedural.sections import loft
from sv3dgen.procedural.surfaces import Surface, revolve, smooth_path, superellipsoid, tube


def shoe(rng: np.random.Generator) -> Assembly:
    """One shoe or a pair: sole, upper, an opening, laces, a stripe at the sides."""
    palette, one = random_palette(rng, natural=0.35), Assembly()
    wide, instep, collar = rng.uniform(0.13, 0.19), rng.uniform(0.1, 0.2), rng.uniform(0.2, 0.32)
    heel = rng.uniform(0.02, 0.07) if rng.random() < 0.8 else rng.uniform(0.1, 0.2)
    toe = rng.uniform(0.05, 0.1)
    _sole(rng, one, palette, wide, heel)
    stations = [
        (-0.47, 0.5 * collar + heel, 0.04, 0.3 * collar, 1.0),
        (-0.4, 0.5 * collar + heel, 0.62 * wide, 0.5 * collar, 0.8),
        (-0.15, 0.47 * collar + 0.7 * heel, 0.62 * wide, 0.47 * collar, 0.8),
        (0.1, 0.5 * instep + 0.3 * heel, 0.8 * wide, 0.5 * instep, 0.8),
        (0.33, 0.55 * toe + 0.02, 0.88 * wide, 0.6 * toe, 0.8),
        (0.48, 0.5 * toe + 0.01, 0.25 * wide, 0.3 * toe, 0.9),
    ]
    upper = make_pattern(rng, palette, busy=0.35)
    if rng.random() < 0.5:
        caps = bands([-0.28, 0.3], [palette.second, palette.main, palette.accent], axis=2)
        upper = caps
    one.add(loft(stations, 22), upper)
    opening = superellipsoid((0.5 * wide, 0.03, 0.19), (0.7, 0.9))
    one.add(moved(turned(opening, "x", 5), (0, collar + heel - 0.03, -0.24)), plain(palette.dark))
    if rng.random() < 0.75:
        laces = plain(palette.light if rng.random() < 0.7 else palette.accent)
        for z in np.linspace(-0.03, 0.2, int(rng.integers(3, 6))):
            y = float(
                np.interp(z, [-0.15, 0.1, 0.33], [0.94 * collar + 0.7 * heel, instep + 0.3 * heel, 1.15 * toe + 0.02])
            )
            one.add(
                tube(smooth_path([(-0.07, y - 0.015, z), (0, y + 0.008, z), (0.07, y - 0.015, z)], 6), 0.013), laces
            )
    if rng.random() < 0.65:
        picture = (emblem(rng, palette), lettering(rng, palette.light), _stripe(rng, palette))[rng.integers(3)]
        for side in (-1.0, 1.0):
            one.stick(picture, (side * 0.6 * wide, 0.5 * instep, -0.02), (0.3, 0.15), (side, 0.2, 0), reach=0.5 * wide)
    if rng.random() < 0.3:
        _shaft(rng, one, palette, wide, collar + heel)
    return _pair(one, 2.4 * wide) if rng.random() < 0.2 else one


def _sole(rng: np.random.Generator, made: Assembly, palette, wide: float, heel: float) -> None:
    thick = rng.uniform(0.025, 0.06)
    sole = [
        (-0.49, heel, 0.3 * wide, thick, 0.5),
        (-0.42, heel, 0.68 * wide, thick, 0.4),
        (-0.1, 0.6 * heel, 0.66 * wide, thick, 0.4),
    ]
    sole += [
        (0.2, 0, 0.95 * wide, thick, 0.4),
        (0.42, 0.01, 0.75 * wide, thick, 0.5),
        (0.51, 0.02, 0.15 * wide, 0.6 * thick, 0.8),
    ]
    made.add(loft(sole, 20), plain(palette.light if rng.random() < 0.5 else palette.dark))
    if heel > 0.08:
        block = revolve([(0.4 * wide, -thick), (0.6 * wide, heel), (0, heel)], (1.0, rng.uniform(0.5, 1.2)))
        made.add(moved(block, (0, 0, -0.36)), plain(palette.dark))


def _shaft(rng: np.random.Generator, made: Assembly, palette, wide: float, top: float) -> None:
    """Turns a shoe into a boot."""
    high = rng.uniform(0.2, 0.55)
    outside: Surface = revolve([(0.62 * wide, 0), (0.62 * wide, 0.4 * high), (0.75 * wide, high)], (1.0, 1.5))
    made.add(moved(outside, (0, top - 0.1, -0.24)), make_pattern(rng, palette, busy=0.4))
    made.add(
        moved(revolve([(0.75 * wide, 0), (0, -0.02)], (1.0, 1.5)), (0, top - 0.1 + high, -0.24)), plain(palette.dark)
    )


def _stripe(rng: np.random.Generator, palette) -> np.ndarray:
    """Slanted bars."""
    y, x = np.mgrid[0:32, 0:48] / 32.0
    bars = ((x + 0.5 * y) * rng.uniform(2, 4)) % 1.0 < 0.45
    picture = np.zeros((32, 48, 4))
    picture[..., :3] = palette.light
    picture[..., 3] = bars
    return picture


def _pair(one: Assembly, apart: float) -> Assembly:
    """The shoe and its mirror image next to it."""
    both = Assembly()
    for surface, pattern in one.parts:
        both.add_pair(moved(surface, (apart / 2, 0, 0)), pattern)
    for side in (-1.0, 1.0):
        for decal in one.decals:
            center = decal.center + np.array([side * apart / 2, 0, 0])
            size = (2 * decal.half_width, 2 * decal.half_height)
            both.stick(decal.picture, center, size, decal.facing, decal.reach)
    return both
