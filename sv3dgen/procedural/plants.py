"""Fruit, mushrooms, potted plants, trees, food."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, turned
from sv3dgen.procedural.palettes import from_hsv, random_palette
from sv3dgen.procedural.patterns import dots, gradient, make_pattern, noise, plain
from sv3dgen.procedural.pictures import face
from sv3dgen.procedural.surfaces import revolve, smooth_path, smooth_profile, superellipsoid, tube


def fruit(rng: np.random.Generator) -> Assembly:
    """Apples, pears, avocados, melons, pumpkins, with a stalk and leaves; sometimes cut, sometimes with a face."""
    palette, made = random_palette(rng), Assembly()
    hue = rng.choice([0.0, 0.05, 0.11, 0.16, 0.28, 0.33, 0.8])
    color = from_hsv(hue + rng.uniform(-0.02, 0.02), rng.uniform(0.5, 1), rng.uniform(0.4, 1))
    other = from_hsv(hue + rng.uniform(-0.12, 0.12), rng.uniform(0.4, 1), rng.uniform(0.3, 1))
    skin = (
        gradient(np.array([0.0, 1.0, 0.0]), other, color)
        if rng.random() < 0.5
        else noise(int(rng.integers(1 << 31)), 10, color, other, False)
    )
    top, wide, low = rng.uniform(0.1, 0.35), rng.uniform(0.25, 0.5), rng.uniform(-0.15, 0.1)
    knots = [
        (0.001, -0.42),
        (0.6 * wide, -0.36),
        (wide, low),
        (top, 0.3),
        (0.4 * top, 0.4),
        (0.001, rng.uniform(0.3, 0.42)),
    ]
    body = revolve(smooth_profile(knots, 24))
    ribs = int(rng.integers(5, 11)) if rng.random() < 0.3 else 0
    if ribs:
        angle = [np.arctan2(grid[..., 0], grid[..., 2])[..., None] for grid in body]
        body = [grid * (1 + 0.07 * np.cos(ribs * a) * [1, 0, 1]) for grid, a in zip(body, angle, strict=True)]
    made.add(body, skin)
    stalk = smooth_path([(0, 0.33, 0), (0.02, 0.45, 0), (rng.uniform(-0.08, 0.08), 0.54, 0.02)], 6)
    made.add(tube(stalk, [0.02, 0.03]), plain(from_hsv(0.09, 0.6, 0.35)))
    for turn in rng.uniform(0, 360, rng.integers(0, 4)):
        leaf = turned(moved(superellipsoid((0.06, 0.012, 0.13)), (0, 0, 0.13)), "y", turn)
        made.add(moved(leaf, (0, 0.42, 0)), plain(from_hsv(0.3, 0.7, 0.5)))
    if rng.random() < 0.25:
        made.stick(face(rng, palette), (0, 0, wide), (1.2 * wide, 0.5), reach=wide)
    if rng.random() < 0.3:  # cut through: flesh and a stone show in front
        made.parts[0] = ([np.concatenate([grid[..., :2], np.minimum(grid[..., 2:], 0.05)], -1) for grid in body], skin)
        flesh = [np.concatenate([0.9 * grid[..., :2], np.minimum(0.9 * grid[..., 2:], 0.06)], -1) for grid in body]
        made.add(flesh, plain(color * 0.4 + 0.6 * np.array([0.95, 0.9, 0.6])))
        made.add(moved(superellipsoid((0.12, 0.14, 0.1)), (0, low, 0.05)), plain(from_hsv(0.07, 0.7, 0.4)))
    return made


def mushroom(rng: np.random.Generator) -> Assembly:
    """A stem and a cap with dots; also umbrellas and cup cakes."""
    palette, made = random_palette(rng), Assembly()
    thick, cap, high = rng.uniform(0.07, 0.2), rng.uniform(0.28, 0.5), rng.uniform(0.2, 0.45)
    stem = smooth_profile([(1.3 * thick, 0), (thick, 0.3), (0.8 * thick, 0.62)], 8)
    made.add(revolve([(0, 0), *stem]), plain(palette.light))
    dome = [
        (0.05, 0.5),
        *smooth_profile([(cap, 0.48), (0.97 * cap, 0.58), (0.6 * cap, 0.5 + 0.8 * high), (0.001, 0.5 + high)], 12),
    ]
    spots = dots(int(rng.integers(1 << 31)), rng.uniform(0.12, 0.2), 0.33, palette.main, palette.light)
    made.add(revolve(dome), spots if rng.random() < 0.6 else make_pattern(rng, palette))
    if rng.random() < 0.4:
        made.stick(face(rng, palette), (0, 0.28, thick), (1.6 * thick, 0.35), reach=thick)
    return made


def potted(rng: np.random.Generator) -> Assembly:
    """A pot with leaves, a cactus or flowers."""
    palette, made = random_palette(rng, natural=0.4), Assembly()
    low, top, tall = rng.uniform(0.1, 0.2), rng.uniform(0.16, 0.28), rng.uniform(0.2, 0.4)
    made.add(
        revolve([(0, 0), (low, 0), (top, tall), (0.85 * top, tall), (0.85 * top, 0.93 * tall)]),
        make_pattern(rng, palette),
    )
    made.add(revolve([(0.9 * top, 0.9 * tall), (0, 0.95 * tall)]), plain(np.array([0.2, 0.13, 0.08])))
    green = from_hsv(rng.uniform(0.22, 0.4), rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.7))
    kind = rng.integers(3)
    if kind == 0:
        body = superellipsoid((0.13, rng.uniform(0.2, 0.35), 0.13))
        made.add(moved(body, (0, tall + 0.2, 0)), make_pattern(rng, palette, green, busy=0.7))
        for side in (-1.0, 1.0)[: rng.integers(0, 3)]:
            arm = smooth_path(
                [(side * 0.1, tall + 0.15, 0), (side * 0.25, tall + 0.2, 0), (side * 0.26, tall + 0.4, 0)], 8
            )
            made.add(tube(arm, 0.055), plain(green))
        return made
    for turn in rng.uniform(0, 360, rng.integers(5, 14)):
        high, out = rng.uniform(0.15, 0.5), rng.uniform(0.08, 0.35)
        path = smooth_path([(0, 0.9 * tall, 0), (0.3 * out, tall + 0.7 * high, 0), (out, tall + high, 0)], 7)
        leaf = tube(path, [0.02, 0.06, 0.01], flat=0.25) if kind == 1 else tube(path, 0.012)
        made.add(turned(leaf, "y", turn), plain(green * rng.uniform(0.7, 1.1)))
        if kind == 2:
            bloom = moved(superellipsoid((0.07, 0.05, 0.07)), path[-1])
            made.add(turned(bloom, "y", turn), plain(palette.any(rng)))
    return made


def tree(rng: np.random.Generator) -> Assembly:
    """A trunk with a round or a conical crown."""
    palette, made = random_palette(rng, natural=0.5), Assembly()
    green = from_hsv(rng.uniform(0.15, 0.4), rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.75))
    leaves = noise(int(rng.integers(1 << 31)), 14, green, green * 0.6, False, 3)
    made.add(
        tube(smooth_path([(0, 0, 0), (rng.uniform(-0.05, 0.05), 0.25, 0), (0, 0.5, 0)], 6), [0.08, 0.045]),
        plain(from_hsv(0.08, 0.5, 0.35)),
    )
    if rng.random() < 0.4:
        for place in range(3):
            size = 0.3 - 0.07 * place
            made.add(moved(revolve([(0, 0), (size, 0), (0, 0.34)]), (0, 0.25 + 0.2 * place, 0)), leaves)
    else:
        for _ in range(rng.integers(2, 7)):
            size = rng.uniform(0.12, 0.25)
            place = (rng.uniform(-0.2, 0.2), rng.uniform(0.5, 0.8), rng.uniform(-0.2, 0.2))
            made.add(moved(superellipsoid((size, 0.9 * size, size)), place), leaves)
            if rng.random() < 0.5:
                made.add(
                    moved(superellipsoid((0.04, 0.04, 0.04)), (place[0], place[1], place[2] + size)),
                    plain(palette.accent),
                )
    return made


def cake(rng: np.random.Generator) -> Assembly:
    """Tiers with icing, burgers, stacks of discs."""
    palette, made = random_palette(rng, natural=0.4), Assembly()
    height, radius = 0.0, rng.uniform(0.35, 0.5)
    for _ in range(rng.integers(2, 6)):
        tall = rng.uniform(0.05, 0.22)
        side = smooth_profile([(0.93 * radius, 0), (radius, tall / 2), (0.93 * radius, tall)], 7)
        made.add(
            moved(revolve([(0, 0), *side, (0, tall)]), (0, height, 0)),
            make_pattern(rng, palette, palette.any(rng), busy=0.5),
        )
        height, radius = height + tall, radius * rng.uniform(0.75, 1.03)
    for turn in np.arange(rng.integers(0, 9)) * 45.0:
        thing = moved(superellipsoid((0.04, 0.05, 0.04)), (0.7 * radius, height + 0.03, 0))
        made.add(turned(thing, "y", turn), plain(palette.accent))
    return made
