"""A cut-out object, centered in a white square, as SV3D was trained to see it.

Equal, level for level, to what the official sampling script makes of an RGBA file (generative-models,
simple_video_sample.py), where that script works; differences are said at `object_box` and `canvas_side`.
"""

import numpy as np
from jaxtyping import Bool
from PIL import Image

from sv3dgen.cutout.masks import grown, part_sizes, parts
from sv3dgen.errors import InputError
from sv3dgen.views.image import OBJECT_ALPHA

SV3D_SIZE_PX = 576

_MAX_CANVAS_PX = 8192  # a quarter of a gigabyte as RGBA
_FRINGE_PX, _FRINGE_SHARE = 8, 0.05  # how far, at most, a soft edge below OBJECT_ALPHA reaches beyond the object
_SMALL_PX = 64
_SECOND_OBJECT_SHARE = 0.1  # of the largest part's pixels


def recentered(image: Image.Image, *, foreground_ratio: float | int | None, size_px: int = SV3D_SIZE_PX) -> Image.Image:
    """The object of an RGBA image in the middle of a white square: RGB, `size_px` on each side.

    `foreground_ratio` in [0.05, 1] is the share of the square that the object's longer side takes; None keeps the
    height of the image as the square's side (the official script's default). Raises InputError where nothing is opaque
    enough to be an object (5 %) or the ratio is out of range.
    """
    return on_white(recentered_rgba(image, foreground_ratio=foreground_ratio, size_px=size_px))


def recentered_rgba(
    image: Image.Image, *, foreground_ratio: float | int | None, size_px: int = SV3D_SIZE_PX
) -> Image.Image:
    """As `recentered`, before it is put on white."""
    if foreground_ratio is not None and not 0.05 <= foreground_ratio <= 1:
        raise InputError(f"foreground_ratio={foreground_ratio:g}: expected a number between 0.05 and 1, or null")
    cropped = image.crop(object_box(image))
    side = canvas_side(cropped.size, image.height, foreground_ratio)
    if side > _MAX_CANVAS_PX:
        scale = _MAX_CANVAS_PX / side
        small = max(1, round(cropped.width * scale)), max(1, round(cropped.height * scale))
        cropped, side = cropped.resize(small, Image.Resampling.LANCZOS), _MAX_CANVAS_PX
    canvas = Image.new("RGBA", (side, side))
    # Halved one by one, as the official script does: (side - width) // 2 is another pixel where both are odd.
    canvas.paste(cropped, (side // 2 - cropped.width // 2, side // 2 - cropped.height // 2))
    return canvas.resize((size_px, size_px), Image.Resampling.LANCZOS)


def on_white(image: Image.Image) -> Image.Image:
    """An RGBA image composited over white, truncated to 8 bits as the official script does."""
    pixels = np.asarray(image).astype(np.float64) / 255
    rgb, alpha = pixels[..., :3], pixels[..., 3:]
    return Image.fromarray(((rgb * alpha + (1 - alpha)) * 255).astype(np.uint8))


def object_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is not fully transparent, as in the official script.

    But faint specks (alpha under 5 %) far from anything opaque don't count: background removers leave them, and one of
    them would shrink the object. Nor do they make an object of their own (InputError).
    """
    alpha = image.getchannel("A")
    box = alpha.getbbox()
    core = alpha.point([255 if level >= OBJECT_ALPHA else 0 for level in range(256)]).getbbox()
    if box is None or core is None:
        raise InputError("fully transparent, there is no object in it")
    reach = max(_FRINGE_PX, round(_FRINGE_SHARE * max(core[2] - core[0], core[3] - core[1])))
    return (
        max(box[0], core[0] - reach),
        max(box[1], core[1] - reach),
        min(box[2], core[2] + reach),
        min(box[3], core[3] + reach),
    )


def canvas_side(object_size: tuple[int, int], image_height: int, foreground_ratio: float | int | None) -> int:
    """Side of the square in pixels of the photo.

    Without a ratio it is the height of the image, where the official script fails if the object is wider than that;
    here the square grows to hold it.
    """
    longer = max(object_size)
    return max(longer, image_height) if foreground_ratio is None else int(longer / foreground_ratio)


def object_notes(image: Image.Image) -> list[str]:
    """What about a cut-out object will spoil the views, one line each; empty where all is well."""
    opaque = np.asarray(image.getchannel("A")) >= 128
    notes = []
    sides = _cut_sides(opaque)
    if _is_inside_out(opaque):
        notes.append("the alpha is opaque along the whole border and clear within; is it inverted?")
    elif sides:
        notes.append(
            f"the object touches the {' and the '.join(sides)} of the picture; what is cut off there is missing"
        )
    left, top, right, bottom = object_box(image)
    if max(right - left, bottom - top) < _SMALL_PX:
        notes.append(f"the object is only {right - left}x{bottom - top} pixels; expect blurred views")
    if _separate_objects(opaque) > 1:
        notes.append("there seems to be more than one object; SV3D was trained on one, and they are kept together")
    if opaque.mean() > 0.95:
        notes.append("the object fills nearly the whole picture; is the background really cut out?")
    return notes


def _cut_sides(opaque: Bool[np.ndarray, "height width"]) -> list[str]:
    """Edges of the picture that the object touches along more than a point."""
    edges = {"left": opaque[:, 0], "top": opaque[0], "right": opaque[:, -1], "bottom": opaque[-1]}
    return [name for name, edge in edges.items() if edge.sum() >= max(3, 0.02 * len(edge))]


def _is_inside_out(opaque: Bool[np.ndarray, "height width"]) -> bool:
    """Whether all that is around the picture counts as object, and a part of its middle does not."""
    edges = np.concatenate([opaque[:, 0], opaque[0], opaque[:, -1], opaque[-1]])
    return bool(edges.mean() > 0.98 and opaque.mean() < 0.95)


def _separate_objects(opaque: Bool[np.ndarray, "height width"]) -> int:
    """Number of parts of a size that matters; gaps of some pixels, as thin links leave them, don't separate."""
    step = max(1, max(opaque.shape) // 256)
    small = opaque[::step, ::step]
    areas = part_sizes(parts(grown(small, 2)) * small)[1:]
    return int((areas >= _SECOND_OBJECT_SHARE * areas.max(initial=1)).sum())
