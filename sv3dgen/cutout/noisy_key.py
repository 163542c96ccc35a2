"""The object's alpha on a plain background that lossy compression, dithering or a soft shadow has spoiled.

A key by color alone (`image.masked_image`) is exact for pictures as they were drawn. JPEG and video leave ringing
around edges and colors that bleed over them, GIFs dither, so that the key frays, and grows by a pixel or two. Here the
edge is where a step is half as high as next to it, what is weaker than the noise around the object is background, and
alpha is soft. Levels are 0 to 255; numpy and scipy only.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from sv3dgen.cutout.masks import (
    grown,
    median_of_nine,
    median_reaches,
    part_sizes,
    parts,
    shrunk,
    with_holes_filled,
)
from sv3dgen.cutout.segmentation import open_ground, sharp_edges
from sv3dgen.cutout.soft_edges import soft_cutout

_KEY_LEVELS = 8.0  # difference that the plain key calls object
_CORE_LEVELS = 40.0  # that surely is object
_CLEAN_SHARE = 0.1  # of the pixels around the object, that may differ from the background at all
_PINHOLE_PX, _PINHOLE_SHARE = 4, 0.01  # of the object's area, in holes of so many pixels: dithering
_LEAST, _MOST = 6.0, 14.0  # levels, of what counts as object
_NOISE_FACTOR = 2.5  # times the noise around it
_HOLE_LEVELS, _HOLE_SHARE = 4.0, 0.4  # where so much of an enclosed patch differs by less, it is seen through
_EDGE_LEVELS = 12.0  # beyond ringing, where pixels agree
_SOFT_SHARE = 0.2  # of the outline, that fades out: a shadow
# An outline that strong compression has spread was narrower: by how much its alpha is made steeper, at which noise.
_STEEPER, _FROM_NOISE, _TO_NOISE = 0.4, 1.5, 4.0
_SPECK_SHARE = 0.005
_MARGIN_PX = 12
_MOST_PIXELS = 700_000


@dataclass(frozen=True)
class NoisyKey:
    """The picture cut out once more."""

    rgba: UInt8[np.ndarray, "height width 4"]
    shadow: bool  # around the object it is darker than noise explains


def noisy_key(rgb: UInt8[np.ndarray, "height width 3"], background: tuple[int, int, int]) -> NoisyKey | None:
    """Soft alpha and the object's own colors; None where the plain key is exact, or where nothing would be left.

    None, too, for large pictures, in which a pixel or two matter little and this takes long.
    """
    behind = _border_color(rgb)
    rows, columns = _window(_difference(rgb.astype(np.float32), behind))
    colors = rgb[rows, columns].astype(np.float32)
    if colors[..., 0].size > _MOST_PIXELS or _is_clean(_difference(colors, np.array(background, np.float32))):
        return None
    off = _difference(colors, behind)
    dithered = _is_dithered(off)
    if dithered:  # only the mean over some pixels means anything
        off = ndimage.gaussian_filter(off, 1.2)
    noise = _noise_around(off)
    solid = _with_gaps(_solid(off, min(max(_LEAST, _NOISE_FACTOR * noise), _MOST)), off, max(_HOLE_LEVELS, noise / 2))
    shadow = not dithered and _fades_out(colors, off)
    if shadow:
        solid = _with_gaps(solid & ~_shadow(colors, behind, off), off, _HOLE_LEVELS)
    solid = _without_specks(solid, off)
    if not solid.any():
        return None
    if dithered:
        alpha = ndimage.gaussian_filter(solid.astype(np.float32), 0.7)
    else:
        colors, alpha = soft_cutout(colors, solid.astype(np.float32), np.broadcast_to(behind, colors.shape))
        alpha = ((alpha - 0.5) * _steepness(noise) + 0.5).clip(0, 1)
    rgba = np.concatenate([rgb, np.zeros_like(rgb[..., :1])], axis=-1)
    rgba[rows, columns] = np.concatenate([colors, alpha[..., None] * 255], axis=-1).round().clip(0, 255)
    return NoisyKey(rgba, shadow)


def _difference(
    colors: Float[np.ndarray, "height width 3"], behind: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "height width"]:
    # Of one color after the other: contiguous, which takes a third of the time.
    red, green, blue = (np.abs(np.ascontiguousarray(colors[..., k]) - behind[k]) for k in range(3))
    return np.maximum(np.maximum(red, green), blue)


def _is_clean(off: Float[np.ndarray, "height width"]) -> bool:
    """Whether the background is exact up to the object, and the object whole: a picture that was never compressed."""
    key = off >= _KEY_LEVELS
    whole = with_holes_filled(key)
    around = grown(whole, 6) & ~grown(whole, 2)
    is_exact = not around.any() or bool((off[around] > 0).mean() <= _CLEAN_SHARE)
    return is_exact and not _is_dithered(off)


def _is_dithered(off: Float[np.ndarray, "height width"]) -> bool:
    """Whether the object is strewn with pixels of the background's color."""
    key = off >= _KEY_LEVELS
    sizes = part_sizes(parts(with_holes_filled(key) & ~key))[1:]
    return bool(sizes[sizes <= _PINHOLE_PX].sum() >= _PINHOLE_SHARE * max(1, key.sum()))


