"""How well objects are cut from white after compression: `python -m sv3dgen.bench.keying FOLDER ...` of RGBA pictures.

Prints the mean IoU with the pictures' own alpha of the plain key and of `noisy_key`, a line a folder.
"""

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image

from sv3dgen.cutout.noisy_key import noisy_key
from sv3dgen.errors import InputError
from sv3dgen.views.image import object_mask, read_rgba
from sv3dgen.views.video import read_video, write_video

_WHITE = (255, 255, 255)
_MOST_PICTURES = 7
Compression = Callable[[list[Image.Image]], list[Image.Image]]


def jpeg(quality: int) -> Compression:
    """JPEG with 4:2:0 colors."""

    def compress(pictures: list[Image.Image]) -> list[Image.Image]:
        files = [io.BytesIO() for _ in pictures]
        for file, picture in zip(files, pictures, strict=True):
            picture.save(file, "JPEG", quality=quality)
        return [Image.open(file).convert("RGB") for file in files]

    return compress


def h264(pictures: list[Image.Image]) -> list[Image.Image]:
    """One film of all pictures, by the project's own writer (crf 17)."""
    frames = torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures])
    with tempfile.TemporaryDirectory() as folder:
        write_video(Path(folder) / "film.mp4", frames)
        return [frame.convert("RGB") for frame in read_video(Path(folder) / "film.mp4")]


def dithered(pictures: list[Image.Image]) -> list[Image.Image]:
    """The 216 colors of the web, dithered, as old converters make GIFs."""
    return [picture.convert("P", dither=Image.Dither.FLOYDSTEINBERG).convert("RGB") for picture in pictures]


COMPRESSIONS: dict[str, Compression] = {
    "JPEG 50": jpeg(50),
    "JPEG 90": jpeg(90),
    "H.264": h264,
    "dithered": dithered,
}


def scores(folder: Path) -> dict[str, tuple[float, float]]:
    """IoU of the plain and of the careful key, by compression."""
    files = sorted(folder.glob("*.png"))
    files = files[:: max(1, len(files) // _MOST_PICTURES)]
    if not files:
        raise InputError(f"{folder}: no PNGs, expected RGBA pictures")
    cut = [read_rgba(file) for file in files]
    truths = [np.array(picture)[..., 3] >= 128 for picture in cut]
    whole = [Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB") for picture in cut]
    found = {}
    for name, compress in COMPRESSIONS.items():
        pairs = [_overlaps(picture, truth) for picture, truth in zip(compress(whole), truths, strict=True)]
        found[name] = tuple(np.mean(pairs, axis=0).tolist())
    return found


def _overlaps(picture: Image.Image, truth: Bool[np.ndarray, "height width"]) -> tuple[float, float]:
    plain = np.array(object_mask(picture, _WHITE)) > 0
    careful = noisy_key(np.array(picture), _WHITE)
    mask = plain if careful is None else careful.rgba[..., 3] >= 128
    return _iou(plain, truth), _iou(mask, truth)


def _iou(a: Bool[np.ndarray, "height width"], b: Bool[np.ndarray, "height width"]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def main(folders: list[str]) -> None:
    print("| pictures | " + " | ".join(f"{name}: plain, careful" for name in COMPRESSIONS) + " |")
    print("|---" * (1 + len(COMPRESSIONS)) + "|")
    for folder in folders:
        row = [f"{plain:.3f}, {careful:.3f}" for plain, careful in scores(Path(folder)).values()]
        print(f"| {Path(folder).name} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
