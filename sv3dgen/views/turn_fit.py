"""Does a film show the turn that is declared of it? Told by how well its silhouettes agree with one visual hull.

A film that lacks views, or shows a part of a turn, is explained by gaps: its views stand at even steps of a turn with
more views than it has. Where such a reading is clearly better, the views are put there. A wrong elevation or direction
is refused with the one that fits: it is the user who declared it.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.parallel.cores import usable_cores
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.orbits import Orbit, SineOrbit, StaticOrbit
from sv3dgen.views.resampling import downscale_planes
from sv3dgen.views.silhouettes import Silhouettes, agreement, best_explanation

_SIZE_PX = 80  # that `agreement` is made for
_SURELY_RIGHT = 0.97  # agreement of a film that nothing has to be looked for in
_CLEAN, _CLEARLY, _FAR = 0.93, 0.02, 0.1  # as in `pose_check`: of refusals
_VERY_CLEAN = 0.96  # that inconsistent views don't reach by accident
_MENDED_GAIN = 0.04  # of the agreement, by gaps
_GAP_GAIN = 0.01  # of a further gap
_MOST_GAPS, _MOST_PLACES = 5, 6
_FEW_VIEWS = 40  # of which every one is looked at, and every place may hide a gap
_STEEP = 1.35  # a step in the pictures, compared with those next to it, that may hide a gap
_LOWEST_DEG, _HIGHEST_DEG = -60.0, 80.0
_FALL, _FAR_DEG = 0.006, 12.0  # as in `elevation`: an elevation that any other would do for is not told

Candidate = TypeVar("Candidate")  # an elevation, or gaps

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DeclaredTurn:
    """What the user says of a film's cameras: the front view comes last."""

    recipe: StaticOrbit | SineOrbit
    elevation_deg: float
    fov_deg: float
    distance: float
    clockwise: bool

    def orbit(self, gaps: "Gaps") -> Orbit:
        """The views that there are of a turn in even steps; the last step is the front."""
        orbit = self.recipe(self.elevation_deg, gaps.count, torch.Generator()).at(gaps.slots)
        return orbit.mirrored() if self.clockwise else orbit

    def cameras(self, orbit: Orbit, width_px: int, height_px: int) -> Cameras:
        return turn_cameras(orbit, self.distance, self.fov_deg, width_px, height_px)


@dataclass(frozen=True)
class Gaps:
    """How many steps of the turn are missing after some of the frames; after the last: before the first."""

    missing: tuple[int, ...]  # by frame
    behind: int = 0  # of those after the last frame, how many come before the front view, which is then missing

    @classmethod
    def at_ends(cls, views: int, before: int = 0, after: int = 0) -> "Gaps":
        """Views of a turn without some that come before the first, and after the last."""
        return cls((0,) * (views - 1) + (before + after,), after)

    @property
    def count(self) -> int:
        return len(self.missing) + sum(self.missing)

    @property
    def slots(self) -> tuple[int, ...]:
        """Where each frame stands among the steps; the last at the last step, the front, if that is not missing."""
        from_first = np.cumsum([0, *(1 + gap for gap in self.missing[:-1])])
        return tuple((from_first + self.count - 1 - self.behind - from_first[-1]).tolist())

    @property
    def places(self) -> int:
        return sum(size > 0 for size in self.missing)

    def with_gap(self, frame: int, size: int) -> "Gaps":
        return replace(self, missing=self.missing[:frame] + (size,) + self.missing[frame + 1 :])


@dataclass(frozen=True)
class _Places:
    """Frames after which views may be missing, by how much the pictures change there, compared with around."""

    likely: tuple[int, ...]
    steep: tuple[int, ...]  # where many may be missing; always the last, as a film may end anywhere


def turn_cameras(orbit: Orbit, distance: float, fov_deg: float, width_px: int, height_px: int) -> Cameras:
    """The field of view is that of the longer side, which a phone's rotation does not change."""
    square = orbit.cameras(distance, fov_deg, max(width_px, height_px))
    if width_px == height_px:
        return square
    center = torch.tensor([width_px / 2, height_px / 2]).expand(len(orbit), 2)
    return replace(square, center_px=center, width_px=width_px, height_px=height_px)