def _window(off: Float[np.ndarray, "height width"]) -> tuple[slice, slice]:
    """Rows and columns that hold all that differs from the background, and some of that."""
    present = median_reaches(off, 3, _LEAST / 2) if off.size <= _MOST_PIXELS else off >= _KEY_LEVELS
    if not present.any():
        return slice(None), slice(None)
    sides = []
    for axis in (1, 0):
        places = np.flatnonzero(present.any(axis))
        sides.append(slice(max(0, int(places[0]) - _MARGIN_PX), int(places[-1]) + _MARGIN_PX + 1))
    return sides[0], sides[1]


def _border_color(colors: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "3"]:
    border = np.concatenate([colors[0], colors[-1], colors[:, 0], colors[:, -1]])
    ordered = np.sort(np.ascontiguousarray(border.T), axis=1).astype(np.float32)  # np.median takes ten times as long
    count = ordered.shape[1]
    return (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2


def _noise_around(off: Float[np.ndarray, "height width"]) -> float:
    """Levels that four of five pixels near the object, but surely outside, don't exceed."""
    core = median_reaches(off, 3, _EDGE_LEVELS)
    around = grown(core, 9) & ~with_holes_filled(grown(core, 2))
    if around.sum() < 50:
        return 0.0
    return float(np.quantile(median_of_nine(off, around), 0.8))


def _steepness(noise: float) -> float:
    return 1 + _STEEPER * min(max((noise - _FROM_NOISE) / (_TO_NOISE - _FROM_NOISE), 0), 1)


def _solid(off: Float[np.ndarray, "height width"], least: float) -> Bool[np.ndarray, "height width"]:
    """More than noise; and near the background, at least half of the step that is next to it."""
    mean = ndimage.gaussian_filter(off, 1.0)
    strongest = ndimage.maximum_filter(ndimage.gaussian_filter(off, 0.6), 5)
    beside_background = grown(~median_reaches(off, 5, 0.75 * least), 3)
    more = median_reaches(off, 3, least) & (mean >= least)
    thin = (off >= 0.5 * strongest) & (off >= 0.8 * _CORE_LEVELS)
    return more & (~beside_background | (mean >= 0.5 * strongest)) | thin


def _with_gaps(
    solid: Bool[np.ndarray, "height width"], off: Float[np.ndarray, "height width"], seen_through: float
) -> Bool[np.ndarray, "height width"]:
    """Enclosed patches are object unless they show the background; colors of their rim may bleed over most of them."""
    patches = parts(with_holes_filled(solid) & ~solid)
    count = int(patches.max()) + 1
    if count == 1:
        return solid
    filled = np.bincount(patches.reshape(-1), (off <= seen_through).reshape(-1), count) < _HOLE_SHARE * part_sizes(
        patches
    )
    filled |= part_sizes(patches) <= _PINHOLE_PX
    filled[0] = False
    return solid | np.take(filled, patches)


def _fades_out(colors: Float[np.ndarray, "height width 3"], off: Float[np.ndarray, "height width"]) -> bool:
    """Whether much of the outline of what differs from the background is no edge."""
    labels = parts(with_holes_filled(median_reaches(off, 5, _KEY_LEVELS + 2)))
    sizes = part_sizes(labels)
    if len(sizes) < 2:
        return False
    largest = labels == 1 + sizes[1:].argmax()
    outline = largest & ~shrunk(largest, 1)
    return bool((~grown(sharp_edges(colors), 3))[outline].mean() > _SOFT_SHARE)


def _shadow(
    colors: Float[np.ndarray, "height width 3"],
    behind: Float[np.ndarray, "3"],
    off: Float[np.ndarray, "height width"],
) -> Bool[np.ndarray, "height width"]:
    """The background in less light, reaching to the border without a sharp edge between."""
    light = (colors * behind).sum(-1) / np.square(behind).sum().clip(1)
    same_hue = (np.abs(colors - light[..., None] * behind).max(-1) < 6) & (light > 0.3)
    passable = same_hue | (off < _LEAST)
    return grown(open_ground(passable & ~sharp_edges(colors)), 2) & passable


def _without_specks(
    solid: Bool[np.ndarray, "height width"], off: Float[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    labels = parts(solid, diagonals=True)
    sizes = part_sizes(labels)
    if len(sizes) < 3:
        return solid
    strongest = np.asarray(ndimage.maximum(ndimage.gaussian_filter(off, 1.0), labels, np.arange(len(sizes))))
    dropped = (sizes < _SPECK_SHARE * sizes[1:].max()) & (strongest < 1.5 * _CORE_LEVELS) | (sizes < _PINHOLE_PX)
    return solid & ~np.take(dropped, labels)
