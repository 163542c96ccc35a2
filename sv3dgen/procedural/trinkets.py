"""Thick outlines: stars, hearts, gears, clocks, arches, letters, with and without holes."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, turned
from sv3dgen.procedural.palettes import metal, random_palette
from sv3dgen.procedural.patterns import make_pattern, plain
from sv3dgen.procedural.pictures import emblem, face, lettering
from sv3dgen.procedural.sections import box, extrude, polar_outline
from sv3dgen.procedural.surfaces import ball, revolve, smooth_path, torus, tube


def random_outline(rng: np.random.Generator) -> np.ndarray:
    """Star-shaped around 0, of radius up to 0.5."""
    kind = rng.integers(5)
    count, depth, phase = int(rng.integers(3, 9)), rng.uniform(0.1, 0.5), rng.uniform(0, 6.28)
    if kind == 0:
        sharp = np.arange(2 * count) * np.pi / count + 0.5 * np.pi
        radius = np.where(np.arange(2 * count) % 2 == 0, 0.5, 0.5 * (1 - depth) + 0.02)
        return radius[:, None] * np.stack([np.cos(sharp), np.sin(sharp)], -1)
    if kind == 1:
        return polar_outline(lambda a: 0.5 * (1 + 0.5 * depth * np.cos(count * a + phase)) / (1 + 0.5 * depth), 64)
    if kind == 2:
        return polar_outline(
            lambda a: 0.42 * (1 - 0.55 * np.sin(a) + 0.35 * np.sin(a) * np.sqrt(np.abs(np.cos(a)))), 48
        )[::1]
    if kind == 3:
        teeth = int(rng.integers(7, 14))
        return polar_outline(lambda a: 0.5 - 0.09 * (np.sin(teeth * a) > 0), 10 * teeth)
    corners = int(rng.integers(3, 7))
    return polar_outline(lambda a: np.full_like(a, 0.5), corners)


def slab(rng: np.random.Generator) -> Assembly:
    """One to three outlines on top of each other, standing or lying, with a picture in front."""
    palette, made = random_palette(rng, natural=0.1), Assembly()
    outline, depth = random_outline(rng), rng.uniform(0.08, 0.45)
    hole = polar_outline(lambda a: np.full_like(a, rng.uniform(0.08, 0.16)), 24) if rng.random() < 0.4 else None
    made.add(extrude(outline, depth, rng.uniform(0.0, 0.04), hole), make_pattern(rng, palette))
    if hole is None and rng.random() < 0.5:
        upper = 0.7 * (outline if rng.random() < 0.5 else random_outline(rng))
        made.add(moved(extrude(upper, 0.06, 0.015), (0, 0, depth / 2)), make_pattern(rng, palette, palette.second))
    elif hole is None and rng.random() < 0.6:
        picture = (face(rng, palette), emblem(rng, palette), lettering(rng, palette.dark, rows=2))[rng.integers(3)]
        made.stick(picture, (0, 0, depth / 2), (0.55, 0.55), reach=0.1)
    if rng.random() < 0.35:
        for surface, pattern in list(made.parts):
            made.add(moved([0.8 * grid for grid in surface], (0, 0, -0.8 * depth)), pattern)
    if rng.random() < 0.3:
        made.lay("x", -90)
    elif rng.random() < 0.4:
        stand = box(0.4, 0.08, max(2 * depth, 0.3), 0.03)
        made.add(moved(stand, (0, float(outline[:, 1].min()), 0)), plain(palette.dark))
    return made


def clock(rng: np.random.Generator) -> Assembly:
    """A round case with a dial and hands, on feet, with bells or a strap."""
    palette, made = random_palette(rng), Assembly()
    depth, radius = rng.uniform(0.12, 0.35), 0.36
    case = turned(
        revolve([(0, -depth / 2), (radius, -depth / 2), (radius, depth / 2), (0.88 * radius, depth / 2)]), "x", 90
    )
    made.add(case, make_pattern(rng, palette, busy=0.3))
    dial = turned(revolve([(0.9 * radius, 0), (0, 0)]), "x", 90)
    made.add(moved(dial, (0, 0, depth / 2 - 0.02)), plain(palette.light))
    for hour in range(12):
        angle = hour * np.pi / 6
        place = (0.7 * radius * np.sin(angle), 0.7 * radius * np.cos(angle), depth / 2)
        made.add(moved(box(0.03, 0.03, 0.02), place), plain(palette.dark))
    for length in (0.6, 0.42):
        hand = moved(box(0.025, length * radius, 0.015), (0, length * radius / 2, 0))
        made.add(moved(turned(hand, "z", rng.uniform(0, 360)), (0, 0, depth / 2)), plain(palette.accent))
    if rng.random() < 0.6:
        made.add_pair(moved(ball(0.1), (0.2, 0.38, 0)), plain(metal(rng)))
        made.add_pair(tube(smooth_path([(0.2, -0.25, 0), (0.26, -0.45, 0.03)], 4), 0.03), plain(metal(rng)))
    else:
        strap = box(0.3, 0.4, 0.04, 0.03)
        for side in (-1, 1):
            made.add(moved(strap, (0, side * 0.5, 0)), make_pattern(rng, palette, palette.second))
    return made


def arch(rng: np.random.Generator) -> Assembly:
    """Bridges, gates, tracks: bent beams with a deck, rails or pillars."""
    palette, made = random_palette(rng, natural=0.4), Assembly()
    rise, deep = rng.uniform(0.15, 0.5), rng.uniform(0.12, 0.25)
    path = smooth_path([(-0.5, 0, 0), (-0.25, 0.75 * rise, 0), (0.25, 0.75 * rise, 0), (0.5, 0, 0)], 20)
    beam = make_pattern(rng, palette)
    thick = rng.uniform(0.03, 0.07)
    for z in (-deep, deep):
        made.add(tube(path + [0, 0, z], thick, round_ends=False), beam)
    steps = make_pattern(rng, palette, palette.second, busy=0.3)
    for point in path[1:-1:2]:
        made.add(moved(box(0.06, 0.03, 2 * deep), point), steps)
    if rng.random() < 0.5:
        for x in (-0.5, 0.5):
            made.add(moved(box(0.1, 0.2 + rise, 2.2 * deep, 0.02), (x, 0.5 * rise, 0)), plain(palette.accent))
    return made


def hanging(rng: np.random.Generator) -> Assembly:
    """Baubles, key rings, medals: something on a loop."""
    palette, made = random_palette(rng), Assembly()
    pattern = make_pattern(rng, palette, busy=0.9)
    if rng.random() < 0.5:
        made.add(ball(rng.uniform(0.25, 0.4)), pattern)
    else:
        made.add([0.8 * grid for grid in extrude(random_outline(rng), rng.uniform(0.1, 0.2), 0.02)], pattern)
    made.stick((emblem(rng, palette), face(rng, palette))[rng.integers(2)], (0, 0, 0.2), (0.4, 0.4), reach=0.3)
    made.add(moved(revolve([(0.06, 0), (0.06, 0.08), (0, 0.08)]), (0, 0.34, 0)), plain(metal(rng)))
    made.add(moved(turned(torus(rng.uniform(0.06, 0.15), 0.02), "x", 90), (0, 0.5, 0)), plain(metal(rng)))
    return made
