"""Animals: four-legged ones, dinosaurs, birds, fish."""

import numpy as np

from sv3dgen.procedural.assembly import Assembly, moved, turned
from sv3dgen.procedural.palettes import Palette, from_hsv, random_palette
from sv3dgen.procedural.patterns import Pattern, countershaded, dots, make_pattern, noise, plain, stripes
from sv3dgen.procedural.pictures import eye
from sv3dgen.procedural.sections import loft
from sv3dgen.procedural.surfaces import ball, revolve, smooth_path, superellipsoid, tube


def hide(rng: np.random.Generator, palette: Palette) -> Pattern:
    """Fur, scales or skin: spotted, striped or plain, often with a lighter belly."""
    main = palette.main
    if rng.random() < 0.6:
        hue = rng.choice([0.06, 0.08, 0.1, 0.2, 0.28, 0.6])
        main = from_hsv(hue, rng.uniform(0.05, 0.7), rng.uniform(0.15, 0.9))
    other = main * rng.uniform(0.3, 0.7) if rng.random() < 0.7 else palette.light
    seed, kind = int(rng.integers(1 << 31)), rng.integers(6)
    if kind == 0:
        pattern = noise(seed, rng.uniform(4, 9), main, other, sharp=True)
    elif kind == 1:
        pattern = stripes(np.array([0.0, 0.25, 0.97]), rng.uniform(0.08, 0.16), 0.35, main, other)
    elif kind == 2:
        pattern = dots(seed, rng.uniform(0.08, 0.14), 0.3, main, other)
    elif kind == 3:
        pattern = noise(seed, rng.uniform(8, 20), main, other, sharp=False, octaves=3)
    else:
        pattern = make_pattern(rng, palette, main, busy=0.1)
    belly = palette.light if rng.random() < 0.5 else main * 0.5 + 0.5
    return countershaded(pattern, belly) if rng.random() < 0.6 else pattern


def stick_eyes(rng: np.random.Generator, made: Assembly, place: tuple[float, float, float], size: float, side: float):
    """An eye at both sides of a head; `side` is how far they look sideways (0: ahead, 1: to the sides)."""
    picture = eye(rng, from_hsv(rng.random(), 0.7, 0.7))
    for sign in (-1.0, 1.0):
        facing = (sign * side, 0.1, 1.0 - side)
        made.stick(picture, (sign * place[0], place[1], place[2]), (size, size), facing, reach=0.5 * size + 0.05)


def leg(hip, knee, foot, thick: float, thin: float, hoof: float):
    """A bent limb with a foot that points ahead."""
    limb = tube(smooth_path([hip, knee, foot], 9), [thick, 0.5 * (thick + thin), thin, thin])
    shoe = moved(superellipsoid((1.15 * thin, 0.7 * thin, hoof), (0.8, 0.9)), (foot[0], foot[1], foot[2] + 0.5 * hoof))
    return limb, shoe


def quadruped(rng: np.random.Generator) -> Assembly:
    """From dachshund to giraffe: body, four legs in a walk, neck, head, ears or horns, tail."""
    palette, made = random_palette(rng, natural=0.6), Assembly()
    skin = hide(rng, palette)
    dark = plain(palette.dark)
    long, tall, wide = rng.uniform(0.25, 0.4), rng.uniform(0.1, 0.19), rng.uniform(0.09, 0.17)
    legs, stout = rng.uniform(0.18, 0.5), rng.uniform(0.035, 0.075)
    sag = rng.uniform(-0.03, 0.04)
    shoulder, rump = tall * rng.uniform(0.8, 1.25), tall * rng.uniform(0.8, 1.2)
    stations = [
        (-long - 0.05, legs, 0.03, 0.03, 1.0),
        (-0.8 * long, legs + 0.02, wide, rump, 0.9),
        (0.0, legs - sag, wide * rng.uniform(0.85, 1.2), tall, 0.9),
        (0.75 * long, legs + 0.02, wide, shoulder, 0.9),
        (long + 0.03, legs + 0.04, 0.04, 0.05, 1.0),
    ]
    made.add(loft(stations, 20), skin)
    socks = dark if rng.random() < 0.4 else skin
    for z, bend in ((0.7 * long, 0.03), (-0.75 * long, -0.04)):
        for side in (-1.0, 1.0):
            swing = rng.uniform(-0.07, 0.07)
            hip = (side * 0.7 * wide, legs, z)
            knee = (side * 0.75 * wide, 0.45 * legs - 0.05, z + bend + 0.5 * swing)
            limb, shoe = leg(hip, knee, (side * 0.75 * wide, -0.06, z + swing), 1.4 * stout, 0.8 * stout, 1.3 * stout)
            made.add(limb, skin)
            made.add(shoe, socks)
    _neck_and_head(rng, made, skin, palette, long, legs, tall)
    tail = rng.uniform(0.08, 0.4)
    droop = rng.uniform(-0.8, 0.9)
    end = (rng.uniform(-0.05, 0.05), legs + 0.05 + droop * tail, -long - 0.05 - 0.7 * tail)
    middle = (0, legs + 0.08 + 0.3 * droop * tail, -long - 0.5 * tail)
    made.add(
        tube(smooth_path([(0, legs + 0.05, -long), middle, end], 10), [0.04, 0.025, rng.uniform(0.015, 0.05)]), skin
    )
    return made


