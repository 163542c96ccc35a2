"""Object or background, per pixel, on a background that is plain or varies smoothly; numpy and scipy only.

Colors are sRGB levels, 0 to 255; distances are in standard deviations of the background's noise.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from sv3dgen.cutout.background import LEVEL_NOISE, Background, border_mask, mahalanobis, positions
from sv3dgen.cutout.masks import distance_inside, grown, part_boxes, parts, shrunk, touching_border
from sv3dgen.cutout.random_walker import random_walker

_OBJECT_DISTANCE = 4.5  # standard deviations from the background at which a pixel is as likely object
_PINHOLE_DISTANCE = 1.5  # standard deviations from the background; beyond, a small patch is a print of that color
_PINHOLE_SHARE = 0.01  # of the object
_GAP_CONTRAST = 24.0  # levels, a few pixels outside of a gap, that show that it is not a highlight


def segment_plain(
    rgb: Float[np.ndarray, "height width 3"], background: Background
) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    """Probability of object, and the distance (standard deviations) from the nearest sheet of a plain background.

    A shadow on the background counts as background where it fades in; behind a sharp edge it is part of the object.
    """
    per_sheet, off, darker = sheet_distances(rgb, background)
    sharp = sharp_edges(rgb)
    grounds = _sheet_grounds(per_sheet, sharp)
    distance = _in_their_place(per_sheet, grounds).min(0)
    relaxed = distance / np.hypot(1, compression_noise(distance, off) / LEVEL_NOISE)
    shading = _shading(rgb, distance, background, grounds)
    evidence = np.maximum(relaxed, shading)
    seam = _seams(grounds, len(per_sheet))
    smooth = ~sharp | seam
    alike = evidence < _OBJECT_DISTANCE
    shadow = open_ground((alike | darker) & smooth) & ~alike
    prior = 1 / (1 + np.exp(-1.6 * (evidence - _OBJECT_DISTANCE)))
    prior = np.where(shadow | seam, 0.2, prior)
    sureness = np.where(seam & ~alike, 0.05, np.square(2 * prior - 1) + 0.02)
    probability = random_walker(rgb, prior, sureness)
    if len(background.sheets) > 1:
        probability = _without_seams(probability, seam)
    return _with_sorted_gaps(rgb, probability, smooth, np.maximum(shading, 0.7 * relaxed)), evidence


def sheet_distances(
    rgb: Float[np.ndarray, "height width 3"], background: Background
) -> tuple[
    Float[np.ndarray, "sheets height width"], Float[np.ndarray, "height width"], Bool[np.ndarray, "height width"]
]:
    """Distance from each sheet in standard deviations, from the nearest in levels; whether it is one in less light."""
    points = positions(*rgb.shape[:2])
    distances = []
    levels = np.full(rgb.shape[:2], np.inf, dtype=np.float32)
    darker = np.zeros(rgb.shape[:2], dtype=bool)
    for sheet in background.sheets:
        color = sheet.color(points)
        distances.append(mahalanobis(rgb - color, sheet.covariance))
        levels = np.minimum(levels, np.abs(rgb - color).max(-1))
        light = (rgb * color).sum(-1) / np.square(color).sum(-1).clip(1)
        same_hue = np.abs(rgb - light[..., None] * color).max(-1) < 3 * sheet.spread + 2
        darker |= same_hue & (light > 0.4) & (light < 1)
    return np.stack(distances), levels, darker


def _sheet_grounds(
    per_sheet: Float[np.ndarray, "sheets height width"], sharp: Bool[np.ndarray, "height width"]
) -> Int[np.ndarray, "height width"]:
    """Which sheet is seen in the open, reaching to the border; -1 where none is."""
    alike = (per_sheet.min(0) < _OBJECT_DISTANCE) & ~sharp
    best = per_sheet.argmin(0)
    grounds = np.full(sharp.shape, -1)
    for index in range(len(per_sheet)):
        labels = parts(grown(shrunk(alike & (best == index), 3), 3))
        grounds[np.isin(labels, touching_border(labels))] = index
    return grounds


def _in_their_place(
    per_sheet: Float[np.ndarray, "sheets height width"], grounds: Int[np.ndarray, "height width"]
) -> Float[np.ndarray, "sheets height width"]:
    """The distances, infinite where another sheet is seen on both sides: a table isn't looked for before a wall."""
    left, right = _last_seen(grounds), _last_seen(grounds[:, ::-1])[:, ::-1]
    above, below = _last_seen(grounds.T).T, _last_seen(grounds[::-1].T).T[::-1]
    across = np.where(left == right, left, np.where(left < 0, right, np.where(right < 0, left, -1)))
    place = np.where(across >= 0, across, np.where(above == below, above, -1))
    index = np.arange(len(per_sheet))[:, None, None]
    return np.where((place < 0) | (place == index), per_sheet, np.inf)


def _last_seen(grounds: Int[np.ndarray, "rows columns"]) -> Int[np.ndarray, "rows columns"]:
    """The nearest value to the left, or here, that isn't negative; -1 where there is none."""
    columns = np.arange(grounds.shape[1])
    last = np.maximum.accumulate(np.where(grounds >= 0, columns, -1), axis=1)
    return np.where(last >= 0, np.take_along_axis(grounds, last.clip(0), axis=1), -1)


def _seams(grounds: Int[np.ndarray, "height width"], sheets: int) -> Bool[np.ndarray, "height width"]:
    """Where one sheet meets another, as a table a wall: within a few pixels of both."""
    return np.sum([grown(grounds == index, 6) for index in range(sheets)], axis=0) > 1


