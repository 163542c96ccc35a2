"""Frames in which a film fades in or out: pale, or dark, and no views of the object as it looks.

In a fade the whole picture takes on its colors step by step: the background, or, where it fades from the background's
color, everything on it in the same proportion. A turning object, or its shading, changes here more and there less.
"""

import numpy as np
from jaxtyping import Float

_MOST = 1 / 3  # of a film, at each end
_LEAST_FRAMES = 8
_OTHER, _SAME = 25.0, 6.0  # levels: a background of another color, and of the same
_SHOWN = 16.0  # levels, by which the object differs from the background
_PALER = 0.95  # than in the next frame, at least ..
_ALIKE = 0.6  # .. in like proportion: of what its median pixel lacks, three of four lack so much less at most
_FAINT = 0.6  # of its later contrast, the first frame at most
_STEADY = 0.9  # contrast from frame to frame once it is there, or its inverse


def fading_ends(thumbnails: Float[np.ndarray, "frames height width 3"]) -> tuple[int, int]:
    """How many frames fade in at the beginning, and fade out at the end."""
    if len(thumbnails) < _LEAST_FRAMES:
        return 0, 0
    borders = np.median(
        np.concatenate([thumbnails[:, 0], thumbnails[:, -1], thumbnails[:, :, 0], thumbnails[:, :, -1]], 1), axis=1
    )
    background = np.median(borders, axis=0)
    off = np.abs(borders - background).max(-1)
    contrast = np.abs(thumbnails - background).max(-1)
    return _fading_in(off, contrast), _fading_in(off[::-1], contrast[::-1])


def _fading_in(off: Float[np.ndarray, " frames"], contrast: Float[np.ndarray, "frames height width"]) -> int:
    most = int(_MOST * len(off))
    if off[0] >= _OTHER:  # from black, or another color
        count = int(np.argmax(off <= _SAME))
        is_ramp = (np.diff(off[: count + 1]) < 0).all() and (off[count : len(off) - most] <= _SAME).all()
        return count if count <= most and is_ramp else 0
    ratios = []
    for paler, fuller in zip(contrast[: most + 4], contrast[1:], strict=False):
        shown = fuller >= _SHOWN
        if shown.sum() < 9:
            return 0
        ratios.append(np.quantile(paler[shown] / fuller[shown], (0.5, 0.75)))
    half, nearly_all = np.array(ratios).T
    count = int(np.argmin(np.append((half < _PALER) & (nearly_all < half + _ALIKE * (1 - half)), False)))
    after = half[count : count + 3]
    is_steady = len(after) == 3 and bool(((after > _STEADY) & (after < 1 / _STEADY)).all())
    return count if 0 < count <= most and is_steady and half[:count].prod() <= _FAINT else 0
