"""Chairs, tables, cupboards, beds, houses."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, turned
from sv3dgen.procedural.palettes import metal, random_palette, wood
from sv3dgen.procedural.patterns import Pattern, grain, lined, make_pattern, plain
from sv3dgen.procedural.pictures import panes
from sv3dgen.procedural.sections import box, extrude
from sv3dgen.procedural.surfaces import ball, revolve, smooth_path, superellipsoid, tube


def material(rng: np.random.Generator, palette) -> Pattern:
    """Wood, metal or paint."""
    kind = rng.random()
    if kind < 0.45:
        return grain(int(rng.integers(1 << 31)), wood(rng), int(rng.integers(3)))
    return plain(metal(rng)) if kind < 0.6 else make_pattern(rng, palette, busy=0.3)


def add_legs(rng: np.random.Generator, made: Assembly, pattern: Pattern, half: tuple[float, float], top: float) -> None:
    """Four legs under a board: square or round, straight or splayed."""
    thick, splay, square = rng.uniform(0.02, 0.045), rng.uniform(0, 0.08), rng.random() < 0.5
    for z in (-1.0, 1.0):
        x, depth = half[0] - thick, z * (half[1] - thick)
        if square:
            made.add_pair(moved(box(2 * thick, top, 2 * thick, 0.0), (x, top / 2, depth)), pattern)
        else:
            path = smooth_path([(x, top, depth), (x + splay, 0, depth + z * splay)], 5)
            made.add_pair(tube(path, [thick, 0.7 * thick]), pattern)


def chair(rng: np.random.Generator) -> Assembly:
    """A seat, four legs or a pedestal, a back of boards or bars, perhaps arms."""
    palette, made = random_palette(rng), Assembly()
    frame, seat = material(rng, palette), material(rng, palette)
    wide, deep, high = rng.uniform(0.2, 0.3), rng.uniform(0.2, 0.27), rng.uniform(0.35, 0.5)
    thick = rng.uniform(0.03, 0.12)
    made.add(moved(box(2 * wide, thick, 2 * deep, 0.4 * thick), (0, high, 0)), seat)
    if rng.random() < 0.8:
        add_legs(rng, made, frame, (wide, deep), high)
    else:
        made.add(revolve([(0, 0), (0.8 * wide, 0), (0.8 * wide, 0.03), (0.04, 0.08), (0.04, high), (0, high)]), frame)
    back, kind = rng.uniform(0.3, 0.55), rng.integers(4)
    if kind == 0:
        board = turned(box(2 * wide, back, 0.04, rng.uniform(0.0, 0.15)), "x", -rng.uniform(0, 12))
        made.add(moved(board, (0, high + 0.5 * back, -deep)), seat)
    elif kind == 1:
        for x in np.linspace(-0.85, 0.85, int(rng.integers(3, 7))) * wide:
            made.add(tube(smooth_path([(x, high, -deep), (x, high + back, -deep - 0.05)], 5), 0.018), frame)
        made.add(moved(box(2 * wide, 0.07, 0.04, 0.02), (0, high + back, -deep - 0.05)), frame)
    elif kind == 2:
        for x in (-0.9 * wide, 0.9 * wide):
            made.add(moved(box(0.045, back, 0.045, 0.0), (x, high + back / 2, -deep)), frame)
        for y in np.linspace(0.35, 0.95, int(rng.integers(2, 4))):
            made.add(moved(box(1.9 * wide, 0.08, 0.03, 0.01), (0, high + y * back, -deep)), seat)
    else:
        round_back = superellipsoid((wide, 0.6 * back, 0.05), (0.7, 0.6))
        made.add(moved(round_back, (0, high + 0.55 * back, -deep)), seat)
    if rng.random() < 0.35:
        arm = smooth_path(
            [(wide, high + 0.2, -deep), (wide + 0.01, high + 0.2, 0.6 * deep), (wide, high, 0.7 * deep)], 10
        )
        made.add_pair(tube(arm, 0.025), frame)
    return made


def table(rng: np.random.Generator) -> Assembly:
    """A board on legs or a column, perhaps with things on it."""
    palette, made = random_palette(rng), Assembly()
    frame, top = material(rng, palette), material(rng, palette)
    wide, deep, high = rng.uniform(0.3, 0.5), rng.uniform(0.2, 0.45), rng.uniform(0.25, 0.6)
    if rng.random() < 0.35:
        made.add(revolve([(0, high), (wide, high), (wide, high + 0.04), (0, high + 0.04)]), top)
        deep = wide
    else:
        made.add(moved(box(2 * wide, 0.05, 2 * deep, 0.02), (0, high, 0)), top)
    if rng.random() < 0.7:
        add_legs(rng, made, frame, (0.85 * wide, 0.85 * deep) if deep == wide else (wide, deep), high)
    else:
        made.add(revolve([(0, 0), (0.5 * deep, 0), (0.05, 0.07), (0.05, high), (0, high)]), frame)
    for _ in range(rng.integers(0, 4)):
        size, x, z = rng.uniform(0.05, 0.12), rng.uniform(-0.6, 0.6) * wide, rng.uniform(-0.6, 0.6) * deep
        thing = ball(size) if rng.random() < 0.5 else box(2 * size, 2 * size, 2 * size, 0.02)
        made.add(moved(thing, (x, high + 0.02 + size, z)), make_pattern(rng, palette, palette.any(rng)))
    return made


def cupboard(rng: np.random.Generator) -> Assembly:
    """Drawers, doors and shelves: the front says what it is, the back is plain."""
    palette, made = random_palette(rng), Assembly()
    body, fronts = material(rng, palette), material(rng, palette)
    wide, tall, deep = rng.uniform(0.4, 0.9), rng.uniform(0.5, 1.0), rng.uniform(0.25, 0.5)
    made.add(box(wide, tall, deep, 0.0, 0.0), body)
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    knob = plain(metal(rng))
    for row in range(rows):
        for column in range(columns):
            x = ((column + 0.5) / columns - 0.5) * wide
            y = ((row + 0.5) / rows - 0.5) * tall
            front = box(0.88 * wide / columns, 0.88 * tall / rows, 0.04, 0.01)
            made.add(moved(front, (x, y, deep / 2)), fronts if rng.random() < 0.85 else plain(palette.dark))
            made.add(moved(ball(0.022), (x, y, deep / 2 + 0.04)), knob)
    if rng.random() < 0.5:
        made.add(moved(box(1.08 * wide, 0.04, 1.1 * deep, 0.01), (0, tall / 2, 0)), body)
    if rng.random() < 0.5:
        for z in (-0.4, 0.4):
            made.add_pair(moved(box(0.05, 0.14, 0.05, 0.0), (0.44 * wide, -tall / 2 - 0.05, z * deep)), body)
    return made


def sofa(rng: np.random.Generator) -> Assembly:
    """Sofas, armchairs and beds: cushions on a base."""
    palette, made = random_palette(rng), Assembly()
    cloth, other = make_pattern(rng, palette), make_pattern(rng, palette, palette.second)
    wide, deep = rng.uniform(0.25, 0.5), rng.uniform(0.22, 0.45)
    made.add(moved(box(2 * wide, 0.18, 2 * deep, 0.03), (0, 0.1, 0)), cloth)
    count = int(rng.integers(1, 4))
    for place in range(count):
        x = ((place + 0.5) / count - 0.5) * 1.8 * wide
        cushion = superellipsoid((0.95 * 0.9 * wide / count, 0.06, 0.9 * deep), (0.5, 0.3))
        made.add(moved(cushion, (x, 0.22, 0.03)), other)
    made.add(moved(superellipsoid((wide, rng.uniform(0.15, 0.3), 0.09), (0.4, 0.4)), (0, 0.3, -deep)), cloth)
    if rng.random() < 0.7:
        arm = superellipsoid((0.07, 0.16, deep), (0.5, 0.4))
        made.add_pair(moved(arm, (wide, 0.2, 0)), cloth)
    for z in (-0.85, 0.85):
        made.add_pair(moved(box(0.05, 0.1, 0.05, 0.0), (0.85 * wide, -0.02, z * deep)), plain(palette.dark))
    return made


def house(rng: np.random.Generator) -> Assembly:
    """Walls with windows and a door at the front, a roof, a chimney or a tower."""
    palette, made = random_palette(rng, natural=0.4), Assembly()
    wide, tall, deep = rng.uniform(0.4, 0.7), rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.7)
    walls = make_pattern(rng, palette, busy=0.2)
    if rng.random() < 0.4:
        walls = lined(walls, rng.uniform(0.05, 0.1), palette.dark, width=0.15)
    made.add(moved(box(wide, tall, deep, 0.0, 0.0), (0, tall / 2, 0)), walls)
    ridge, eaves = rng.uniform(0.12, 0.4), rng.uniform(0.02, 0.08)
    # Star-shaped around its middle: a triangle seen from the gable.
    gable = np.array([[wide / 2 + eaves, -ridge / 2], [0, ridge / 2], [-wide / 2 - eaves, -ridge / 2]])
    gable -= gable.mean(0)
    tiles = lined(plain(palette.second), 0.06, palette.dark) if rng.random() < 0.6 else plain(palette.second)
    roof = extrude(gable, deep + 2 * eaves)
    along = rng.random() < 0.5
    lift = tall + ridge / 3
    if along:
        made.add(moved(roof, (0, lift, 0)), tiles)
    else:
        side = [grid * np.array([deep / wide, 1, wide / deep]) for grid in roof]
        made.add(moved(turned(side, "y", 90), (0, lift, 0)), tiles)
    glass = np.array([0.15, 0.25, 0.4]) if rng.random() < 0.6 else np.array([0.95, 0.85, 0.4])
    for facing, half, length in (
        ((0, 0, 1), deep, wide),
        ((0, 0, -1), deep, wide),
        ((1, 0, 0), wide, deep),
        ((-1, 0, 0), wide, deep),
    ):
        columns, rows = int(rng.integers(1, 5)), int(rng.integers(1, 3))
        place = np.array(facing) * half / 2 + [0, 0.6 * tall, 0]
        made.stick(panes(rng, glass, palette.light, columns, rows), place, (0.8 * length, 0.55 * tall), facing, 0.03)
    door = box(0.16, rng.uniform(0.3, 0.5) * tall, 0.03, 0.0, 0.0)
    made.add(moved(door, (rng.uniform(-0.25, 0.25) * wide, 0.2 * tall, deep / 2)), plain(palette.accent))
    if rng.random() < 0.6:
        made.add(moved(box(0.08, 0.3, 0.08, 0.0), (0.25 * wide, tall + 0.6 * ridge, -0.1 * deep)), plain(palette.dark))
    return made
