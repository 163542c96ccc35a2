"""Turned things: mugs, bottles, vases, bowls, jars, pots, lamps, spinning tops."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved
from sv3dgen.procedural.palettes import Palette, metal, random_palette
from sv3dgen.procedural.patterns import bands, make_pattern, plain
from sv3dgen.procedural.pictures import emblem, face, label, lettering
from sv3dgen.procedural.surfaces import revolve, smooth_path, smooth_profile, tube


def mug(rng: np.random.Generator) -> Assembly:
    """A cup with a handle, perhaps on a saucer, open at the top."""
    palette, made = random_palette(rng), Assembly()
    radius, height, wall = rng.uniform(0.22, 0.36), rng.uniform(0.4, 0.8), rng.uniform(0.02, 0.05)
    foot = radius * rng.uniform(0.6, 1.05)
    inside = plain(palette.light if rng.random() < 0.5 else palette.second)
    outer = smooth_profile([(foot, 0), (0.5 * (foot + radius) * rng.uniform(0.95, 1.1), height / 2), (radius, height)])
    made.add(revolve([(0, 0), (foot, 0)]), plain(palette.main))
    made.add(revolve(outer), make_pattern(rng, palette))
    rim = [(radius, height), (radius - wall, height)]
    bowl = [(max(r - wall, 0.02), max(y, wall)) for r, y in outer[::-1]]
    made.add(revolve(rim), plain(palette.main))
    made.add(revolve([*bowl, (0, wall)]), inside)
    made.add(_handle(rng, radius, height), plain(palette.main if rng.random() < 0.6 else palette.accent))
    if rng.random() < 0.3:
        plate = [(0, -0.03), (radius, -0.03), (1.7 * radius, 0.04), (1.7 * radius, 0.06), (0.9 * radius, 0), (0, 0)]
        made.add(revolve(plate), make_pattern(rng, palette, busy=0.3))
    _front(rng, made, palette, radius, height)
    return made


def _handle(rng: np.random.Generator, radius: float, height: float):
    reach, low, high = rng.uniform(0.12, 0.24), height * rng.uniform(0.15, 0.3), height * rng.uniform(0.7, 0.88)
    knots = [(radius * 0.92, low, 0), (radius + reach, low + 0.05, 0), (radius + reach, high - 0.03, 0)]
    path = smooth_path([*knots, (radius * 0.95, high, 0)], 16)
    return tube(path, rng.uniform(0.025, 0.05), flat=rng.uniform(0.7, 1.6))


def _front(rng: np.random.Generator, made: Assembly, palette: Palette, radius: float, height: float) -> None:
    """What a vessel shows at its front, if anything."""
    kind = rng.random()
    size = min(1.4 * radius, 0.7 * height)
    if kind < 0.25:
        made.stick(face(rng, palette), (0, 0.5 * height, radius), (size, size))
    elif kind < 0.45:
        made.stick(emblem(rng, palette), (0, 0.5 * height, radius), (0.8 * size, 0.8 * size))
    elif kind < 0.65:
        made.stick(lettering(rng, palette.dark), (0, 0.5 * height, radius), (1.3 * radius, 0.3 * height))


def bottle(rng: np.random.Generator) -> Assembly:
    """A body, a shoulder, a neck and a cap, with a label."""
    palette, made = random_palette(rng), Assembly()
    radius, body, neck = rng.uniform(0.12, 0.25), rng.uniform(0.4, 0.65), rng.uniform(0.04, 0.09)
    shoulder = body + rng.uniform(0.06, 0.22)
    waist = radius * rng.uniform(0.8, 1.05)
    squash = (1.0, float(rng.choice([1.0, rng.uniform(0.5, 0.9)])))
    side = smooth_profile([(radius, 0.03), (waist, body / 2), (radius, body), (neck, shoulder), (neck, 0.9)], 20)
    made.add(revolve([(0, 0), (0.9 * radius, 0)], squash), plain(palette.main))
    made.add(revolve([(0.9 * radius, 0), *side], squash), make_pattern(rng, palette, busy=0.4))
    cap = neck * rng.uniform(1.05, 1.5)
    made.add(revolve([(neck, 0.88), (cap, 0.88), (0.92 * cap, 1.0), (0, 1.0)]), plain(palette.accent))
    if rng.random() < 0.8:
        tall = body * rng.uniform(0.4, 0.8)
        both = rng.random() < 0.4
        picture = label(rng, palette)
        for facing in ((0, 0, 1), (0, 0, -1))[: 1 + both]:
            place = (0, body / 2, facing[2] * radius * squash[1])
            made.stick(picture, place, (1.7 * radius, tall), facing, reach=0.6 * radius)
    if rng.random() < 0.2:
        path = smooth_path([(neck, 0.85, 0), (neck + 0.14, 0.8, 0), (0.9 * radius, 0.5 * body, 0)], 14)
        made.add(tube(path, 0.025), plain(palette.main))
    return made


def vase(rng: np.random.Generator) -> Assembly:
    """A free profile, open at the top; with two handles an amphora, with a foot a goblet or a lamp's stand."""
    palette, made = random_palette(rng, natural=0.4), Assembly()
    heights = np.sort(np.r_[0.0, rng.uniform(0.12, 0.88, 3), 1.0])
    radii = np.r_[rng.uniform(0.1, 0.25), rng.uniform(0.08, 0.42, 3), rng.uniform(0.06, 0.3)]
    profile = smooth_profile(list(zip(radii, heights, strict=True)), 26)
    made.add(revolve([(0, 0), tuple(profile[0])]), plain(palette.dark))
    made.add(revolve(profile), make_pattern(rng, palette, busy=0.85))
    inside = [(max(r - 0.02, 0.015), y) for r, y in profile[::-1][:12]]
    made.add(revolve([tuple(profile[-1]), *inside, (0, inside[-1][1])]), plain(palette.dark))
    if rng.random() < 0.3:
        low, high = profile[10], profile[21]
        reach = max(low[0], high[0]) + 0.12
        path = smooth_path([(low[0] * 0.9, low[1], 0), (reach, 0.6, 0), (high[0] * 0.9, high[1], 0)])
        made.add_pair(tube(path, 0.03), plain(palette.second))
    _front(rng, made, palette, float(radii.max()), 1.0)
    return made