def _neck_and_head(rng, made: Assembly, skin: Pattern, palette: Palette, long: float, legs: float, tall: float):
    neck, head = rng.uniform(0.05, 0.45), rng.uniform(0.08, 0.15)
    lean = rng.uniform(0.3, 1.0)
    base = (0, legs + 0.3 * tall, 0.8 * long)
    top = np.array([0, legs + 0.5 * tall + neck, 0.85 * long + 0.05 + 0.5 * lean * neck + 0.04])
    middle = (0, 0.45 * base[1] + 0.55 * top[1] - 0.02, 0.4 * base[2] + 0.6 * top[2])
    made.add(tube(smooth_path([base, middle, top], 9), [0.75 * tall, 0.7 * head + 0.1 * tall, 0.75 * head]), skin)
    muzzle, down = rng.uniform(0.6, 2.2) * head, rng.uniform(0, 0.5)
    skull = [
        (-head, top[1], 0.02, 0.02, 1.0),
        (-0.4 * head, top[1] + 0.02, 0.85 * head, 0.9 * head, 1.0),
        (0.4 * head, top[1], 0.8 * head, 0.8 * head, 1.0),
        (head, top[1] - down * head, 0.5 * head, 0.45 * head, 1.0),
        (head + muzzle, top[1] - 1.4 * down * head, 0.4 * head, 0.35 * head, 0.9),
        (head + muzzle + 0.02, top[1] - 1.4 * down * head, 0.1 * head, 0.1 * head, 1.0),
    ]
    made.add(moved(loft(skull, 14), (0, 0, top[2])), skin)
    nose = (0, top[1] - 1.4 * down * head + 0.1 * head, top[2] + head + muzzle)
    made.add(moved(superellipsoid((0.3 * head, 0.22 * head, 0.2 * head)), nose), plain(palette.dark))
    stick_eyes(rng, made, (0.6 * head, top[1] + 0.35 * head, top[2] + 0.4 * head), 0.6 * head, rng.uniform(0.5, 0.85))
    if rng.random() < 0.8:
        high = rng.uniform(0.4, 1.4) * head
        ear = turned(moved(superellipsoid((0.3 * head, 0.5 * high, 0.14 * head)), (0, 0.5 * high, 0)), "z", -25)
        made.add_pair(moved(ear, (0.5 * head, top[1] + 0.6 * head, top[2] - 0.2 * head)), skin)
    if rng.random() < 0.35:
        high, out = rng.uniform(0.8, 2.2) * head, rng.uniform(0.1, 1.2) * head
        start = (0.3 * head, top[1] + 0.6 * head, top[2])
        bend = (start[0] + out, start[1] + 0.5 * high, start[2] - 0.1 * high)
        path = smooth_path(
            [start, bend, (start[0] + 0.8 * out, start[1] + high, start[2] + rng.uniform(-0.5, 0.5) * high)], 9
        )
        made.add_pair(tube(path, [0.24 * head, 0.15 * head, 0.03 * head]), plain(palette.light))
    if rng.random() < 0.35:
        mane = smooth_path(
            [(0, top[1] + head, top[2]), (0, middle[1] + 0.1, middle[2] - head), (0, legs + tall, 0.5 * long)], 9
        )
        made.add(tube(mane, [0.03, 0.07, 0.03]), plain(palette.dark))


