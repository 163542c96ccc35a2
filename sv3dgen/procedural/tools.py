"""Long things: hammers, screwdrivers, spoons, brushes, keys, scissors, bones, swords."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, turned
from sv3dgen.procedural.palettes import metal, random_palette, wood
from sv3dgen.procedural.patterns import Pattern, grain, make_pattern, plain
from sv3dgen.procedural.pictures import lettering
from sv3dgen.procedural.sections import box, extrude, polar_outline
from sv3dgen.procedural.surfaces import revolve, smooth_path, smooth_profile, superellipsoid, torus, tube


def handle(rng: np.random.Generator, palette) -> Pattern:
    """Wood, rubber or plastic."""
    return grain(int(rng.integers(1 << 31)), wood(rng)) if rng.random() < 0.35 else make_pattern(rng, palette, busy=0.5)


def laid(rng: np.random.Generator, made: Assembly) -> Assembly:
    """A tool made along +Y stands, lies across or lies lengthwise."""
    kind = rng.integers(3)
    if kind:
        made.lay("z" if kind == 1 else "x", -90 if kind == 1 else 90)
    return made


def hammer(rng: np.random.Generator) -> Assembly:
    """Hammers, axes, mallets."""
    palette, made = random_palette(rng), Assembly()
    radius = rng.uniform(0.03, 0.055)
    grip = smooth_profile([(radius, 0), (1.15 * radius, 0.15), (0.8 * radius, 0.45), (0.7 * radius, 0.95)], 12)
    made.add(revolve([(0, 0), *grip, (0, 0.95)], (1.0, rng.uniform(0.6, 1.0))), handle(rng, palette))
    steel, kind = plain(metal(rng) if rng.random() < 0.7 else palette.dark), rng.integers(3)
    if kind == 0:
        head = turned(
            revolve([(0, -0.14), (0.07, -0.14), (0.05, -0.08), (0.045, 0.08), (0.03, 0.16), (0, 0.17)]), "z", 90
        )
        made.add(moved(head, (0, 0.9, 0)), steel)
    elif kind == 1:
        made.add(moved(box(rng.uniform(0.25, 0.45), 0.16, 0.16, 0.03), (0, 0.9, 0)), steel)
    else:
        blade = turned(
            extrude(polar_outline(lambda a: 0.11 + 0.08 * np.cos(a) ** 2 * (np.cos(a) > 0), 32), 0.05, 0.015), "z", 0
        )
        made.add(moved(blade, (0.05, 0.85, 0)), steel)
    return laid(rng, made)


def screwdriver(rng: np.random.Generator) -> Assembly:
    """Screwdrivers, knives, swords, pens, wands."""
    palette, made = random_palette(rng), Assembly()
    radius, grip, shaft = rng.uniform(0.045, 0.09), rng.uniform(0.25, 0.45), rng.uniform(0.012, 0.03)
    knots = [
        (0.6 * radius, 0),
        (radius, 0.1),
        (0.8 * radius, 0.6 * grip),
        (radius * 0.95, 0.85 * grip),
        (1.5 * shaft, grip),
    ]
    made.add(revolve([(0, 0), *smooth_profile(knots, 16)]), handle(rng, palette))
    if rng.random() < 0.6:
        made.add(revolve([(shaft, grip), (shaft, 0.95), (0.4 * shaft, 1.0), (0, 1.0)]), plain(metal(rng)))
    else:
        wide = rng.uniform(0.03, 0.08)
        blade = superellipsoid((wide, 0.5 * (1 - grip) + 0.05, 0.012), (0.6, 0.9))
        made.add(moved(blade, (0, 0.5 * (1 + grip), 0)), plain(metal(rng)))
        made.add(moved(box(4 * wide, 0.04, 0.05, 0.015), (0, grip, 0)), plain(palette.accent))
    return laid(rng, made)


def spoon(rng: np.random.Generator) -> Assembly:
    """Spoons, brushes, rackets, mirrors, lollipops."""
    palette, made = random_palette(rng), Assembly()
    radius, size = rng.uniform(0.015, 0.04), rng.uniform(0.09, 0.22)
    made.add(
        tube(smooth_path([(0, 0, 0), (0, 0.4, 0.02), (0, 1 - size, 0)], 8), [1.3 * radius, radius]),
        handle(rng, palette),
    )
    head, kind = (0, 1.0, 0.0), rng.integers(4)
    pattern = make_pattern(rng, palette, palette.second)
    if kind == 0:
        made.add(moved(superellipsoid((size, 1.3 * size, 0.03)), head), pattern)
    elif kind == 1:
        made.add(moved(turned(torus(size, 0.025), "x", 90), head), pattern)
        made.add(
            moved(turned(revolve([(0, -0.005), (size, -0.005), (size, 0.005), (0, 0.005)]), "x", 90), head),
            plain(palette.light),
        )
    elif kind == 2:
        made.add(moved(box(0.7 * size, 2 * size, 0.06, 0.02), head), pattern)
        made.add(moved(box(0.6 * size, 1.8 * size, 0.1, 0.01), (0, 1.0, 0.07)), plain(palette.dark))
    else:
        made.add(moved(superellipsoid((size, size, size)), head), pattern)
    return laid(rng, made)


def scissors(rng: np.random.Generator) -> Assembly:
    """Two blades, two rings."""
    palette, made = random_palette(rng), Assembly()
    spread, size = rng.uniform(4, 22), rng.uniform(0.08, 0.13)
    for side in (-1.0, 1.0):
        blade = moved(superellipsoid((0.04, 0.3, 0.012), (1.3, 1.0)), (0, 0.28, 0.013 * side))
        made.add(turned(blade, "z", side * spread), plain(metal(rng)))
        arm = smooth_path([(0, 0.02, 0), (-0.3 * size * side, -0.12, 0), (-size * side, -0.25, 0)], 7)
        made.add(turned(tube(arm, 0.03, flat=0.8), "z", side * spread * 0.5), plain(palette.main))
        ring = moved(turned(torus(size, 0.03), "x", 90), (-1.3 * size * side, -0.32, 0))
        made.add(turned(ring, "z", side * spread * 0.5), plain(palette.main))
    made.add(turned(revolve([(0.03, -0.03), (0.03, 0.03), (0, 0.03)]), "x", 90), plain(palette.dark))
    return laid(rng, made)


def torch_light(rng: np.random.Generator) -> Assembly:
    """Torches, microphones, flutes, bats, bowling pins: turned and long, printed along the side."""
    palette, made = random_palette(rng), Assembly()
    heights = np.sort(np.r_[0, rng.uniform(0.1, 0.9, 3), 1])
    radii = rng.uniform(0.04, 0.16, 5)
    profile = smooth_profile(list(zip(radii, heights, strict=True)), 22)
    made.add(revolve([(0, 0), *profile, (0, 1)]), make_pattern(rng, palette, busy=0.8))
    if rng.random() < 0.5:
        made.stick(lettering(rng, palette.light, palette.dark), (0, 0.5, 0.1), (0.12, 0.08), reach=0.2)
    return laid(rng, made)


def ring_toy(rng: np.random.Generator) -> Assembly:
    """Rings, wreaths, chains, handcuffs, knots."""
    palette, made = random_palette(rng), Assembly()
    if rng.random() < 0.5:
        turns, thick = rng.integers(2, 4), rng.uniform(0.05, 0.1)
        t = np.linspace(0, 2 * np.pi, 81)
        radius = 0.3 + 0.12 * np.cos(turns * t)
        path = np.stack([radius * np.cos(2 * t), radius * np.sin(2 * t), 0.16 * np.sin(turns * t)], -1)
        if turns == 2:
            path = np.stack([0.38 * np.cos(t), 0.3 * np.sin(t), 0.1 * np.sin(2 * t)], -1)
        made.add(tube(path, thick, closed=True), make_pattern(rng, palette, busy=0.8))
        return made
    radius = rng.uniform(0.2, 0.4)
    for place in range(int(rng.integers(1, 5))):
        thick = rng.uniform(0.04, 0.12)
        ring = torus(radius, thick, rng.uniform(0.6, 1.4))
        made.add(moved(ring, (0, 0.18 * place, 0)), make_pattern(rng, palette, palette.any(rng), busy=0.6))
        radius *= rng.uniform(0.75, 1.0)
    return made