def fitted_turn(
    name: str,
    alpha: Float[Tensor, "views height width"],
    steps: Float[np.ndarray, " views"],
    turn: DeclaredTurn,
    known: Gaps,
) -> Orbit:
    """The views' orbit as declared, or with the gaps that the film has, which is then told in the log.

    `known` are gaps that the pictures tell, kept unless the silhouettes contradict; `steps` how much the pictures
    change from each view to the next, the last to the first. Raises InputError where another elevation or direction
    fits clearly better.
    """
    masks = _small(alpha)
    none, given = known, _score(masks, turn, known)
    if known.count > len(masks) and _score(masks, turn, Gaps.at_ends(len(masks))) >= given + _CLEARLY:
        none = Gaps.at_ends(len(masks))
        given = _score(masks, turn, none)
    declared = turn.orbit(none)
    if given >= _SURELY_RIGHT or not masks.flatten(1).any(1).all():
        return declared
    elevation_deg, by_elevation = _best_elevation(masks, turn, none)
    silhouettes = Silhouettes(masks, turn.cameras(declared, masks.shape[2], masks.shape[1]))
    other = best_explanation(silhouettes, tuple(f"{index:03d}" for index in range(len(masks))))
    by_direction = _score(masks, replace(turn, clockwise=not turn.clockwise), none)
    best = max(by_elevation, by_direction, other.agreement)
    gaps, by_gaps = none, given
    # Gaps take longest to look for, and are none where another reading explains all.
    if best < min(max(_CLEAN, given + _FAR), max(_SURELY_RIGHT, given + _CLEARLY)):
        gaps, by_gaps = _best_gaps(masks, steps, turn, none, given)
    best = max(best, by_gaps)
    # Inconsistent views, too, agree a little better with some gaps here and there.
    needed = _CLEARLY if by_gaps >= _VERY_CLEAN else _MENDED_GAIN * max(1.0, gaps.places / 2)
    has_gaps = best == by_gaps and by_gaps >= given + needed
    if has_gaps and by_gaps >= _CLEAN:
        log.warning("%s: %s (silhouettes agree to %.0f %%, then to %.0f %%)", *_told(name, gaps, given, by_gaps))
        return turn.orbit(gaps)
    clearly = best >= given + _FAR or best >= max(_CLEAN, given + _CLEARLY)
    then = f"(silhouettes agree to {given:.0%}, then to {best:.0%})"
    if clearly and best == by_elevation:
        raise InputError(
            f"{name}: elevation_deg={turn.elevation_deg:g} does not fit the silhouettes, they fit about "
            f"{elevation_deg:.0f}; correct it, or have elevation_deg=auto find it {then}"
        )
    # The film from back to front, its front view last or first, is the other direction, too.
    if clearly and by_direction >= best - _CLEARLY:
        raise InputError(
            f"{name}: clockwise={str(turn.clockwise).lower()} does not fit the silhouettes, the camera walks the other "
            f"way round; expected clockwise={str(not turn.clockwise).lower()} {then}"
        )
    if has_gaps:
        raise InputError(f"{name}: {_gaps_in_words(gaps)}; expected one whole turn in even steps {then}")
    return declared


def turn_agreement(
    alpha: Float[Tensor, "views height width"], turn: DeclaredTurn, gaps: Gaps, *, any_elevation: bool
) -> float:
    """By what share silhouettes agree if they are the whole turn, at its elevation or the one that fits best."""
    masks = _small(alpha)
    if not masks.flatten(1).any(1).all():
        return 0.0
    return _best_elevation(masks, turn, gaps)[1] if any_elevation else _score(masks, turn, gaps)


def estimated_elevation(
    name: str, alpha: Float[Tensor, "views height width"], turn: DeclaredTurn, gaps: Gaps
) -> DeclaredTurn:
    """The turn at the elevation that a film's silhouettes fit best, which is told in the log.

    That of `turn` stays where others fit as well: an object that is alike from all around doesn't tell.
    """
    masks = _small(alpha)
    if not masks.flatten(1).any(1).all():
        return turn
    best, agreed = _best_elevation(masks, turn, gaps)
    far = [e for e in (best - _FAR_DEG, best + _FAR_DEG) if _LOWEST_DEG <= e <= _HIGHEST_DEG]
    others = [_score(masks, replace(turn, elevation_deg=e), gaps) for e in far if _is_possible(turn, e)]
    if not others or agreed - max(others) < _FALL:
        log.warning("%s: elevation_deg=%g, a guess: its silhouettes fit others as well", name, turn.elevation_deg)
        return turn
    log.info("%s: elevation_deg=%g, estimated; the silhouettes agree to %.0f %%", name, best, 100 * agreed)
    return replace(turn, elevation_deg=best)


def _best_elevation(masks: Bool[Tensor, "views height width"], turn: DeclaredTurn, gaps: Gaps) -> tuple[float, float]:
    """A scan in steps of 10 degrees, then halved steps around the best."""
    score = lru_cache(maxsize=None)(lambda degrees: _score(masks, replace(turn, elevation_deg=degrees), gaps))
    best = _best_of([float(e) for e in range(-30, 71, 10) if _is_possible(turn, float(e))], score)
    step = 10.0
    while step > 1:
        step = max(1.0, step / 2)
        near = (best, best - step, best + step)
        best = _best_of([e for e in near if _LOWEST_DEG <= e <= _HIGHEST_DEG and _is_possible(turn, e)], score)
    return best, score(best)