def dinosaur(rng: np.random.Generator) -> Assembly:
    """On two strong legs or four short ones, a long tail, perhaps plates or a frill."""
    palette, made = random_palette(rng, natural=0.4), Assembly()
    skin = hide(rng, palette)
    upright, wide, hip = rng.uniform(0.0, 0.25), rng.uniform(0.07, 0.13), rng.uniform(0.22, 0.36)
    spine = [(0, hip - 0.08, -0.6), (0, hip - 0.03, -0.35), (0, hip, -0.05), (0, hip + 0.6 * upright, 0.15)]
    head = np.array([0, hip + 0.12 + upright, 0.33])
    path = smooth_path([*spine, (0, head[1] - 0.04, 0.26), tuple(head)], 24)
    made.add(tube(path, [0.012, 0.05, 1.1 * wide, 1.25 * wide, 0.8 * wide, 0.055], flat=1.2), skin)
    size = rng.uniform(0.055, 0.1)
    jaw = [(-size, head[1], 0.5 * size, 0.6 * size, 1.0), (0, head[1], size, 1.1 * size, 0.8)]
    jaw += [
        (1.2 * size, head[1] - 0.02, 0.8 * size, 0.7 * size, 0.7),
        (2.4 * size, head[1] - 0.03, 0.4 * size, 0.3 * size, 0.8),
    ]
    made.add(moved(loft(jaw, 12), (0, 0, head[2])), skin)
    stick_eyes(rng, made, (0.8 * size, head[1] + 0.4 * size, head[2] + 0.3 * size), 0.6 * size, 0.85)
    four = rng.random() < 0.5
    for z, strong in ((-0.08, 1.0), (0.14, 1.0 if four else 0.45)):
        for side in (-1.0, 1.0):
            swing = rng.uniform(-0.08, 0.08)
            top = hip if z < 0 else hip + 0.5 * upright
            start = (side * 0.8 * wide, top, z)
            if strong == 1.0:
                knee, foot = (side * 1.3 * wide, 0.5 * top, z + 0.08), (side * 1.2 * wide, 0.03, z + swing)
            else:
                knee, foot = (side * 1.2 * wide, top - 0.08, z + 0.02), (side * wide, top - 0.1, z + 0.1)
            limb, shoe = leg(start, knee, foot, 0.065 * strong, 0.035 * strong, 0.06 * strong)
            made.add(limb, skin)
            made.add(shoe, plain(palette.dark) if rng.random() < 0.3 else skin)
    spikes = plain(palette.accent if rng.random() < 0.5 else palette.light)
    if rng.random() < 0.5:
        for place in np.linspace(4, 19, rng.integers(5, 10)).astype(int):
            high = rng.uniform(0.06, 0.14)
            plate = superellipsoid((0.015, high, 0.6 * high), (1.6, 1.0), 6)
            made.add(moved(plate, path[place] + [0, 1.1 * wide * np.sin(np.pi * place / 23), 0]), spikes)
    elif rng.random() < 0.5:
        frill = turned(superellipsoid((2.2 * size, 1.8 * size, 0.02), (0.9, 1.0)), "x", -20)
        made.add(moved(frill, head + [0, 0.8 * size, -0.8 * size]), make_pattern(rng, palette, palette.accent))
        for side in (-1.0, 1.0):
            horn = smooth_path(
                [head + [side * 0.5 * size, size, 0], head + [side * 0.7 * size, 2 * size, 1.5 * size]], 6
            )
            made.add(tube(horn, [0.25 * size, 0.03 * size]), plain(palette.light))
    return made


def bird(rng: np.random.Generator) -> Assembly:
    """Ducks, chickens, penguins, owls."""
    palette, made = random_palette(rng, natural=0.3), Assembly()
    skin = (
        countershaded(hide(rng, palette), palette.light) if rng.random() < 0.5 else make_pattern(rng, palette, busy=0.3)
    )
    upright = rng.uniform(0, 70)
    body = turned(
        superellipsoid((rng.uniform(0.17, 0.28), rng.uniform(0.18, 0.26), rng.uniform(0.28, 0.42))), "x", -upright
    )
    made.add(body, skin)
    head, lift = rng.uniform(0.11, 0.18), rng.uniform(0.25, 0.45)
    ahead = 0.25 * np.cos(np.radians(upright))
    made.add(tube(smooth_path([(0, 0.05, 0.5 * ahead), (0, lift, ahead)], 6), [0.15, 0.8 * head]), skin)
    made.add(moved(ball(head), (0, lift + 0.3 * head, ahead)), skin if rng.random() < 0.5 else plain(palette.second))
    beak = tube(
        smooth_path([(0, lift + 0.2 * head, ahead + 0.7 * head), (0, lift, ahead + rng.uniform(1.4, 2.4) * head)], 6),
        [0.4 * head, 0.1 * head],
        flat=rng.uniform(0.5, 1.5),
    )
    orange = plain(from_hsv(rng.uniform(0.05, 0.14), 0.9, 0.95))
    made.add(beak, orange)
    stick_eyes(rng, made, (0.6 * head, lift + 0.5 * head, ahead + 0.6 * head), 0.6 * head, rng.uniform(0.3, 0.7))
    wing = turned(superellipsoid((0.04, rng.uniform(0.1, 0.18), rng.uniform(0.2, 0.3))), "x", -upright)
    made.add_pair(moved(turned(wing, "z", rng.uniform(0, 25)), (0.22, 0.02, -0.05)), plain(palette.second))
    tail = (0, -0.2 * np.sin(np.radians(upright)) + 0.08, -0.35)
    made.add(moved(turned(superellipsoid((0.1, 0.03, 0.17)), "x", rng.uniform(0, 40)), tail), plain(palette.second))
    for side in (-1.0, 1.0):
        made.add(tube(smooth_path([(side * 0.09, -0.15, 0), (side * 0.1, -0.36, 0.02)], 5), 0.025), orange)
        made.add(moved(superellipsoid((0.07, 0.025, 0.1)), (side * 0.1, -0.37, 0.06)), orange)
    if rng.random() < 0.3:
        made.add(moved(superellipsoid((0.02, 0.07, 0.09)), (0, lift + 1.3 * head, ahead)), plain(palette.accent))
    return made


