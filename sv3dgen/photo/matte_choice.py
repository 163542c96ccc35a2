"""Which of two mattes to believe, and when to say that neither is sure.

Where the two agree on the object's shape, holes and outlines are those of the background's segmentation, which sees
every pixel; the network sees 320 x 320. Where they differ by a whole piece (a cast shadow kept, a pale side lost), the
network is right more often.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from sv3dgen.cutout.masks import part_sizes, parts

SAME = 0.008  # of the object: less is outlines and thin parts
FAR = 0.3  # more means that one of the two has failed
_THIN = 0.006  # of the object's size: what is narrower is no piece but an outline
_SURE = 0.95
_PART = 0.15  # of the largest part: what is smaller is no half of an object
_UNDECIDED = 0.35


def difference(classical: Bool[np.ndarray, "height width"], matte: Float[np.ndarray, "height width"]) -> float:
    """The share of the object that a mask and the network's matte see otherwise, outlines and thin parts not counted.

    A hole of the mask counts only where the network is sure that there is none: it half fills the true ones.
    """
    filled, learned = (np.asarray(ndimage.binary_fill_holes(mask), dtype=bool) for mask in (classical, matte > 0.5))
    both = filled | learned
    if not both.any():
        return 0.0
    rows, columns = np.nonzero(both.any(1))[0], np.nonzero(both.any(0))[0]
    reach = max(2, round(_THIN * max(np.ptp(rows), np.ptp(columns))))
    closed = filled & ~classical & (matte > _SURE)
    pieces = ndimage.binary_opening(closed | filled ^ learned, np.ones((2 * reach + 1, 2 * reach + 1)))
    return float(pieces.sum() / both.sum())


def why_in_parts(solid: Bool[np.ndarray, "height width"]) -> str | None:
    """What speaks for a band in the background's color: more than one large part."""
    area = part_sizes(parts(solid, diagonals=True))[1:]
    large = int((area > _PART * area.max()).sum()) if len(area) else 0
    return (
        None if large < 2 else f"the object falls into {large} parts, as one with a band in the background's color does"
    )


def why_undecided(matte: Float[np.ndarray, "height width"]) -> str | None:
    """What speaks against a network's matte: too much that it calls neither object nor background."""
    share = float(((matte > 0.2) & (matte < 0.8)).sum() / max(1, (matte > 0.5).sum()))
    return None if share < _UNDECIDED else f"{share:.0%} of the object are neither surely object nor surely background"
