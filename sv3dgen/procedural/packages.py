"""Boxes with prints, books, appliances, open crates, pencils in a box."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, turned
from sv3dgen.procedural.palettes import from_hsv, random_palette
from sv3dgen.procedural.patterns import make_pattern, plain, stripes
from sv3dgen.procedural.pictures import emblem, face, keys, label, lettering
from sv3dgen.procedural.sections import box, extrude, rounded_rectangle
from sv3dgen.procedural.surfaces import revolve, smooth_path, superellipsoid, tube


def carton(rng: np.random.Generator) -> Assembly:
    """A box with a different print on every side."""
    palette, made = random_palette(rng, natural=0.1), Assembly()
    wide, tall, deep = rng.uniform(0.3, 1.0, 3) * [1, 1, 0.6]
    made.add(box(wide, tall, deep, 0.0, 0.0), make_pattern(rng, palette, busy=0.4))
    made.stick(
        label(rng, palette), (0, 0, deep / 2), (wide * rng.uniform(0.6, 1.0), tall * rng.uniform(0.5, 1.0)), reach=0.02
    )
    sides = (
        ((0, 0, -1), wide, tall, deep),
        ((1, 0, 0), deep, tall, wide),
        ((-1, 0, 0), deep, tall, wide),
        ((0, 1, 0), wide, deep, tall),
    )
    for facing, across, up, half in sides:
        if rng.random() < 0.75:
            picture = (
                label(rng, palette)
                if rng.random() < 0.4
                else lettering(
                    rng, palette.dark, palette.light if rng.random() < 0.5 else None, int(rng.integers(1, 5))
                )
            )
            made.stick(picture, np.array(facing) * half / 2, (0.85 * across, up * rng.uniform(0.2, 0.8)), facing, 0.02)
    return made


def book(rng: np.random.Generator) -> Assembly:
    """Two covers, a spine and pages; standing, lying or a pile."""
    palette, made = random_palette(rng), Assembly()
    height = 0.0
    for _ in range(rng.choice([1, 1, 2, 3])):
        wide, tall, thick = rng.uniform(0.5, 0.75), rng.uniform(0.7, 1.0), rng.uniform(0.06, 0.25)
        cover = make_pattern(rng, palette, palette.any(rng), busy=0.4)
        turn = rng.uniform(-15, 15)

        def place(surface, lift=height, angle=turn, half=thick / 2):
            return moved(turned(turned(surface, "x", -90), "y", angle), (0, lift + half, 0))

        made.add(
            place(box(wide * 0.95, tall * 0.94, 0.9 * thick)),
            stripes(np.array([0, 1.0, 0]), 0.02, 0.4, palette.light, palette.light * 0.8),
        )
        for side in (-1, 1):
            made.add(place(moved(box(wide, tall, 0.1 * thick + 0.01), (0, 0, side * thick / 2))), cover)
        made.add(place(moved(box(0.02, tall, thick), (-wide / 2, 0, 0))), cover)
        height += thick + 0.012
    made.stick(label(rng, palette), (0, height, 0), (0.5, 0.65), (0, 1, 0), reach=0.06)
    made.stick(lettering(rng, palette.light, rows=4), (0, 0, 0), (0.45, 0.5), (0, -1, 0), reach=0.06)
    if rng.random() < 0.6:
        made.lay("x", 90)  # standing, the cover in front
    return made


def appliance(rng: np.random.Generator) -> Assembly:
    """Telephones, radios, games, clocks: a slab whose front is full of things."""
    palette, made = random_palette(rng, natural=0.1), Assembly()
    wide, tall, deep = rng.uniform(0.4, 1.0), rng.uniform(0.4, 1.0), rng.uniform(0.08, 0.5)
    body = box(wide, tall, deep, rng.uniform(0.02, 0.35) * min(wide, tall), 0.02)
    made.add(body, make_pattern(rng, palette, busy=0.25))
    made.stick(keys(rng, palette), (0, 0, deep / 2), (0.9 * wide, 0.9 * tall), reach=0.05)
    for x in np.linspace(-0.3, 0.3, int(rng.integers(1, 4))):
        knob = turned(revolve([(0.05, 0), (0.045, 0.05), (0, 0.05)]), "x", 90)
        made.add(moved(knob, (x * wide, -0.38 * tall, deep / 2)), plain(palette.accent))
    if rng.random() < 0.4:
        made.add(
            tube(smooth_path([(0.4 * wide, tall / 2, 0), (0.45 * wide, tall / 2 + 0.35, -0.05)], 5), 0.015),
            plain(palette.dark),
        )
    if rng.random() < 0.4:
        arch = smooth_path(
            [
                (-0.4 * wide, tall / 2, 0),
                (-0.3 * wide, tall / 2 + 0.14, 0),
                (0.3 * wide, tall / 2 + 0.14, 0),
                (0.4 * wide, tall / 2, 0),
            ],
            16,
        )
        made.add(tube(arch, 0.03), plain(palette.second))
    if rng.random() < 0.4:
        made.stick(
            lettering(rng, palette.dark, palette.light, 3), (0, 0, -deep / 2), (0.5 * wide, 0.4 * tall), (0, 0, -1)
        )
    return made


def crate(rng: np.random.Generator) -> Assembly:
    """An open box of five boards, with a handle or with things in it."""
    palette, made = random_palette(rng), Assembly()
    wide, tall, deep, wall = (
        rng.uniform(0.5, 1.0),
        rng.uniform(0.2, 0.5),
        rng.uniform(0.4, 0.8),
        rng.uniform(0.02, 0.05),
    )
    boards = make_pattern(rng, palette, busy=0.5)
    ring = rounded_rectangle(wide, deep, rng.uniform(0.01, 0.15))
    hole = rounded_rectangle(wide - 2 * wall, deep - 2 * wall, 0.08)
    made.add(turned(extrude(ring, tall, 0.0, hole), "x", -90), boards)
    made.add(moved(turned(extrude(ring, wall), "x", -90), (0, -tall / 2 + wall / 2, 0)), boards)
    kind = rng.random()
    if kind < 0.45:
        arc = smooth_path(
            [(-wide / 2 + wall, 0.4 * tall, 0), (-0.2, tall, 0), (0.2, tall, 0), (wide / 2 - wall, 0.4 * tall, 0)], 16
        )
        made.add(tube(arc, 0.03, flat=1.5), plain(palette.second))
    elif kind < 0.8:
        for _ in range(rng.integers(2, 7)):
            size = rng.uniform(0.08, 0.16)
            x, z = (
                rng.uniform(-0.5, 0.5) * (wide - 2 * size - 2 * wall),
                rng.uniform(-0.5, 0.5) * (deep - 2 * size - 2 * wall),
            )
            thing = superellipsoid((size, rng.uniform(0.8, 2.0) * size, size), tuple(rng.uniform(0.3, 1.1, 2).tolist()))
            made.add(moved(thing, (x, rng.uniform(-0.1, 0.3) * tall, z)), make_pattern(rng, palette, palette.any(rng)))
    else:
        made.add(moved(box(0.9 * wide, 0.02, wall), (0, tall / 2 - 0.02, 0)), plain(palette.second))
    if rng.random() < 0.5:
        made.stick(emblem(rng, palette), (0, 0, deep / 2), (0.7 * tall, 0.7 * tall), reach=0.03)
    return made


def pencils(rng: np.random.Generator) -> Assembly:
    """Sticks of all colors in a holder; also brushes, candles on a cake, skittles."""
    palette, made = random_palette(rng), Assembly()
    wide, deep, tall = rng.uniform(0.3, 0.6), rng.uniform(0.15, 0.3), rng.uniform(0.3, 0.6)
    made.add(moved(box(wide, tall, deep, 0.0, 0.0), (0, tall / 2, 0)), make_pattern(rng, palette, busy=0.4))
    made.stick(label(rng, palette), (0, tall / 2, deep / 2), (0.9 * wide, 0.8 * tall), reach=0.03)
    made.stick(
        lettering(rng, palette.dark, rows=3), (0, tall / 2, -deep / 2), (0.8 * wide, 0.6 * tall), (0, 0, -1), reach=0.03
    )
    radius, rows = rng.uniform(0.025, 0.05), int(rng.integers(1, 4))
    columns = max(int(0.9 * wide / (2.3 * radius)), 2)
    for row in range(rows):
        for column in range(columns):
            x = ((column + 0.5) / columns - 0.5) * 0.92 * wide
            z = ((row + 0.5) / rows - 0.5) * 0.8 * deep
            top = tall + rng.uniform(0.1, 0.35) * (1 - 0.3 * row / rows)
            stick = [(radius, 0.8 * tall), (radius, top - 1.5 * radius), (0.25 * radius, top), (0, top)]
            made.add(
                moved(revolve(stick), (x, 0, z)),
                plain(from_hsv(rng.random(), rng.uniform(0.3, 1), rng.uniform(0.4, 1))),
            )
    return made


def blocks(rng: np.random.Generator) -> Assembly:
    """Toy bricks, dice and letters piled up."""
    palette, made = random_palette(rng, natural=0.05), Assembly()
    height = 0.0
    for _ in range(rng.integers(1, 5)):
        size = rng.uniform(0.15, 0.35)
        for x in (0.0,) if rng.random() < 0.5 else (-0.55 * size - 0.02, 0.55 * size + 0.02):
            block = turned(box(size, size, size, 0.03), "y", rng.uniform(-25, 25))
            place = (x + rng.uniform(-0.04, 0.04), height + size / 2, rng.uniform(-0.04, 0.04))
            made.add(moved(block, place), make_pattern(rng, palette, palette.any(rng), busy=0.5))
            for facing in ((0, 0, 1), (1, 0, 0), (0, 0, -1), (-1, 0, 0)):
                if rng.random() < 0.6:
                    picture = (emblem(rng, palette), face(rng, palette), lettering(rng, palette.dark, palette.light))[
                        rng.integers(3)
                    ]
                    made.stick(
                        picture,
                        np.array(place) + np.array(facing) * size / 2,
                        (0.7 * size, 0.7 * size),
                        facing,
                        0.3 * size,
                    )
        height += size
    return made