def fish(rng: np.random.Generator) -> Assembly:
    """Fish, whales and sharks, on nothing."""
    palette, made = random_palette(rng, natural=0.2), Assembly()
    skin = hide(rng, palette)
    tall, wide = rng.uniform(0.12, 0.32), rng.uniform(0.07, 0.2)
    stations = [(-0.45, 0, 0.015, 0.04, 1.0), (-0.2, 0, 0.6 * wide, 0.6 * tall, 1.0), (0.12, 0, wide, tall, 1.0)]
    stations += [(0.38, 0, 0.6 * wide, 0.6 * tall, 1.0), (0.48, rng.uniform(-0.05, 0.02), 0.06, 0.05, 1.0)]
    made.add(loft(stations, 20), skin)
    fins = plain(palette.second) if rng.random() < 0.6 else skin
    lying = rng.random() < 0.3
    span = rng.uniform(0.12, 0.25)
    fluke = superellipsoid((span, 0.02, 0.1), (1.0, 1.0)) if lying else superellipsoid((0.015, span, 0.1), (1.0, 1.0))
    made.add(moved(fluke, (0, 0, -0.5)), fins)
    made.add(moved(turned(superellipsoid((0.014, rng.uniform(0.08, 0.16), 0.16)), "x", -30), (0, 0.9 * tall, 0)), fins)
    fin = turned(moved(superellipsoid((0.11, 0.012, 0.07)), (0.1, 0, 0)), "z", rng.uniform(-50, 10))
    made.add_pair(moved(turned(fin, "y", 30), (0.8 * wide, -0.2 * tall, 0.12)), fins)
    size = rng.uniform(0.06, 0.11)
    stick_eyes(rng, made, (0.6 * wide, 0.25 * tall, 0.33), size, 0.9)
    return made


def snail(rng: np.random.Generator) -> Assembly:
    """Round-backed crawlers: snails, turtles, beetles."""
    palette, made = random_palette(rng), Assembly()
    skin, shell = plain(palette.second), make_pattern(rng, palette, busy=0.9)
    long, high = rng.uniform(0.25, 0.38), rng.uniform(0.18, 0.36)
    dome = [(0.001, 0.0), (long, 0.0), (0.95 * long, 0.3 * high), (0.6 * long, 0.8 * high), (0.001, high)]
    made.add(moved(revolve(dome, (rng.uniform(0.7, 1.0), 1.0)), (0, 0.06, 0)), shell)
    made.add(moved(superellipsoid((0.75 * long, 0.07, long)), (0, 0.06, 0)), skin)
    head = rng.uniform(0.08, 0.14)
    made.add(tube(smooth_path([(0, 0.06, 0.8 * long), (0, 0.16, long + 0.12)], 6), [0.07, 0.8 * head]), skin)
    made.add(moved(ball(head), (0, 0.17, long + 0.13)), skin)
    stick_eyes(rng, made, (0.5 * head, 0.2, long + 0.13 + 0.7 * head), 0.7 * head, 0.3)
    for z in (0.65, -0.65, 0.0)[: int(rng.integers(2, 4))]:
        foot = superellipsoid((0.07, 0.07, 0.08))
        made.add_pair(moved(foot, (0.7 * long, 0.04, z * long)), skin)
    if rng.random() < 0.5:
        feeler = tube(smooth_path([(0.04, 0.22, long + 0.13), (0.08, 0.4, long + 0.2)], 6), [0.015, 0.015, 0.025])
        made.add_pair(feeler, skin)
    return made