def _shading(
    rgb: Float[np.ndarray, "height width 3"],
    distance: Float[np.ndarray, "height width"],
    background: Background,
    grounds: Int[np.ndarray, "height width"],
) -> Float[np.ndarray, "height width"]:
    """Distance of the colors' mean over some pixels, that noise averages out of; what surely is object aside."""
    calm = (~grown(distance > 10, 2)).astype(np.float32)
    weight = ndimage.gaussian_filter(calm, 3.0)
    mean = np.stack([ndimage.gaussian_filter(rgb[..., k] * calm, 3.0) for k in range(3)], axis=-1)
    mean = mean / weight.clip(0.02)[..., None]
    smoothed = _in_their_place(sheet_distances(mean, background)[0], grounds).min(0)
    return np.where(weight > 0.1, smoothed, 0) * calm


def compression_noise(
    distance: Float[np.ndarray, "height width"], off: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"]:
    """Levels of noise that lossy compression leaves around edges, in proportion to the contrast within its blocks.

    The proportion is measured next to what surely is object; it is 0 for a picture that was never compressed.
    """
    strong = distance > 20
    around = grown(strong, 8)
    strongest = ndimage.maximum_filter(off, 17)
    beside = around & ~grown(strong, 2) & (off < 0.15 * strongest)
    calm = ~around & (distance < _OBJECT_DISTANCE)
    if beside.sum() < 50 or calm.sum() < 50:
        return np.zeros_like(off)
    excess = np.square(off[beside]).mean() - np.square(off[calm]).mean()
    return strongest * min(1.3 * np.sqrt(max(0.0, excess) / np.square(strongest[beside]).mean()), 0.06)


def sharp_edges(rgb: Float[np.ndarray, "height width 3"]) -> Bool[np.ndarray, "height width"]:
    """Where a color changes within two or three pixels, as at outlines; shadows and shading change more slowly.

    Told by how much less steep the change gets when smoothed more: 2.5 times less for a step, not at all for a ramp.
    """
    fine, coarse = (
        np.max([ndimage.gaussian_gradient_magnitude(rgb[..., k], sigma) for k in range(3)], axis=0)
        for sigma in (1.0, 3.0)
    )
    noise = 4 * float(np.median(fine[border_mask(fine.shape[0], fine.shape[1], 2)]))
    return (fine > max(4.0, noise)) & (fine > 1.55 * coarse)


def open_ground(passable: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """What a disc of 2 % of the picture reaches from the border without touching what isn't passable."""
    radius = max(2, round(0.015 * max(passable.shape)))
    labels = parts(distance_inside(passable) > radius)
    reached = np.isin(labels, touching_border(labels))
    if not reached.any():
        return reached
    return (distance_inside(~reached) <= radius) & passable


def _without_seams(
    probability: Float[np.ndarray, "height width"], seam: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"]:
    """Drop thin lines that run to the border or prolong a seam, as the joint of a wall and a table."""
    solid = probability > 0.5
    radius = max(2, round(0.006 * max(solid.shape)))
    thin = solid & ~grown(shrunk(solid, radius), radius)
    labels = parts(thin, diagonals=True)
    boxes = part_boxes(labels)
    ends = np.union1d(touching_border(labels), labels[grown(seam, 2 * radius) & thin])
    long = [k for k in ends if max(side.stop - side.start for side in boxes[k - 1]) > 8 * radius]
    return np.where(np.isin(labels, long), 0, probability).astype(np.float32)


def _with_sorted_gaps(
    rgb: Float[np.ndarray, "height width 3"],
    probability: Float[np.ndarray, "height width"],
    smooth: Bool[np.ndarray, "height width"],
    distance: Float[np.ndarray, "height width"],
) -> Float[np.ndarray, "height width"]:
    """Patches of background apart from the open ground are gaps only where sharp edges bound them.

    Else they are part of the object: a highlight, or a shade that happens to be the background's, fades in. Small ones
    must have the background's color exactly: letters on a box are more common than pinholes.
    """
    background = probability <= 0.5
    small = _PINHOLE_SHARE * (~background).sum()
    reach = 3
    ground = grown(open_ground(background & smooth), reach)
    cut_off = parts(background & ~ground)
    near_sharp = grown(~smooth, 2)
    ringed = (probability > 0.9) | ~background & smooth  # sharp and unsure: the narrowing end of a gap
    sorted_ = probability.copy()
    for index, box in enumerate(part_boxes(cut_off), start=1):
        window = tuple(slice(max(0, side.start - reach - 1), side.stop + reach + 1) for side in box)
        patch = cut_off[window] == index
        around = grown(patch, reach) & ~grown(patch, reach - 1)
        ring = around & ringed[window]
        contrast = np.abs(rgb[window][ring] - rgb[window][patch].mean(0)).max(-1)
        soft = (contrast < _GAP_CONTRAST) | ~near_sharp[window][ring]
        fades = len(soft) > 0.3 * around.sum() and soft.mean() > 0.25
        beside = (grown(patch, 1) & ground[window]).any()
        if beside and patch.sum() < 5 * reach**2:
            continue  # a corner that the ground's disc doesn't reach into
        pinhole = not beside and patch.sum() < small
        noise = not beside and patch.sum() < reach**2
        if fades or noise or pinhole and np.median(distance[window][patch]) > _PINHOLE_DISTANCE:
            sorted_[window][patch] = 1.0
    return sorted_