def bowl(rng: np.random.Generator) -> Assembly:
    """Wide and open, with or without contents, lid or handles: bowls, pots, pans, baskets."""
    palette, made = random_palette(rng), Assembly()
    height, foot = rng.uniform(0.15, 0.5), rng.uniform(0.15, 0.45)
    outer = smooth_profile([(foot, 0), (rng.uniform(foot, 0.5), 0.4 * height), (0.5, height)], 12)
    made.add(revolve([(0, 0), (foot, 0)]), plain(palette.main))
    made.add(revolve(outer), make_pattern(rng, palette))
    inside = [(max(r - 0.025, 0.01), y + 0.025 * (y < 0.02)) for r, y in outer[::-1]]
    made.add(revolve([(0.5, height), *inside, (0, 0.025)]), plain(palette.second))
    kind = rng.random()
    if kind < 0.3:
        lid = smooth_profile([(0.5, height), (0.35, height + 0.1), (0.001, height + 0.14)], 8)
        made.add(revolve(lid), make_pattern(rng, palette, busy=0.3))
        made.add(revolve([(0.03, height + 0.13), (0.06, height + 0.2), (0, height + 0.21)]), plain(palette.dark))
    elif kind < 0.55:
        top = 0.85 * height
        radius = float(np.interp(top, outer[:, 1], outer[:, 0])) - 0.02
        made.add(revolve([(radius, top), (0.5 * radius, top + rng.uniform(0, 0.1)), (0, top)]), plain(palette.accent))
    if rng.random() < 0.5:
        if rng.random() < 0.5:
            end = rng.uniform(0.75, 1.1)
            made.add(tube(smooth_path([(0.46, 0.8 * height, 0), (end, height, 0)]), 0.035), plain(palette.dark))
        else:
            arc = smooth_path([(0.47, 0.75 * height, -0.1), (0.6, 0.8 * height, 0), (0.47, 0.75 * height, 0.1)])
            made.add_pair(tube(arc, 0.025), plain(palette.dark))
    return made


