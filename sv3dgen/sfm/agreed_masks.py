"""Masks of one object from all around, held against each other: a hole that other photos contradict is filled."""

import numpy as np
import torch
from jaxtyping import Bool
from scipy import ndimage
from torch import Tensor

from sv3dgen.views.cameras import Cameras
from sv3dgen.views.normalize import object_box
from sv3dgen.views.visual_hull import drawn, visual_hull, voxel_centers

RESOLUTION = 96
MAY_MISS = 0.1  # share of the photos in which a part of the object may be missing from the mask
SHRUNK = 2  # cells off the hull's outside, which is fat where few photos look past it
COVERED = 0.9  # share of a hole that the object as the others see it covers


def without_false_holes(
    masks: Bool[Tensor, "views height width"], cameras: Cameras
) -> tuple[Bool[Tensor, "views height width"], int]:
    """The masks, and how many holes were filled.

    A window in the color of the ground is cut out of some photos and not of others; a true hole, through which the
    ground is seen, is background in most photos that look through it. Only holes with mask all around are looked at.
    """
    box = object_box(masks, cameras)
    if box is None:
        return masks, 0
    hull = visual_hull(
        masks, cameras, resolution=RESOLUTION, aabb=box, miss_votes=int(MAY_MISS * len(cameras)), dilate_px=1
    )
    inner = torch.from_numpy(ndimage.binary_erosion(hull.numpy(), iterations=SHRUNK))
    object_seen = drawn(voxel_centers(inner, box), cameras).numpy()
    filled, count = masks.numpy().copy(), 0
    for mask, seen in zip(filled, object_seen, strict=True):
        holes, number = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
        for index, share in enumerate(ndimage.mean(seen, holes, np.arange(1, number + 1)), start=1):
            if share >= COVERED:
                mask |= holes == index
                count += 1
    return torch.from_numpy(filled), count
