"""Small pictures to stick onto surfaces: eyes and mouths, lettering, labels, numbers, dials, windows.

RGBA arrays [height, width, 4] in sRGB in [0, 1], row 0 at the top.
"""

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from sv3dgen.procedural.palettes import Color, Palette

Picture = Float[np.ndarray, "height width 4"]

# Glyphs as strokes on a grid 2 wide and 4 tall: not an alphabet, but what one looks like from afar.
GLYPHS = (
    ((0, 4), (1, 0), (2, 4)),
    ((0, 4), (0, 0), (2, 1), (0, 2), (2, 3), (0, 4)),
    ((2, 1), (1, 0), (0, 1), (0, 3), (1, 4), (2, 3)),
    ((2, 0), (0, 0), (0, 2), (2, 2), (0, 2), (0, 4), (2, 4)),
    ((0, 0), (0, 4), (0, 2), (2, 2), (2, 0), (2, 4)),
    ((0, 4), (0, 0), (2, 4), (2, 0)),
    ((1, 0), (0, 1), (0, 3), (1, 4), (2, 3), (2, 1), (1, 0)),
    ((0, 4), (0, 0), (2, 1), (0, 2), (2, 4)),
    ((2, 0), (0, 1), (2, 3), (0, 4)),
    ((0, 0), (2, 0), (1, 0), (1, 4)),
    ((0, 0), (0, 3), (1, 4), (2, 3), (2, 0)),
    ((0, 0), (2, 0), (0, 4), (2, 4)),
    ((1, 0), (1, 4)),
)


def _canvas(width: int, height: int, ground: Color | None = None) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0) if ground is None else _ink(ground))
    return image, ImageDraw.Draw(image)


def _ink(color: Color) -> tuple[int, int, int, int]:
    red, green, blue = (int(round(255 * float(value))) for value in color)
    return red, green, blue, 255


def _picture(image: Image.Image) -> Picture:
    return np.asarray(image, dtype=np.float64) / 255


def lettering(rng: np.random.Generator, ink: Color, ground: Color | None = None, rows: int = 1) -> Picture:
    """Rows of strokes that look like text; the first row may be larger, as on a label."""
    width, row_px = 96, 28
    image, draw = _canvas(width, rows * row_px + 8, ground)
    for row in range(rows):
        count = int(rng.integers(3, 8)) if row == 0 else int(rng.integers(6, 14))
        pitch, thick = (width - 8) / count, 4 if row == 0 else 2
        for place in range(count):
            if row and rng.random() < 0.15:
                continue
            glyph = GLYPHS[rng.integers(len(GLYPHS))]
            left, top = 4 + place * pitch, 6 + row * row_px
            draw.line([(left + x * pitch * 0.34, top + y * (row_px - 12) / 4) for x, y in glyph], _ink(ink), thick)
    return _picture(image)


def label(rng: np.random.Generator, palette: Palette) -> Picture:
    """A printed front: a ground, blocks or a disc of color, and lettering."""
    ground, ink = (palette.light, palette.dark) if rng.random() < 0.6 else (palette.accent, palette.light)
    image, draw = _canvas(96, 96, ground)
    for _ in range(rng.integers(1, 4)):
        low, size = rng.integers(0, 60, 2), rng.integers(15, 60, 2)
        shape = [*low.tolist(), *(low + size).tolist()]
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(shape, _ink(palette.any(rng)))
    text = lettering(rng, ink, rows=int(rng.integers(1, 3)))
    band = Image.fromarray((text * 255).astype(np.uint8))
    image.alpha_composite(band, (0, int(rng.integers(0, 96 - band.height))))
    if rng.random() < 0.4:
        draw.rectangle([0, 0, 95, 95], outline=_ink(ink), width=4)
    return _picture(image)