def turned_toy(rng: np.random.Generator) -> Assembly:
    """Spinning tops, chess men, bells, rockets, lamps: a stack of turned pieces."""
    palette, made = random_palette(rng, natural=0.2), Assembly()
    height, radius = 0.0, rng.uniform(0.15, 0.4)
    for _ in range(rng.integers(2, 6)):
        tall, low, high = rng.uniform(0.08, 0.4), radius * rng.uniform(0.6, 1.2), radius * rng.uniform(0.3, 1.1)
        middle = 0.5 * (low + high) * rng.uniform(0.7, 1.4)
        side = smooth_profile([(low, 0), (middle, tall / 2), (high, tall)], 9)
        pattern = make_pattern(rng, palette, palette.any(rng), busy=0.35)
        made.add(moved(revolve([(0, 0), *side, (0, tall)]), (0, height, 0)), pattern)
        height, radius = height + tall * rng.uniform(0.8, 1.0), max(0.08, radius * rng.uniform(0.5, 1.1))
    if rng.random() < 0.5:
        size = rng.uniform(0.06, 0.2)
        ball = smooth_profile([(0.001, -size), (size, 0), (0.001, size)], 12)
        made.add(moved(revolve(ball), (0, height + 0.6 * size, 0)), plain(palette.accent))
    _front(rng, made, palette, 0.4, height)
    return made


def lamp(rng: np.random.Generator) -> Assembly:
    """A foot, a stem and a shade."""
    palette, made = random_palette(rng), Assembly()
    foot, top, wide = rng.uniform(0.12, 0.3), rng.uniform(0.1, 0.3), rng.uniform(0.2, 0.42)
    pattern = plain(metal(rng)) if rng.random() < 0.5 else make_pattern(rng, palette, busy=0.3)
    made.add(revolve([(0, 0), (foot, 0), (foot, 0.04), (0.04, 0.08), (0.025, 0.7), (0, 0.7)]), pattern)
    shade_side = revolve([(wide, 0.55), (top, 1.0)])
    made.add(shade_side, make_pattern(rng, palette, palette.light, busy=0.5))
    made.add([grid[:, ::-1] * np.array([0.97, 1, 0.97]) for grid in shade_side], plain(palette.light))
    return made


def can(rng: np.random.Generator) -> Assembly:
    """A tin, a box of tea, a battery, a candle: a cylinder with a print all around."""
    palette, made = random_palette(rng), Assembly()
    radius, squash = rng.uniform(0.12, 0.4), (1.0, float(rng.choice([1.0, 1.0, rng.uniform(0.4, 0.9)])))
    rim = plain(metal(rng) if rng.random() < 0.6 else palette.second)
    made.add(revolve([(0, 0), (radius, 0), (radius, 0.03)], squash), rim)
    low, high = sorted(rng.uniform(0.1, 0.9, 2).tolist())
    colors = [palette.any(rng), palette.main, palette.any(rng)]
    side = bands([low, high], colors) if rng.random() < 0.5 else make_pattern(rng, palette, busy=0.8)
    made.add(revolve([(radius, 0.03), (radius, 0.97)], squash), side)
    made.add(revolve([(radius, 0.97), (radius, 1), (0.9 * radius, 1), (0.88 * radius, 0.98), (0, 0.98)], squash), rim)
    for facing in ((0, 0, 1), (0, 0, -1)):
        if rng.random() < 0.75:
            picture = label(rng, palette) if rng.random() < 0.5 else lettering(rng, palette.dark, palette.light, 3)
            place = (0, rng.uniform(0.4, 0.6), facing[2] * radius * squash[1])
            made.stick(picture, place, (1.8 * radius, rng.uniform(0.3, 0.7)), facing, reach=0.8 * radius)
    return made
