"""Figures on two legs: people, robots, bears, dolls."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, turned
from sv3dgen.procedural.palettes import from_hsv, metal, random_palette
from sv3dgen.procedural.patterns import bands, make_pattern, plain
from sv3dgen.procedural.pictures import emblem, face, keys, lettering
from sv3dgen.procedural.sections import box, loft
from sv3dgen.procedural.surfaces import ball, revolve, smooth_path, smooth_profile, superellipsoid, tube


def person(rng: np.random.Generator) -> Assembly:
    """An action figure or doll: trousers, shirt, arms in a pose, a head with a face, hair or a hat."""
    palette, made = random_palette(rng, natural=0.15), Assembly()
    skin = from_hsv(rng.uniform(0.04, 0.1), rng.uniform(0.2, 0.6), rng.uniform(0.35, 0.98))
    if rng.random() < 0.25:
        skin = palette.accent
    shirt, trousers = make_pattern(rng, palette, busy=0.4), make_pattern(rng, palette, palette.second, busy=0.2)
    wide, head = rng.uniform(0.11, 0.2), rng.uniform(0.09, 0.19)
    hip, chest = rng.uniform(0.3, 0.45), rng.uniform(0.62, 0.72)
    torso = [
        (hip - 0.03, 0, 0.75 * wide, 0.08, 0.8),
        (hip + 0.08, 0, 0.7 * wide, 0.085, 0.8),
        (chest - 0.05, 0, wide, 0.1, 0.7),
    ]
    torso += [(chest + 0.02, 0, 0.7 * wide, 0.07, 0.9), (chest + 0.05, 0, 0.05, 0.05, 1.0)]
    # Lofts run along +Z; turned by -90 degrees about x they stand up.
    made.add(turned(loft(torso, 14), "x", -90), shirt)
    stance = rng.uniform(0.0, 0.1)
    boots = plain(palette.dark if rng.random() < 0.6 else palette.accent)
    for side in (-1.0, 1.0):
        swing = rng.uniform(-0.08, 0.08)
        foot = (side * (0.5 * wide + stance), 0.04, swing)
        knee = (side * (0.5 * wide + 0.6 * stance), 0.5 * hip, 0.5 * swing + 0.03)
        made.add(tube(smooth_path([(side * 0.4 * wide, hip, 0), knee, foot], 9), [0.08, 0.065, 0.055]), trousers)
        made.add(moved(superellipsoid((0.06, 0.045, 0.1), (0.8, 0.8)), (foot[0], 0.03, foot[2] + 0.04)), boots)
        shoulder = np.array([side * 0.95 * wide, chest - 0.02, 0])
        lift, ahead, bend = rng.uniform(-1.4, 0.7), rng.uniform(-0.3, 0.7), rng.uniform(-0.1, 0.9)
        elbow = shoulder + 0.16 * np.array([side * np.cos(lift), np.sin(lift), ahead])
        hand = elbow + 0.15 * np.array([side * np.cos(lift + bend), np.sin(lift + bend), ahead + 0.3])
        made.add(
            tube(smooth_path([shoulder, elbow, hand], 9), [0.06, 0.05, 0.04]),
            shirt if rng.random() < 0.6 else plain(skin),
        )
        made.add(moved(ball(0.05), hand), plain(skin))
        if rng.random() < 0.15:
            made.add(
                tube(smooth_path([hand - [0, 0.08, 0], hand + [0, 0.3, 0.1]], 6), [0.02, 0.015]), plain(metal(rng))
            )
    _head(rng, made, palette, skin, chest + 0.05 + 0.85 * head, head)
    if rng.random() < 0.5:
        made.stick(emblem(rng, palette), (0, chest - 0.1, 0.1), (0.16, 0.16), reach=0.12)
    if rng.random() < 0.3:
        pack = box(1.3 * wide, 0.25, 0.1, 0.04)
        made.add(moved(pack, (0, chest - 0.1, -0.13)), make_pattern(rng, palette, palette.accent, busy=0.3))
    return made


def _head(rng: np.random.Generator, made: Assembly, palette, skin, height: float, size: float) -> None:
    made.add(moved(superellipsoid((0.9 * size, size, 0.9 * size), (0.9, 0.9)), (0, height, 0)), plain(skin))
    made.stick(face(rng, palette), (0, height, size), (1.5 * size, 1.6 * size), reach=size)
    kind = rng.random()
    color = plain(palette.dark if rng.random() < 0.5 else palette.any(rng))
    if kind < 0.4:
        hair = superellipsoid((0.98 * size, 0.95 * size, 0.98 * size), (0.9, 0.9))
        made.add(moved(hair, (0, height + 0.15 * size, -0.18 * size)), color)
    elif kind < 0.7:
        dome = [
            (1.02 * size, 0),
            *smooth_profile([(1.02 * size, 0), (0.8 * size, 0.5 * size), (0.001, 0.75 * size)], 8),
        ]
        made.add(moved(revolve(dome), (0, height + 0.25 * size, -0.05 * size)), color)
        brim = superellipsoid((0.8 * size, 0.06 * size, 0.7 * size))
        made.add(moved(brim, (0, height + 0.32 * size, 0.7 * size * (rng.random() < 0.7))), color)
    elif kind < 0.85:
        ear = superellipsoid((0.2 * size, rng.uniform(0.3, 0.9) * size, 0.15 * size))
        made.add_pair(moved(turned(ear, "z", -20), (0.55 * size, height + size, 0)), color)


def robot(rng: np.random.Generator) -> Assembly:
    """Blocks and cylinders: body, head, arms at the sides, feet, antennas."""
    palette, made = random_palette(rng, natural=0.05), Assembly()
    wide, tall, deep = rng.uniform(0.3, 0.55), rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.4)
    round_body = rng.random() < 0.5
    main, second = make_pattern(rng, palette, busy=0.35), plain(palette.second if rng.random() < 0.5 else metal(rng))
    if round_body:
        body = revolve(
            [(0, -tall / 2), (wide / 2, -tall / 2 + 0.02), (wide / 2, tall / 2), (0, tall / 2)], (1.0, deep / wide)
        )
    else:
        body = box(wide, tall, deep, rng.uniform(0.02, 0.1))
    made.add(body, main)
    high, across = rng.uniform(0.15, 0.3), wide * rng.uniform(0.6, 1.0)
    if rng.random() < 0.5:
        dome = smooth_profile([(across / 2, 0), (0.42 * across, 0.6 * high), (0.001, high)], 9)
        made.add(moved(revolve([(0, 0), *dome], (1.0, deep / wide)), (0, tall / 2 + 0.02, 0)), main)
    else:
        made.add(moved(box(across, high, 0.8 * deep, 0.04), (0, tall / 2 + 0.52 * high, 0)), second)
    top = tall / 2 + 0.5 * high
    made.stick(face(rng, palette), (0, top, deep / 2), (0.85 * across, 0.95 * high), reach=0.6 * deep)
    for side in (-1.0, 1.0):
        if rng.random() < 0.6:
            arm = tube(
                smooth_path([(0, 0.3 * tall, 0), (0, rng.uniform(-0.35, 0.1) * tall, rng.uniform(0, 0.2))], 8), 0.06
            )
        else:
            arm = moved(box(0.1, 0.7 * tall, 0.14, 0.03), (0, 0, 0))
        made.add(moved(arm, (side * (wide / 2 + 0.07), 0, 0)), second)
    height = rng.uniform(0.08, 0.25)
    for side in (-1.0, 1.0):
        foot = tube(smooth_path([(0, 0.05, 0), (0, -height, 0)], 5), 0.075)
        made.add(moved(foot, (side * wide / 4, -tall / 2, 0)), second)
        if rng.random() < 0.5:
            made.add(moved(box(0.18, 0.07, 0.26, 0.02), (side * wide / 4, -tall / 2 - height, 0.04)), main)
    if rng.random() < 0.5:
        feeler = tube(smooth_path([(0.05, tall / 2 + 0.8 * high, 0), (0.12, tall / 2 + high + 0.12, 0)], 6), 0.018)
        made.add_pair(feeler, main)
    picture = (keys(rng, palette), emblem(rng, palette), lettering(rng, palette.dark, palette.light, 2))[
        rng.integers(3)
    ]
    if rng.random() < 0.7:
        made.stick(picture, (0, 0, deep / 2), (0.6 * wide, 0.5 * tall), reach=0.3 * deep)
    if rng.random() < 0.4:
        made.stick(
            lettering(rng, palette.light, palette.dark, 3), (0, 0, -deep / 2), (0.6 * wide, 0.5 * tall), (0, 0, -1)
        )
    return made


def bear(rng: np.random.Generator) -> Assembly:
    """Soft toys: round limbs, round ears, a muzzle, a belly of another color."""
    palette, made = random_palette(rng, natural=0.5), Assembly()
    fur = make_pattern(rng, palette, busy=0.35)
    belly, head = rng.uniform(0.18, 0.28), rng.uniform(0.15, 0.25)
    made.add(moved(superellipsoid((belly, 1.15 * belly, 0.9 * belly)), (0, 0.0, 0)), fur)
    patch = superellipsoid((0.7 * belly, 0.85 * belly, 0.25 * belly))
    made.add(moved(patch, (0, -0.02, 0.7 * belly)), plain(palette.light))
    high = 1.1 * belly + 0.75 * head
    made.add(moved(superellipsoid((1.05 * head, 0.95 * head, 0.95 * head)), (0, high, 0.02)), fur)
    made.add(
        moved(superellipsoid((0.45 * head, 0.35 * head, 0.4 * head)), (0, high - 0.25 * head, 0.85 * head)),
        plain(palette.light),
    )
    made.add(
        moved(superellipsoid((0.17 * head, 0.12 * head, 0.1 * head)), (0, high - 0.1 * head, 1.25 * head)),
        plain(palette.dark),
    )
    made.stick(face(rng, palette), (0, high + 0.15 * head, head), (1.5 * head, 1.5 * head), reach=0.6 * head)
    tall = rng.uniform(0.3, 1.3)
    ear = moved(superellipsoid((0.32 * head, 0.32 * head * tall, 0.14 * head)), (0, 0.3 * head * tall, 0))
    made.add_pair(moved(turned(ear, "z", -20), (0.7 * head, high + 0.6 * head, 0)), fur)
    sitting = rng.random() < 0.6
    for side in (-1.0, 1.0):
        hip = np.array([side * 0.7 * belly, -0.75 * belly, 0])
        foot = hip + ([side * 0.08, -0.08, 0.3] if sitting else [side * 0.03, -0.3, 0.03])
        made.add(tube(smooth_path([hip, foot], 6), [0.11, 0.09]), fur)
        made.add(moved(ball(0.1), foot), plain(palette.second) if rng.random() < 0.5 else fur)
        shoulder = np.array([side * 0.8 * belly, 0.6 * belly, 0.02])
        hand = shoulder + np.array([side * rng.uniform(0.05, 0.24), rng.uniform(-0.22, 0.2), rng.uniform(0.0, 0.2)])
        made.add(tube(smooth_path([shoulder, hand], 6), [0.08, 0.07]), fur)
    if rng.random() < 0.4:
        made.add(moved(superellipsoid((0.5 * belly, 0.05, 0.5 * belly)), (0, 1.0 * belly, 0)), plain(palette.accent))
    return made


def doll(rng: np.random.Generator) -> Assembly:
    """A turned peg with a face and painted clothes."""
    palette, made = random_palette(rng, natural=0.1), Assembly()
    low, neck, head = rng.uniform(0.22, 0.38), rng.uniform(0.1, 0.24), rng.uniform(0.18, 0.3)
    knots = [(0.9 * low, 0), (low, 0.15), (neck, 0.55), (head, 0.75), (0.7 * head, 0.92), (0.001, 1.0)]
    skin = from_hsv(rng.uniform(0.05, 0.1), 0.35, rng.uniform(0.4, 1.0))
    clothes = bands(
        [0.12, rng.uniform(0.25, 0.4), 0.55, 0.9], [palette.dark, palette.second, palette.main, skin, palette.dark]
    )
    made.add(
        revolve([(0, 0), *smooth_profile(knots, 26)]), clothes if rng.random() < 0.6 else make_pattern(rng, palette)
    )
    made.stick(face(rng, palette), (0, 0.73, head), (1.5 * head, 0.34), reach=head)
    if rng.random() < 0.6:
        made.stick(emblem(rng, palette), (0, 0.33, low), (0.25, 0.25), reach=low)
    if rng.random() < 0.5:
        made.add_pair(moved(superellipsoid((0.06, 0.16, 0.07)), (0.9 * low, 0.4, 0)), plain(palette.main))
    return made