def eye(rng: np.random.Generator, iris: Color) -> Picture:
    """A white, an iris, a pupil and a glint; sometimes only a dark button. Drawn once, stuck on twice."""
    image, draw = _canvas(48, 48)
    dark = np.full(3, 0.04)
    if rng.random() < 0.4:
        draw.ellipse([6, 6, 42, 42], _ink(dark))
    else:
        draw.ellipse([2, 2, 46, 46], _ink(np.full(3, 0.97)), _ink(dark), 2)
        size = int(rng.integers(8, 16))
        draw.ellipse([24 - size, 24 - size, 24 + size, 24 + size], _ink(iris))
        draw.ellipse([24 - size // 2, 24 - size // 2, 24 + size // 2, 24 + size // 2], _ink(dark))
    draw.ellipse([27, 13, 34, 20], _ink(np.ones(3)))
    return _picture(image)


def mouth(rng: np.random.Generator, ink: Color) -> Picture:
    """A line that smiles or not, or an open mouth."""
    image, draw = _canvas(64, 40)
    kind = rng.integers(4)
    if kind == 0:
        draw.arc([6, -20, 58, 34], 20, 160, _ink(ink), 5)
    elif kind == 1:
        draw.chord([8, -22, 56, 36], 15, 165, _ink(ink))
    elif kind == 2:
        draw.line([10, 20, 54, 20], _ink(ink), 5)
    else:
        draw.ellipse([18, 6, 46, 36], _ink(ink))
        draw.rectangle([24, 8, 40, 14], _ink(np.ones(3)))
    return _picture(image)


def face(rng: np.random.Generator, palette: Palette) -> Picture:
    """Two eyes, a mouth, perhaps cheeks, brows and a nose, on nothing."""
    image, draw = _canvas(128, 128)
    size, apart, height = int(rng.integers(22, 44)), int(rng.integers(26, 40)), int(rng.integers(32, 56))
    one = Image.fromarray((eye(rng, palette.accent) * 255).astype(np.uint8)).resize((size, size))
    for x in (64 - apart, 64 + apart):
        image.alpha_composite(one, (max(x - size // 2, 0), height - size // 2))
        if rng.random() < 0.3:
            draw.ellipse([x - 12, height + 24, x + 12, height + 40], _ink(palette.accent))
    if rng.random() < 0.4:
        tilt = int(rng.integers(-8, 9))
        for side in (-1, 1):
            x, y = 64 + side * apart, height - size // 2 - 8
            draw.line([x - side * 16, y + tilt, x + side * 16, y - tilt], _ink(palette.dark), 6)
    if rng.random() < 0.6:
        y = height + 18
        draw.ellipse([55, y, 73, y + int(rng.integers(8, 18))], _ink(palette.any(rng)))
    lips = Image.fromarray((mouth(rng, palette.dark) * 255).astype(np.uint8))
    image.alpha_composite(lips, (32, min(height + 32, 86)))
    return _picture(image)


def emblem(rng: np.random.Generator, palette: Palette) -> Picture:
    """A disc, star, heart or shield with a figure in it."""
    image, draw = _canvas(64, 64)
    fill, ink = palette.any(rng), palette.any(rng)
    kind = rng.integers(3)
    if kind == 0:
        draw.ellipse([2, 2, 62, 62], _ink(fill), _ink(palette.dark), 3)
    elif kind == 1:
        angle = np.arange(10) * np.pi / 5 - np.pi / 2
        radius = np.where(np.arange(10) % 2 == 0, 31, 13)
        corners = zip(32 + radius * np.cos(angle), 32 + radius * np.sin(angle), strict=True)
        draw.polygon([(float(x), float(y)) for x, y in corners], _ink(fill))
    else:
        draw.ellipse([4, 6, 34, 36], _ink(fill))
        draw.ellipse([30, 6, 60, 36], _ink(fill))
        draw.polygon([(6, 28), (58, 28), (32, 62)], _ink(fill))
    glyph = GLYPHS[rng.integers(len(GLYPHS))]
    draw.line([(22 + 10 * x, 16 + 8 * y) for x, y in glyph], _ink(ink), 5)
    return _picture(image)


def panes(rng: np.random.Generator, glass: Color, frame: Color, columns: int, rows: int) -> Picture:
    """Windows in a wall, on nothing."""
    image, draw = _canvas(16 * columns, 20 * rows)
    gap = int(rng.integers(1, 4))
    for column in range(columns):
        for row in range(rows):
            left, top = 16 * column + gap, 20 * row + gap
            draw.rectangle([left, top, left + 15 - 2 * gap, top + 19 - 2 * gap], _ink(glass), _ink(frame))
    return _picture(image)


def keys(rng: np.random.Generator, palette: Palette) -> Picture:
    """The front of an apparatus: a screen and buttons."""
    image, draw = _canvas(64, 96)
    draw.rectangle([6, 8, 58, 44], _ink(from_screen(rng)), _ink(palette.dark), 3)
    for row in range(int(rng.integers(1, 4))):
        for column in range(3):
            x, y = 12 + 16 * column, 52 + 14 * row
            (draw.ellipse if rng.random() < 0.5 else draw.rectangle)([x, y, x + 9, y + 9], _ink(palette.any(rng)))
    return _picture(image)


def from_screen(rng: np.random.Generator) -> Color:
    """The color of a display, on or off."""
    return np.array([[0.55, 0.65, 0.35], [0.08, 0.09, 0.12], [0.35, 0.6, 0.85]])[rng.integers(3)]
