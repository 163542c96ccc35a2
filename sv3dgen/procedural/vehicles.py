"""Things that drive, fly and float."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, turned
from sv3dgen.procedural.palettes import Palette, from_hsv, metal, random_palette
from sv3dgen.procedural.patterns import bands, make_pattern, plain
from sv3dgen.procedural.pictures import emblem, face, lettering, panes
from sv3dgen.procedural.sections import box, loft
from sv3dgen.procedural.surfaces import Surface, ball, revolve, smooth_path, superellipsoid, torus, tube

GLASS = np.array([0.12, 0.17, 0.22])


def wheel(radius: float, width: float) -> tuple[Surface, Surface]:
    """Tire and hub, its axis along x."""
    profile = [(0.6 * radius, -0.5 * width), (0.92 * radius, -0.5 * width), (radius, -0.3 * width)]
    profile += [(radius, 0.3 * width), (0.92 * radius, 0.5 * width), (0.6 * radius, 0.5 * width)]
    hub = [(0, -0.42 * width), (0.62 * radius, -0.42 * width), (0.62 * radius, 0.42 * width), (0, 0.42 * width)]
    return turned(revolve(profile), "z", -90), turned(revolve(hub), "z", -90)


def add_wheels(rng, made: Assembly, palette: Palette, places: list[tuple[float, float]], radius: float, height: float):
    """A pair at every (half track, z); the axle's height is that of the hull's underside."""
    tire, hub = wheel(radius, rng.uniform(0.35, 0.8) * radius)
    rubber = plain(palette.dark if rng.random() < 0.8 else palette.accent)
    inner = plain(metal(rng) if rng.random() < 0.5 else palette.second)
    for track, z in places:
        made.add_pair(moved(tire, (track, height, z)), rubber)
        made.add_pair(moved(hub, (track, height, z)), inner)


def lights(made: Assembly, half: float, height: float, z: float, size: float) -> None:
    """Two white lights in front and two red ones behind."""
    lamp = superellipsoid((size, size, 0.4 * size))
    made.add_pair(moved(lamp, (half, height, z)), plain(np.array([0.97, 0.95, 0.8])))
    made.add_pair(moved(lamp, (half, height, -z)), plain(np.array([0.75, 0.06, 0.05])))


def car(rng: np.random.Generator) -> Assembly:
    """A rounded hull and a cabin with windows all around; sports cars to vans."""
    palette, made = random_palette(rng, natural=0.05), Assembly()
    long, wide, tall = 0.5, rng.uniform(0.17, 0.26), rng.uniform(0.07, 0.13)
    paint = make_pattern(rng, palette, busy=0.3)
    square = rng.uniform(0.3, 0.7)
    nose = rng.uniform(0.5, 0.95)
    hull = [(-long, 0, 0.75 * wide, 0.6 * tall, square), (-0.4, 0.01, wide, tall, square), (0.0, 0, wide, tall, square)]
    hull += [(0.38, 0, wide, nose * tall, square), (long, -0.02, 0.75 * wide, 0.6 * nose * tall, square)]
    made.add(loft(hull, 16, 1.5), paint)
    cabin, back, front = rng.uniform(0.09, 0.2), rng.uniform(-0.48, -0.2), rng.uniform(0.08, 0.35)
    middle = tall * 0.7
    slope = rng.uniform(0.04, 0.14)
    roof = [(back, middle, 0.85 * wide, 0.03, 0.5), (back + slope, middle, 0.82 * wide, cabin, 0.5)]
    roof += [(front - slope - 0.03, middle, 0.8 * wide, cabin, 0.5), (front, middle, 0.85 * wide, 0.03, 0.5)]
    glass = bands([middle + 0.25 * cabin, middle + 0.8 * cabin], [palette.main, GLASS, palette.main])
    made.add(loft(roof, 16), glass if rng.random() < 0.85 else paint)
    lights(made, 0.6 * wide, 0.01, 0.97 * long, 0.035)
    radius = rng.uniform(0.075, 0.12)
    add_wheels(rng, made, palette, [(0.95 * wide, 0.3), (0.95 * wide, -0.3)], radius, -tall * 0.8)
    if rng.random() < 0.5:
        picture = emblem(rng, palette) if rng.random() < 0.5 else lettering(rng, palette.light)
        for side in (-1.0, 1.0):
            made.stick(picture, (side * wide, 0, 0), (0.24, 0.14), (side, 0, 0), reach=0.2 * wide)
    if rng.random() < 0.3:
        made.stick(face(rng, palette), (0, 0.02, long), (1.5 * wide, 2.2 * tall), reach=0.25)
    if rng.random() < 0.25:
        made.add(moved(box(1.8 * wide, 0.015, 0.1), (0, tall + 0.07, -0.45)), plain(palette.dark))
        made.add_pair(moved(box(0.02, 0.09, 0.05), (0.7 * wide, tall + 0.02, -0.45)), plain(palette.dark))
    return made


def bus(rng: np.random.Generator) -> Assembly:
    """Buses, vans, trams: a box with rows of windows, perhaps a bonnet in front."""
    palette, made = random_palette(rng, natural=0.05), Assembly()
    if rng.random() < 0.3:
        palette = Palette(from_hsv(0.13, 0.9, 0.95), palette.second, palette.accent, palette.light, palette.dark)
    long, wide, tall = rng.uniform(0.6, 0.95), rng.uniform(0.26, 0.4), rng.uniform(0.25, 0.45)
    stripe = bands([-0.1 * tall, 0.02 * tall], [palette.main, palette.dark, palette.main])
    two = bands([0.0], [palette.main, palette.light])
    paint = (plain(palette.main), stripe, two)[rng.integers(3)]
    made.add(turned(box(long, tall, wide, 0.05, 0.02), "y", 90), paint)
    count = int(rng.integers(3, 8))
    row = panes(rng, GLASS, palette.dark, count, 1)
    for side in (-1.0, 1.0):
        made.stick(row, (side * wide / 2, 0.2 * tall, 0), (0.9 * long, 0.35 * tall), (side, 0, 0), reach=0.05)
        if rng.random() < 0.6:
            made.stick(
                lettering(rng, palette.dark),
                (side * wide / 2, -0.15 * tall, 0),
                (0.7 * long, 0.15 * tall),
                (side, 0, 0),
                0.05,
            )
    for facing in (-1.0, 1.0):
        made.stick(
            panes(rng, GLASS, palette.dark, 2 if facing > 0 else 1, 1),
            (0, 0.18 * tall, facing * long / 2),
            (0.85 * wide, 0.42 * tall),
            (0, 0, facing),
            0.08,
        )
    front = long / 2
    if rng.random() < 0.5:
        bonnet = rng.uniform(0.1, 0.2)
        made.add(moved(box(0.85 * wide, 0.5 * tall, 2 * bonnet, 0.04), (0, -0.22 * tall, front)), paint)
        front += bonnet
    if rng.random() < 0.4:
        made.stick(face(rng, palette), (0, -0.1 * tall, front), (0.8 * wide, 0.8 * tall), reach=0.1)
    made.add(moved(box(1.04 * wide, 0.05, 0.05, 0.02), (0, -0.45 * tall, front)), plain(palette.dark))
    lights(made, 0.35 * wide, -0.28 * tall, front, 0.03)
    places = [(0.46 * wide, 0.3 * long), (0.46 * wide, -0.3 * long)]
    add_wheels(rng, made, palette, places, rng.uniform(0.06, 0.1), -tall / 2)
    return made


def lorry(rng: np.random.Generator) -> Assembly:
    """A cab and what it carries: a box, a tank, a bucket, logs, a ladder."""
    palette, made = random_palette(rng, natural=0.05), Assembly()
    wide = rng.uniform(0.24, 0.36)
    made.add(moved(box(0.8 * wide, 0.06, 0.95), (0, -0.02, 0)), plain(palette.dark))
    cab, deep = rng.uniform(0.22, 0.36), rng.uniform(0.18, 0.26)
    made.add(
        moved(turned(box(deep, cab, wide, 0.04), "y", 90), (0, 0.02 + cab / 2, 0.45 - deep / 2)), plain(palette.main)
    )
    made.stick(panes(rng, GLASS, palette.dark, 1, 1), (0, 0.7 * cab, 0.45), (0.85 * wide, 0.4 * cab), reach=0.05)
    for side in (-1.0, 1.0):
        made.stick(
            panes(rng, GLASS, palette.dark, 1, 1),
            (side * wide / 2, 0.7 * cab, 0.37),
            (0.6 * deep, 0.4 * cab),
            (side, 0, 0),
            0.05,
        )
    lights(made, 0.35 * wide, 0.06, 0.46, 0.028)
    load = make_pattern(rng, palette, palette.second, busy=0.5)
    kind, tall = rng.integers(4), rng.uniform(0.2, 0.42)
    if kind == 0:
        made.add(moved(box(wide, tall, 0.66, 0.02), (0, 0.02 + tall / 2, -0.15)), load)
        for side in (-1.0, 1.0):
            made.stick(
                lettering(rng, palette.dark), (side * wide / 2, tall / 2, -0.15), (0.5, 0.5 * tall), (side, 0, 0), 0.05
            )
    elif kind == 1:
        tank = tube(np.stack([np.zeros(8), np.full(8, 0.18), np.linspace(-0.36, 0.08, 8)], -1), wide / 2.2)
        made.add(tank, plain(metal(rng)) if rng.random() < 0.5 else load)
    elif kind == 2:
        tub = [(-0.5, 0.16, 0.4 * wide, 0.12, 0.4), (0.16, 0.12, 0.5 * wide, 0.13, 0.4)]
        made.add(loft(tub, 4), load)
        made.add(moved(superellipsoid((0.4 * wide, 0.14, 0.26)), (0, 0.22, -0.17)), plain(palette.accent * 0.6))
    else:
        for x, y in ((-0.3, 0.1), (0.3, 0.1), (0.0, 0.24), (0.0, 0.1)):
            log = np.stack([np.full(6, x * wide), np.full(6, y), np.linspace(-0.48, 0.16, 6)], -1)
            made.add(tube(log, 0.07, round_ends=False), load)
    add_wheels(rng, made, palette, [(0.42 * wide, z) for z in (0.32, -0.2, -0.38)], rng.uniform(0.07, 0.1), -0.05)
    return made


def train(rng: np.random.Generator) -> Assembly:
    """A steam engine: boiler, cab, chimney, perhaps a face in front."""
    palette, made = random_palette(rng, natural=0.05), Assembly()
    radius = rng.uniform(0.1, 0.15)
    boiler = np.stack([np.zeros(8), np.full(8, radius + 0.04), np.linspace(-0.3, 0.42, 8)], -1)
    made.add(tube(boiler, radius, round_ends=False), make_pattern(rng, palette, busy=0.4))
    made.add(box(2.1 * radius, 0.08, 0.95, 0.02), plain(palette.second))
    cab = rng.uniform(0.3, 0.42)
    made.add(moved(box(2.2 * radius, cab, 0.24, 0.02), (0, cab / 2, -0.34)), plain(palette.main))
    made.add(moved(box(2.6 * radius, 0.035, 0.32, 0.015), (0, cab, -0.34)), plain(palette.dark))
    for side in (-1.0, 1.0):
        made.stick(
            panes(rng, GLASS, palette.dark, 1, 1),
            (side * 1.1 * radius, 0.75 * cab, -0.34),
            (0.14, 0.13),
            (side, 0, 0),
            0.05,
        )
    chimney = [(0, 0), (0.04, 0), (0.035, 0.1), (0.06, 0.17), (0, 0.17)]
    made.add(moved(revolve(chimney), (0, 2 * radius + 0.02, 0.3)), plain(palette.dark))
    made.add(moved(superellipsoid((0.05, 0.07, 0.05)), (0, 2 * radius + 0.04, 0.05)), plain(palette.accent))
    if rng.random() < 0.6:
        made.stick(face(rng, palette), (0, radius + 0.04, 0.42), (1.8 * radius, 1.8 * radius), reach=0.1)
    for z in (0.3, 0.08, -0.32):
        add_wheels(rng, made, palette, [(1.05 * radius, z)], rng.uniform(0.05, 0.09), -0.05)
    return made


def plane(rng: np.random.Generator) -> Assembly:
    """A fuselage, wings, a tail, a propeller or jets; sometimes two wings above each other."""
    palette, made = random_palette(rng, natural=0.05), Assembly()
    radius = rng.uniform(0.05, 0.1)
    paint = make_pattern(rng, palette, busy=0.5)
    hull = [(-0.5, 0.04, 0.15 * radius, 0.2 * radius, 1.0), (-0.2, 0.02, 0.75 * radius, 0.8 * radius, 1.0)]
    hull += [
        (0.15, 0, radius, 1.1 * radius, 0.9),
        (0.4, 0, 0.8 * radius, 0.8 * radius, 1.0),
        (0.5, 0, 0.2 * radius, 0.2 * radius, 1.0),
    ]
    made.add(loft(hull, 18), paint)
    span, chord, sweep = rng.uniform(0.3, 0.5), rng.uniform(0.08, 0.14), rng.uniform(0, 0.25)
    wing = superellipsoid((span, 0.014, chord), (0.8, 0.5))
    wing = [grid + np.abs(grid[..., :1]) * np.array([0.0, rng.uniform(0, 0.1), -sweep]) for grid in wing]
    colored = make_pattern(rng, palette, palette.second, busy=0.5)
    height = rng.uniform(-0.5, 1.0) * radius
    made.add(moved(wing, (0, height, 0.12)), colored)
    if rng.random() < 0.3:
        made.add(moved(wing, (0, height + 0.16, 0.12)), colored)
        made.add_pair(
            tube(smooth_path([(0.5 * span, height, 0.1), (0.5 * span, height + 0.16, 0.1)], 4), 0.012),
            plain(palette.dark),
        )
    tail = superellipsoid((0.4 * span, 0.012, 0.6 * chord), (0.8, 0.6))
    made.add(moved(tail, (0, 0.05, -0.45)), colored)
    made.add(
        moved(turned(superellipsoid((0.012, 0.13, 0.08), (0.8, 0.8)), "x", -20), (0, 0.13, -0.46)),
        plain(palette.accent),
    )
    made.add(moved(superellipsoid((0.7 * radius, 0.7 * radius, 0.13)), (0, 0.8 * radius, 0.2)), plain(GLASS))
    if rng.random() < 0.6:
        made.add(moved(box(rng.uniform(0.2, 0.36), 0.03, 0.012), (0, 0, 0.51)), plain(palette.dark))
        made.add(moved(ball(0.03), (0, 0, 0.51)), plain(palette.accent))
    else:
        jet = np.stack([np.full(5, 0.4 * span), np.full(5, height - 0.04), np.linspace(-0.02, 0.18, 5)], -1)
        made.add_pair(tube(jet, 0.04, round_ends=False), plain(metal(rng)))
    if rng.random() < 0.5:
        made.add_pair(moved(wheel(0.04, 0.03)[0], (0.1, -1.6 * radius, 0.2)), plain(palette.dark))
        made.add_pair(tube(smooth_path([(0.1, -1.6 * radius, 0.2), (0.05, 0, 0.2)], 4), 0.01), plain(palette.dark))
    return made


def boat(rng: np.random.Generator) -> Assembly:
    """A hull with a deck, a cabin, a funnel or a mast with a sail."""
    palette, made = random_palette(rng, natural=0.2), Assembly()
    wide, deep = rng.uniform(0.14, 0.22), rng.uniform(0.12, 0.2)
    hull = [(-0.48, 0.02, 0.6 * wide, 0.7 * deep, 0.8), (-0.2, 0, wide, deep, 0.8), (0.15, 0, wide, deep, 0.8)]
    hull += [(0.4, 0.02, 0.5 * wide, 0.8 * deep, 0.9), (0.5, 0.04, 0.03, 0.5 * deep, 1.0)]
    # The upper half is pressed flat: it is the deck.
    body = [
        grid * np.where(grid[..., 1:2] > 0.05, [1.0, 0.15, 1.0], 1.0)
        + np.where(grid[..., 1:2] > 0.05, [0, 0.0425, 0], 0)
        for grid in loft(hull, 20)
    ]
    made.add(
        body, bands([-0.06, 0.03, 0.052], [palette.main, palette.second, palette.light, np.array([0.6, 0.42, 0.25])])
    )
    if rng.random() < 0.6:
        tall = rng.uniform(0.12, 0.25)
        made.add(moved(box(1.1 * wide, tall, 0.26, 0.03), (0, 0.05 + tall / 2, -0.12)), plain(palette.light))
        for facing in ((1.0, 0, 0), (-1.0, 0, 0), (0, 0, 1.0)):
            place = (0.55 * wide * facing[0], 0.06 + 0.6 * tall, -0.12 + 0.13 * facing[2])
            made.stick(panes(rng, GLASS, palette.dark, 2, 1), place, (0.2, 0.5 * tall), facing, 0.05)
        made.add(moved(box(1.3 * wide, 0.03, 0.32, 0.02), (0, 0.06 + tall, -0.12)), plain(palette.accent))
        pipe = [(0.05, 0), (0.045, 0.2), (0, 0.2)]
        made.add(moved(revolve(pipe), (0, 0.06 + tall, -0.14)), bands([0.2 + tall], [palette.second, palette.dark]))
    else:
        high = rng.uniform(0.5, 0.85)
        made.add(tube(smooth_path([(0, 0.05, 0.05), (0, high, 0.05)], 6), 0.018), plain(palette.dark))
        sail = superellipsoid((0.015, 0.45 * high, 0.24), (1.5, 0.8))
        made.add(moved(sail, (0.0, 0.12 + 0.45 * high, -0.14)), make_pattern(rng, palette, palette.light, busy=0.7))
    if rng.random() < 0.4:
        made.add(moved(turned(torus(0.06, 0.02), "z", 90), (wide + 0.01, 0.02, 0)), plain(palette.accent))
    return made


def helicopter(rng: np.random.Generator) -> Assembly:
    """An egg with a boom, skids and a rotor."""
    palette, made = random_palette(rng, natural=0.05), Assembly()
    egg = bands([0.0], [palette.main, GLASS], axis=2) if rng.random() < 0.4 else make_pattern(rng, palette, busy=0.5)
    made.add(superellipsoid((0.15, 0.16, 0.24)), plain(palette.main) if rng.random() < 0.3 else egg)
    made.add(tube(smooth_path([(0, 0.05, -0.1), (0, 0.08, -0.55)], 6), [0.08, 0.025]), plain(palette.main))
    made.add(moved(box(0.02, 0.16, 0.08), (0, 0.14, -0.55)), plain(palette.accent))
    made.add(tube(smooth_path([(0, 0.1, 0), (0, 0.24, 0)], 4), 0.025), plain(palette.dark))
    turn = rng.uniform(0, 90)
    for blade in range(int(rng.integers(1, 3))):
        made.add(moved(turned(box(0.95, 0.015, 0.045), "y", turn + 90 * blade), (0, 0.24, 0)), plain(palette.dark))
    skid = tube(smooth_path([(0.12, -0.22, -0.2), (0.12, -0.22, 0.2)], 5), 0.016)
    made.add_pair(skid, plain(palette.dark))
    for z in (-0.1, 0.1):
        made.add_pair(tube(smooth_path([(0.06, -0.1, z), (0.12, -0.22, z)], 4), 0.012), plain(palette.dark))
    return made
