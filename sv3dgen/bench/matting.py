"""How well objects are cut out: `python -m sv3dgen.bench.matting ORBITS --methods classical auto`.

Pictures with a true alpha (`*/train_020.png` of a folder of posed views) are laid on backgrounds, with and without a
hard cast shadow, or a band in the background's color; scored is the intersection over union with the true mask.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageFilter

from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.errors import InputError
from sv3dgen.photo.matting import cut_out

SIZE_PX = 384
Picture = Float[np.ndarray, "height width 3"]


def plain(level: float) -> Callable[[np.random.Generator], Picture]:
    return lambda rng: np.full((SIZE_PX, SIZE_PX, 3), level)


def gradient(rng: np.random.Generator) -> Picture:
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    return np.repeat((225 - 70 * y - 20 * x)[..., None], 3, axis=2)


def wood(rng: np.random.Generator) -> Picture:
    """Planks with a grain."""
    y = np.arange(SIZE_PX)[:, None, None]
    tone = rng.uniform(-18, 18, 8)[y // 77]
    noise = Image.fromarray(rng.normal(0, 1, (SIZE_PX // 2, 10)).astype(np.float32))
    grain = np.asarray(noise.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC))[..., None]
    return np.array([150.0, 105, 65]) + tone + 12 * grain - 40 * (y % 77 < 2)


def checks(rng: np.random.Generator) -> Picture:
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] // 24
    return np.where(((x + y) % 2)[..., None] > 0, [225.0, 220, 205], [170.0, 60, 60])


def blurred(rng: np.random.Generator) -> Picture:
    """Large spots of many colors, as behind a wide lens."""
    spots = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    return np.asarray(spots.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC), dtype=np.float64)


BACKGROUNDS = {
    "white": plain(255.0),
    "gray": plain(128.0),
    "gradient": gradient,
    "wood": wood,
    "checks": checks,
    "blurred": blurred,
}


def photo_background(path: Path) -> Callable[[np.random.Generator], Picture]:
    """A photo's upper left quarter, mirrored to all sides."""
    with Image.open(path) as image:
        corner = np.asarray(image.convert("RGB"))[: image.height // 3, : image.width // 4]
    row = np.concatenate([corner, corner[:, ::-1]], axis=1)
    whole = Image.fromarray(np.concatenate([row, row[::-1]])).resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)
    return lambda rng: np.asarray(whole, dtype=np.float64)


def composite(
    object_rgba: Image.Image, background: Picture, kind: str
) -> tuple[Image.Image, Float[np.ndarray, "height width"]]:
    """The object before the background ("plain"), with a "shadow" or a "band", and its true alpha."""
    small = np.asarray(
        object_rgba.convert("RGBA").resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS), dtype=np.float64
    )
    rgb, alpha = small[..., :3].copy(), small[..., 3:] / 255
    rows = np.nonzero(alpha.max((1, 2)) > 0.5)[0]
    if kind == "shadow":  # flattened and sheared at the object's foot
        mask, foot = Image.fromarray((255 * alpha[..., 0]).astype(np.uint8)), float(rows[-1] - 4)
        sheared = (1, 1.2, -1.2 * foot, 0, 2, -foot)
        cast = mask.transform(mask.size, Image.Transform.AFFINE, sheared, Image.Resampling.BICUBIC)
        background = background * (1 - 0.45 * np.asarray(cast.filter(ImageFilter.GaussianBlur(1)))[..., None] / 255)
    if kind == "band":
        inside = np.abs(np.arange(SIZE_PX) - rows.mean()) < 0.12 * np.ptp(rows)
        rgb[inside] = background[inside]
    mixed = rgb * alpha + background * (1 - alpha)
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8)).convert("RGBA"), alpha[..., 0]


def score(photo: Image.Image, alpha: np.ndarray, method: str) -> tuple[float, bool]:
    """Intersection over union with the truth, and whether a doubt was told; a refusal is 0 and a doubt."""
    try:
        found = cut_out(photo, "composite", method=method)  # type: ignore[arg-type]
    except InputError:
        return 0.0, True
    mask, true = np.asarray(found.image.getchannel("A").resize(photo.size)) > 127, alpha > 0.5
    return float((mask & true).sum() / (mask | true).sum()), found.doubt is not None


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; exit status 0, or 2 for something the user has to fix."""
    parser = OneLineParser(prog="python -m sv3dgen.bench.matting", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("orbits", type=Path, help="folder of posed views with a true alpha")
    parser.add_argument("--methods", nargs="+", default=["classical", "auto"], help="of matting= (default: both)")
    parser.add_argument("--photo", type=Path, action="append", default=[], help="another background, a photo's corner")
    return exit_status(lambda: _measure(parser.parse_args(arguments)))


def _measure(options: argparse.Namespace) -> int:
    pictures = sorted(options.orbits.glob("*/train_020.png"))
    if not pictures:
        raise InputError(f"{options.orbits}: no */train_020.png, expected a folder of posed views")
    backgrounds = BACKGROUNDS | {path.stem: photo_background(path) for path in options.photo}
    print("| photo | " + " | ".join(f"{name}: median (least), silent under .95" for name in options.methods) + " |")
    print("|---|" + "---|" * len(options.methods))
    cases = [("plain", name) for name in backgrounds]
    cases += [(kind, name) for kind in ("shadow", "band") for name in ("white", "gray", "gradient")]
    for kind, name in cases:
        cells = []
        for method in options.methods:
            scores = []
            for number, path in enumerate(pictures):
                with Image.open(path) as image:
                    made = composite(image, backgrounds[name](np.random.default_rng(number)), kind)
                scores.append(score(*made, method))
            values = [value for value, _ in scores]
            silent = sum(value < 0.95 and not doubt for value, doubt in scores)
            cells.append(f"{statistics.median(values):.3f} ({min(values):.3f}), {silent} of {len(scores)}")
        print(f"| {name}{'' if kind == 'plain' else f', {kind}'} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
