"""Frames in which a film fades in or out: pale, or dark, and no views of the object as it looks.

In a fade the whole picture takes on its colors step by step: the background, or, where it fades from the background's
color, everything on it in the same proportion. An object that is turned in fixed light can brighten so, too, a plate
for instance: before a background that keeps its color, only a picture that stands still meanwhile is surely a fade.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_MOST = 1 / 3  # of a film, at each end
_LEAST_FRAMES = 8
_OTHER, _SAME = 25.0, 6.0  # levels: a background of another color, and of the same
_SHOWN = 16.0  # levels, by which the object differs from the background
_PALER = 0.95  # than in the next frame, at least ..
_ALIKE = 0.6  # .. in like proportion: of what its median pixel lacks, three of four lack so much less at most
_FAINT = 0.55  # of its later contrast, the first frame at most
_STEADY = 0.9  # contrast from frame to frame once it is there, or its inverse
_STILL, _NOISE = 0.03, 0.2  # change of a picture that stays, of the object; and levels, of compression
_STILLER = 0.4  # than the rest of the film, over as many frames


@dataclass(frozen=True)
class Fade:
    """Frames at one end of a film that are paler than the next."""

    frames: int = 0
    still: bool = True  # all of the same view
    sure: bool = True  # not light that changes as the object turns


def fading_ends(thumbnails: Float[np.ndarray, "frames height width 3"]) -> tuple[Fade, Fade]:
    """The fade at the beginning, and the one at the end."""
    if len(thumbnails) < _LEAST_FRAMES:
        return Fade(), Fade()
    borders = np.median(
        np.concatenate([thumbnails[:, 0], thumbnails[:, -1], thumbnails[:, :, 0], thumbnails[:, :, -1]], 1), axis=1
    )
    background = np.median(borders, axis=0)
    off = np.abs(borders - background).max(-1)
    contrast = np.abs(thumbnails - background).max(-1)
    shown = thumbnails - borders[:, None, None]
    return _fade(off, contrast, shown), _fade(off[::-1], contrast[::-1], shown[::-1])


def _fade(
    off: Float[np.ndarray, " frames"],
    contrast: Float[np.ndarray, "frames height width"],
    shown: Float[np.ndarray, "frames height width 3"],
) -> Fade:
    recolored = bool(off[0] >= _OTHER)  # from black, or another color
    count = _recolored(off) if recolored else _paler(contrast)
    if count == 0:
        return Fade()
    changes = _changes(shown[:count], shown[count])
    if count > 2:  # it may be the next view that is held
        changes = min(changes, _changes(shown[: count - 1], shown[count - 1]), key=np.max)
    stays = bool(changes.max() <= _STILL)
    # An object that looks alike from all around may have turned.
    later = [_changes(shown[first : first + 1], shown[first + count])[0] for first in range(count, len(shown) - count)]
    return Fade(count, still=stays and bool(changes[0] < _STILLER * np.median(later)), sure=recolored or stays)


def _recolored(off: Float[np.ndarray, " frames"]) -> int:
    most = int(_MOST * len(off))
    count = int(np.argmax(off <= _SAME))
    is_ramp = (np.diff(off[: count + 1]) < 0).all() and (off[count : len(off) - most] <= _SAME).all()
    return count if count <= most and is_ramp else 0


def _paler(contrast: Float[np.ndarray, "frames height width"]) -> int:
    most = int(_MOST * len(contrast))
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


def _changes(
    shown: Float[np.ndarray, "frames height width 3"], full: Float[np.ndarray, "height width 3"]
) -> Float[np.ndarray, " frames"]:
    """How much frames differ from a full one in more than strength: a share of the object, less what codecs do."""
    power, mean = max(float((full**2).sum()), 1e-6), max(float(np.abs(full).mean()), 1e-6)
    strengths = [max(float((frame * full).sum()) / power, 1e-3) for frame in shown]
    changes = [np.abs(frame / s - full).mean() - _NOISE for frame, s in zip(shown, strengths, strict=True)]
    return np.maximum(np.array(changes), 0) / mean
