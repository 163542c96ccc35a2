"""Things that are nothing in particular: random solids put together, often mirrored or repeated around an axis."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, tapered, turned
from sv3dgen.procedural.palettes import random_palette
from sv3dgen.procedural.patterns import make_pattern
from sv3dgen.procedural.pictures import emblem, face, label, lettering
from sv3dgen.procedural.sections import box, extrude
from sv3dgen.procedural.surfaces import Surface, revolve, smooth_path, superellipsoid, torus, tube
from sv3dgen.procedural.trinkets import random_outline


def random_solid(rng: np.random.Generator, size: float, upright: bool = False) -> Surface:
    """A primitive of about this half length, tapered and, unless upright, turned at random."""
    a, b, c = (float(value) for value in size * rng.uniform(0.35, 1.0, 3))
    kind = rng.choice([0, 1, 4, 5, 6] if upright else 7)
    if kind == 0:
        solid = box(2 * a, 2 * b, 2 * c, 0.3 * min(a, b) * rng.random())
    elif kind == 1:
        solid = revolve([(0, -b), (a, -b), (a * rng.uniform(0.0, 1.2), b), (0, b)], (1.0, float(rng.uniform(0.6, 1.0))))
    elif kind == 2:
        solid = torus(a, 0.4 * min(a, b))
    elif kind == 3:
        ends = rng.uniform(-1, 1, (3, 3)) * size
        solid = tube(smooth_path([ends[0], 0.4 * ends[1], ends[2]], 10), rng.uniform(0.15, 0.35, 3) * size)
    elif kind == 4:
        solid = [2 * size * grid for grid in extrude(random_outline(rng), rng.uniform(0.2, 0.8), 0.04)]
    else:
        solid = superellipsoid((a, b, c), tuple(rng.choice([0.25, 0.5, 1.0, 1.0, 1.6], 2).tolist()))
    if rng.random() < 0.3:
        solid = tapered(solid, rng.uniform(0.2, 1.3), -b, b)
    if not upright and rng.random() < 0.5:
        solid = turned(turned(solid, "x", rng.uniform(0, 180)), "y", rng.uniform(0, 180))
    return solid


def composite(rng: np.random.Generator) -> Assembly:
    """A core and smaller solids on it, single, mirrored or in a ring, each stuck into what was there."""
    palette, made = random_palette(rng), Assembly()
    core = random_solid(rng, 0.35, upright=True)
    made.add(core, make_pattern(rng, palette))
    anchors = np.concatenate([grid.reshape(-1, 3) for grid in core])
    for _ in range(rng.integers(1, 6)):
        solid = random_solid(rng, rng.uniform(0.1, 0.26), upright=bool(rng.random() < 0.5))
        pattern = make_pattern(rng, palette, palette.any(rng), busy=0.5)
        place = 0.88 * anchors[rng.integers(len(anchors))]
        kind = rng.random()
        if kind < 0.5:
            made.add_pair(moved(solid, place), pattern)
        elif kind < 0.7:
            count = int(rng.integers(3, 7))
            for turn in range(count):
                made.add(turned(moved(solid, place * [0.8, 1.0, 0.8]), "y", 360 / count * turn), pattern)
        else:
            solid = moved(solid, place)
            made.add(solid, pattern)
            anchors = np.concatenate([anchors, *(grid.reshape(-1, 3) for grid in solid)])
    for facing in ((0, 0, 1), (0, 0, -1), (1, 0, 0)):
        if rng.random() < 0.5:
            picture = (
                (face, label, emblem)[rng.integers(3)](rng, palette)
                if rng.random() < 0.75
                else lettering(rng, palette.dark, palette.light, 2)
            )
            made.stick(
                picture, np.array(facing) * 0.2, (rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.5)), facing, reach=0.3
            )
    return made


def one_solid(rng: np.random.Generator) -> Assembly:
    """A single primitive with a busy surface."""
    palette, made = random_palette(rng), Assembly()
    made.add(random_solid(rng, 0.5), make_pattern(rng, palette, busy=0.95))
    for facing in ((0, 0, 1), (0, 0, -1), (1, 0, 0), (-1, 0, 0)):
        if rng.random() < 0.35:
            picture = (face, label, emblem)[rng.integers(3)](rng, palette)
            made.stick(
                picture, np.array(facing) * 0.2, (rng.uniform(0.25, 0.5), rng.uniform(0.25, 0.5)), facing, reach=0.4
            )
    return made