def _best_of(candidates: Iterable[Candidate], score: Callable[[Candidate], float]) -> Candidate:
    """The first of the best; `score`, which remembers, is asked by several threads, as hulls are carved outside the
    interpreter lock."""
    listed = list(dict.fromkeys(candidates))
    with ThreadPoolExecutor(usable_cores()) as pool:
        scores = list(pool.map(score, listed))
    return listed[scores.index(max(scores))]


def _is_possible(turn: DeclaredTurn, elevation_deg: float) -> bool:
    return isinstance(turn.recipe, StaticOrbit) or abs(elevation_deg) <= turn.recipe.amplitude_deg


def _best_gaps(
    masks: Bool[Tensor, "views height width"],
    steps: Float[np.ndarray, " views"],
    turn: DeclaredTurn,
    gaps: Gaps,
    given: float,
) -> tuple[Gaps, float]:
    """One gap after the other, each where and as large as it helps most."""
    score = lru_cache(maxsize=None)(lambda candidate: _score(masks, turn, candidate))
    best = given
    places = _places_for_gaps(steps)
    for _ in range(_MOST_GAPS):
        found = _best_of(_candidates(gaps, places, score), score)
        if score(found) < best + _GAP_GAIN and len(masks) <= _FEW_VIEWS:
            found = _best_of(_in_pairs(gaps, places), score)
        if score(found) < best + _GAP_GAIN:
            break
        gaps, best = found, score(found)
    return gaps, best


def _candidates(gaps: Gaps, places: _Places, score: Callable[[Gaps], float]) -> Iterator[Gaps]:
    """One more missing step anywhere, and the best size of a gap where there is none yet but the picture jumps."""
    views = len(gaps.missing)
    if views <= _FEW_VIEWS:
        yield from (gaps.with_gap(place, size + 1) for place, size in enumerate(gaps.missing))
    for place in places.steep:
        if gaps.missing[place]:
            continue
        tried = [gaps.with_gap(place, size) for size in (1, 2, 3, 4, 6, 9, 13, 18, 25, 36) if size <= 4 * views]
        best = _best_of(tried, score)
        size = best.missing[place]
        for reach in (size // 4, size // 8, 1):
            nearby = [gaps.with_gap(place, max(1, best.missing[place] + side)) for side in (-reach, 0, reach)]
            best = _best_of(nearby, score)
        yield best


def _in_pairs(gaps: Gaps, places: _Places) -> Iterator[Gaps]:
    """One more step at each of two places: missing at opposite sides, they show only together."""
    for place, other in combinations(places.likely, 2):
        one = gaps.with_gap(place, gaps.missing[place] + 1)
        yield one.with_gap(other, one.missing[other] + 1)


def _places_for_gaps(steps: Float[np.ndarray, " views"]) -> _Places:
    views = len(steps)
    around = [np.median([steps[(k + side) % views] for side in (-2, -1, 1, 2)]) for k in range(views)]
    ratio = steps / np.maximum(around, 1e-3)
    likely = tuple(int(k) for k in np.argsort(-ratio)[:_MOST_PLACES])
    return _Places(likely, (views - 1, *(k for k in likely if ratio[k] > _STEEP and k != views - 1)))


def _score(masks: Bool[Tensor, "views height width"], turn: DeclaredTurn, gaps: Gaps) -> float:
    cameras = turn.cameras(turn.orbit(gaps), masks.shape[2], masks.shape[1])
    some = torch.arange(len(masks) - 1, -1, -math.ceil(len(masks) / _FEW_VIEWS)).flip(0)
    return agreement(Silhouettes(masks[some], cameras[some]))


def _small(alpha: Float[Tensor, "views height width"]) -> Bool[Tensor, "views small_height small_width"]:
    scale = min(1.0, _SIZE_PX / max(alpha.shape[1:]))
    height, width = (max(1, round(side * scale)) for side in alpha.shape[1:])
    return downscale_planes(alpha, height, width) >= 0.5


def _told(name: str, gaps: Gaps, given: float, then: float) -> tuple[str, str, float, float]:
    return name, f"{_gaps_in_words(gaps)}; the views are placed so", 100 * given, 100 * then


def _gaps_in_words(gaps: Gaps) -> str:
    views, end = len(gaps.missing), gaps.missing[-1]
    inner = [f"{size} after frame {place}" for place, size in enumerate(gaps.missing[:-1]) if size]
    words = []
    if end:
        words.append(f"its {views} frames show {360 * (gaps.count - end) / gaps.count:.0f} degrees of a turn")
    if inner:
        words.append(f"views are missing from the turn: {', '.join(inner)}")
    return ", and ".join(words)
