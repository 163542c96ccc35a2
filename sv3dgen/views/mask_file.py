"""A picture that says which pixels of another one are the object."""

from pathlib import Path

from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.views.image import OBJECT_ALPHA, _present_levels, open_image, to_rgba


def read_mask(path: Path, size: tuple[int, int], picture: Path) -> Image.Image:
    """A mask as levels 0 (background) to 255 (object), scaled to a picture's size; InputError names a bad file.

    Of two levels the higher one is the object, whether that is 1, 128 or 255; colors, as labels are drawn in, count by
    their lightness, the lightest as 255. A mask may also be an alpha channel alone.
    """
    with open_image(path) as image:
        if image.mode in ("LA", "RGBA", "PA") and len(_present_levels(image.convert("RGBA").getchannel("A"))) > 1:
            mask = image.convert("RGBA").getchannel("A")
        else:
            mask = _lightness(to_rgba(image, path).convert("RGB"))
    present = _present_levels(mask)
    if len(present) == 2:
        mask = mask.point([255 if level == present[1] else 0 for level in range(256)])
    if present[-1] < OBJECT_ALPHA and len(present) != 2:
        raise InputError(f"{path}: an empty mask, there is no object in it")
    width, height = size
    if abs(mask.width * height - mask.height * width) > max(mask.size):
        raise InputError(
            f"{path}: {mask.width}x{mask.height} pixels, expected the aspect of {picture.name}, {width}x{height}"
        )
    if mask.size == size:
        return mask
    return mask.resize(size, Image.Resampling.BOX if mask.width > width else Image.Resampling.BILINEAR)


def _lightness(colors: Image.Image) -> Image.Image:
    """Gray as it is; of a picture with colors, lightness scaled so that the lightest is 255."""
    gray = colors.convert("L")
    if colors.tobytes() == Image.merge("RGB", (gray, gray, gray)).tobytes():
        return gray
    lightest = max(_present_levels(gray)[-1], 1)
    return gray.point([min(255, round(255 * level / lightest)) for level in range(256)])
