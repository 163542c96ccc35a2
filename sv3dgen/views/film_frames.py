"""Which frames of a film are one turn around the object: repeats, a second round and the way back are left out."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sv3dgen.views.fades import Fade, fading_ends

# All relative to how much a picture changes from one frame to the next.
_SAME = 0.12  # less is a repeated frame, where ..
_APART = 3.0  # .. all others change this many times more
_AGAIN = 0.25  # less than this: the same view, encoded another time
_PLAIN = 8.0  # levels: a picture that differs less in itself shows nothing
_LEAST_CHANGE = 0.5  # levels; below, noise is all there is to compare


@dataclass(frozen=True)
class Turn:
    """The frames to take, by number, and what is to be said about the others."""

    frames: tuple[int, ...]
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()  # that a user should know of
    lost: tuple[int, int] = (0, 0)  # views of the turn that fade, before and after the frames to take


def one_turn(thumbnails: Float[np.ndarray, "frames height width 3"]) -> Turn:
    """Frames that show each view once, in their order; all of them where there is no doubt."""
    before, after = blank_ends(thumbnails)
    frames, notes, doubts = np.arange(before, len(thumbnails) - after), [], []
    if before or after:
        notes.append(f"{before} plain frames at the beginning and {after} at the end are left out")
    fades = fading_ends(thumbnails[frames])
    told = [_fades_in_words(fades, sure=sure) for sure in (True, False)]
    if told[0]:
        notes.append(f"{told[0]} are left out of its frames, as their colors are not the object's")
    if told[1]:
        doubts.append(f"{told[1]}, or are lit otherwise, are taken, with their colors; cut them off if they are a fade")
    left_out = [fade.frames if fade.sure else 0 for fade in fades]
    lost = [count if not fade.still else 0 for count, fade in zip(left_out, fades, strict=True)]
    frames = frames[left_out[0] : len(frames) - left_out[1]]
    repeated = _repeats(_steps(thumbnails[frames]))
    if repeated.any():
        # The last copy: encoders go on refining a picture that stands still.
        lost = [round(count * (len(repeated) + 1 - repeated.sum()) / (len(repeated) + 1)) for count in lost]
        frames = np.append(frames[:-1][~repeated], frames[-1])
        notes.append(f"{repeated.sum()} of {len(repeated) + 1} frames repeat the one before; {len(frames)} are taken")
    middle = _turning_point(thumbnails[frames])
    if middle is not None:
        notes.append(f"it plays forward and back; the {middle + 1} frames of the way there are taken")
        frames, lost = frames[: middle + 1], [lost[0], 0]
    period = _period(thumbnails[frames])
    if period is not None:
        extra = len(frames) - period
        again = "the first view stands at the end again" if extra == 1 else f"the first {extra} views come again"
        notes.append(f"{again}; the last {period} frames are taken")
        frames, lost = frames[extra:], [0, 0]
    if any(lost):
        notes.append(f"the turn goes on in frames that fade; its other {len(frames)} views keep their places")
    return Turn(tuple(frames.tolist()), tuple(notes), tuple(doubts), (lost[0], lost[1]))


def thinned(turn: Turn, most: int) -> Turn:
    """At most so many of the frames, evenly, the last one among them."""
    count = len(turn.frames)
    if count <= most:
        return turn
    frames = tuple(turn.frames[round((number + 1) * count / most) - 1] for number in range(most))
    before, after = (round(views * most / count) for views in turn.lost)
    return replace(turn, frames=frames, lost=(before, after))


def _fades_in_words(fades: tuple[Fade, Fade], *, sure: bool) -> str:
    ways = [f"{fade.frames} that fade {way}" for fade, way in zip(fades, ("in", "out"), strict=True)]
    return " and ".join(told for told, fade in zip(ways, fades, strict=True) if fade.frames and fade.sure == sure)


def _steps(thumbnails: Float[np.ndarray, "frames height width 3"]) -> Float[np.ndarray, " steps"]:
    return np.array([_difference(a, b) for a, b in zip(thumbnails, thumbnails[1:], strict=False)])


def _difference(a: Float[np.ndarray, "height width 3"], b: Float[np.ndarray, "height width 3"]) -> float:
    return float(np.abs(a - b).mean())


def _repeats(steps: Float[np.ndarray, " steps"]) -> np.ndarray:
    """Which frames are shown again by the next one: [steps], bool. Two kinds of steps, far apart, or none."""
    none = np.zeros(len(steps), dtype=bool)
    usual = float(np.quantile(steps, 0.97)) if len(steps) > 3 else 0.0
    if usual < _LEAST_CHANGE:
        return none
    repeated = steps < _SAME * usual
    if not repeated.any() or repeated.all() or steps[~repeated].min() < _APART * steps[repeated].max():
        return none
    return repeated


def _turning_point(thumbnails: Float[np.ndarray, "frames height width 3"]) -> int | None:
    """The frame around which the film is its own mirror image in time, if it is, or is but for one frame."""
    count = len(thumbnails)
    steps = _steps(thumbnails)
    if count < 7 or np.median(steps) < _LEAST_CHANGE:
        return None
    for middle in {(count - 1) // 2, count // 2}:
        reach = min(middle, count - 1 - middle)
        if 2 * reach + 1 < count - 1:
            continue
        pairs = [(thumbnails[middle - k], thumbnails[middle + k]) for k in range(1, reach + 1)]
        if max(_difference(a, b) for a, b in pairs) < _AGAIN * np.median(steps):
            return middle
    return None


def whole_rounds(thumbnails: Float[np.ndarray, "frames height width 3"]) -> tuple[int, ...]:
    """How many frames one turn may have where the film begins anew within its first half: a number and its multiples.

    That may be several turns, or one around an object that looks alike from several sides: pictures don't tell.
    """
    count = len(thumbnails)
    steps = _steps(thumbnails)
    if count < 10 or np.median(steps) < _LEAST_CHANGE:
        return ()
    for period in range(5, count // 2 + 2):
        pairs = zip(thumbnails[: count - period], thumbnails[period:], strict=True)
        if all(_difference(a, b) < _AGAIN * np.median(steps) for a, b in pairs):
            return tuple(range(period, count, period))
    return ()


def blank_ends(thumbnails: Float[np.ndarray, "frames height width 3"]) -> tuple[int, int]:
    """How many frames of one plain color stand before and after the others."""
    plain = np.ptp(thumbnails, axis=(1, 2)).max(-1) < _PLAIN
    if plain.all() or not plain.any():
        return 0, 0
    return int(np.argmin(plain)), int(np.argmin(plain[::-1]))


def _period(thumbnails: Float[np.ndarray, "frames height width 3"]) -> int | None:
    """After how many frames it begins anew. More than half of them only: symmetric objects look alike sooner."""
    count = len(thumbnails)
    steps = _steps(thumbnails)
    if count < 5 or np.median(steps) < _LEAST_CHANGE:
        return None
    for period in range(count // 2 + 2, count):
        pairs = zip(thumbnails[: count - period], thumbnails[period:], strict=True)
        if all(_difference(a, b) < _AGAIN * np.median(steps) for a, b in pairs):
            return period
    return None
