"""Colors that go together, in sRGB in [0, 1]."""

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Color = Float[np.ndarray, " 3"]


@dataclass(frozen=True)
class Palette:
    """The colors of one object."""

    main: Color
    second: Color
    accent: Color
    light: Color
    dark: Color

    def any(self, rng: np.random.Generator) -> Color:
        """One of them."""
        return (self.main, self.second, self.accent, self.light, self.dark)[rng.integers(5)]


def from_hsv(hue: float | int, saturation: float | int, value: float | int) -> Color:
    """The hue in turns, any number; the others are clipped to [0, 1]."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1))))


def random_palette(rng: np.random.Generator, natural: float | int = 0.25) -> Palette:
    """A palette; with probability `natural` of earthy, furry or leathery colors instead of toy-like ones."""
    hue, jitter = rng.random(), rng.uniform(-0.03, 0.03, 3)
    if rng.random() < natural:
        hue = rng.choice([0.05, 0.08, 0.1, 0.12, 0.25, 0.6]) + jitter[0]
        main = from_hsv(hue, rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.85))
        second = from_hsv(hue + jitter[1], rng.uniform(0.1, 0.5), rng.uniform(0.15, 0.95))
        accent = from_hsv(rng.random(), rng.uniform(0.2, 0.9), rng.uniform(0.3, 0.9))
    else:
        # Complementary, analogous, triadic, split, or shades of one hue.
        shift = rng.choice([0.5, 0.08, 1 / 3, 0.42, 0.0])
        strong = rng.uniform(0.35, 1.0)
        main = from_hsv(hue, strong, rng.uniform(0.55, 1.0))
        second = from_hsv(hue + shift + jitter[1], strong * rng.uniform(0.3, 1.0), rng.uniform(0.35, 1.0))
        accent = from_hsv(hue - shift + jitter[2], rng.uniform(0.5, 1.0), rng.uniform(0.6, 1.0))
    light = from_hsv(rng.choice([hue, 0.12]), rng.uniform(0.0, 0.15), rng.uniform(0.85, 1.0))
    dark = from_hsv(rng.choice([hue, 0.6]), rng.uniform(0.0, 0.4), rng.uniform(0.04, 0.25))
    if rng.random() < 0.2:  # white, black and gray things are common
        main = (light, dark, from_hsv(hue, 0.03, rng.uniform(0.4, 0.8)))[rng.integers(3)]
    return Palette(main, second, accent, light, dark)


def metal(rng: np.random.Generator) -> Color:
    """Steel, brass or a darkened one."""
    if rng.random() < 0.25:
        return from_hsv(0.12, rng.uniform(0.3, 0.6), rng.uniform(0.6, 0.85))
    return from_hsv(0.6, rng.uniform(0.0, 0.12), rng.uniform(0.35, 0.85))


def wood(rng: np.random.Generator) -> Color:
    """From maple to walnut."""
    return from_hsv(rng.uniform(0.05, 0.1), rng.uniform(0.35, 0.75), rng.uniform(0.25, 0.85))


def shade(color: Color, factor: float | int) -> Color:
    """Darker below 1, lighter (towards white) above."""
    return color * factor if factor <= 1 else 1 - (1 - color) / factor
