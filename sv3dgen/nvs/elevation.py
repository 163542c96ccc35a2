"""From which elevation was the photo taken? Told by the silhouettes of a static orbit around its object.

Masks and cameras of an orbit agree with one visual hull only where the cameras are right: seen from a wrong elevation
the hull loses parts that the masks show. A body of revolution about the vertical axis looks the same from all around,
so that every elevation explains its silhouettes; such an object is told by a flat score and gets the fixed elevation.

Scale and height of the object in the pictures don't matter: the hull is carved wherever the silhouettes put it. The
axis that it turns about may be next to the middle, as in recentered pictures: it is where all silhouettes together are
centered, as what reaches farthest from the axis reaches as far to either side in the course of a turn.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.nvs_interfaces import NVSAbilities
from sv3dgen.views.orbits import Orbit, orbit_by_name
from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.resampling import downscale_planes
from sv3dgen.views.silhouettes import Silhouettes, agreement

log = logging.getLogger(__name__)

FIXED_DEG = 10.0  # where nothing is known; the official script's default
LOWEST_DEG, HIGHEST_DEG = -14.0, 50.0
POSED_CANDIDATES_DEG = (0.0, 10.0, 20.0, 30.0)  # of a model that has to be told the elevation
FEW_STEPS = 10  # enough for silhouettes

_SIZE_PX = 80  # of the masks, which `silhouettes.agreement` is made for
_FIRST_STEP_DEG, _LAST_STEP_DEG = 8.0, 1.0
_FAR_DEG = 12.0  # from the best elevation: where a score that tells elevations apart has fallen ..
_FALL = 0.006  # .. by this much of the masks' area
_CONSISTENT = 0.4  # agreement of views that show one object at all

Walk = Callable[[Orbit], Bool[Tensor, "views height width"]]  # the masks of an orbit


@runtime_checkable
class SteppedModel(Protocol):
    """A model of novel views that samples in steps: `SV3D`."""

    @property
    def abilities(self) -> NVSAbilities: ...

    def __call__(
        self, image: Float[Tensor, "3 height width"], orbit: Orbit, *, seed: int, steps: int
    ) -> PosedViews: ...


@dataclass(frozen=True)
class ElevationEstimate:
    """An elevation, and how well founded it is."""

    elevation_deg: float
    sure: bool  # False: `elevation_deg` is the fixed one, for the reason in `note`
    note: str  # one line for the user
    agreement: float  # of the silhouettes with the hull at the best elevation, in [0, 1]
    fall: float  # of the agreement from there to elevations that are clearly others


def elevation_of_orbit(
    masks: Bool[Tensor, "views height width"],
    *,
    lowest_deg: float | int = LOWEST_DEG,
    highest_deg: float | int = HIGHEST_DEG,
) -> ElevationEstimate:
    """The elevation of a static orbit with even azimuths, the front view last, from its silhouettes alone.

    Square masks, seen as SV3D's orbits are (its field of view and distance). Searches with some 15 hulls, in steps that
    halve from 8 degrees to 1; takes two seconds. Raises InputError where the masks are no orbit.
    """
    views, height, width = masks.shape
    if views < 3 or height != width:
        raise InputError(f"elevation: {views} masks of {width}x{height}, expected at least 3 square ones")
    small = _small(masks)
    if not small.flatten(1).any(1).all():
        return _unsure("a view is empty")
    score = lru_cache(maxsize=None)(lambda elevation_deg: _agreement_at(small, elevation_deg))
    best = _climb(score, float(lowest_deg), float(highest_deg))
    far = [best + side for side in (-_FAR_DEG, _FAR_DEG) if lowest_deg <= best + side <= highest_deg]
    agreed, fall = score(best), score(best) - max(map(score, far))
    if agreed < _CONSISTENT:
        return _unsure("the views don't show one object", agreed, fall)
    if fall < _FALL:
        return _unsure("the object looks alike from all around", agreed, fall)
    return _sure(best, agreed, fall)


def estimate_elevation(
    model: SteppedModel,
    image: Float[Tensor, "3 height width"],
    *,
    seed: int = 0,
    steps: int = FEW_STEPS,
) -> ElevationEstimate:
    """The elevation of a recentered picture on white, from short static orbits of a model. Writes the note to the log.

    A model without poses (SV3D_u) walks its orbit at the elevation of the picture, whatever that is: one orbit tells.
    One with poses (SV3D_p) is told an elevation: the one of `POSED_CANDIDATES_DEG` counts at which the orbit agrees
    best with a hull, corrected by what that orbit's own silhouettes say as far as the next candidate would be nearer.
    """
    fits = _fit_posed if model.abilities.takes_poses else _fit_unposed
    estimate = fits(lambda orbit: model(image, orbit, seed=seed, steps=steps).masks, model.abilities.frames)
    log.info("%s", estimate.note)
    return estimate


def _fit_unposed(walk: Walk, frames: int) -> ElevationEstimate:
    return elevation_of_orbit(walk(orbit_by_name("static", elevation_deg=FIXED_DEG, frames=frames)))


def _fit_posed(walk: Walk, frames: int) -> ElevationEstimate:
    reach = (POSED_CANDIDATES_DEG[1] - POSED_CANDIDATES_DEG[0]) / 2
    orbits = {}
    for told in POSED_CANDIDATES_DEG:
        masks = _small(walk(orbit_by_name("static", elevation_deg=told, frames=frames)))
        orbits[told] = masks, _agreement_at(masks, told)
    told = max(orbits, key=lambda elevation_deg: orbits[elevation_deg][1])
    seen = elevation_of_orbit(orbits[told][0])
    if not seen.sure:
        return seen
    return _sure(min(max(seen.elevation_deg, told - reach), told + reach), seen.agreement, seen.fall)


def _climb(score: Callable[[float], float], lowest_deg: float, highest_deg: float) -> float:
    """The best elevation: an even scan, then steps of half the size around the best as long as they are large."""
    step = _FIRST_STEP_DEG
    scanned = [lowest_deg + step * index for index in range(int((highest_deg - lowest_deg) // step) + 1)]
    best = max(scanned, key=score)
    while step > _LAST_STEP_DEG:
        step /= 2
        best = max((best, max(best - step, lowest_deg), min(best + step, highest_deg)), key=score)
    return best


def _agreement_at(masks: Bool[Tensor, "views height width"], elevation_deg: float) -> float:
    orbit = orbit_by_name("static", elevation_deg=elevation_deg, frames=len(masks))
    cameras = orbit.cameras(size_px=masks.shape[-1])
    columns = masks.any(0).any(0).nonzero()[:, 0]
    center_px = cameras.center_px.clone()
    center_px[:, 0] = (columns[0] + columns[-1] + 1) / 2
    return agreement(Silhouettes(masks, replace(cameras, center_px=center_px)))


def _small(masks: Bool[Tensor, "views height width"]) -> Bool[Tensor, "views small_height small_width"]:
    if masks.shape[1] <= _SIZE_PX:
        return masks
    return downscale_planes(masks.float(), _SIZE_PX, _SIZE_PX) >= 0.5


def _sure(elevation_deg: float, agreed: float, fall: float) -> ElevationEstimate:
    note = f"elevation_deg={elevation_deg:g}: estimated, the silhouettes of a short orbit agree to {agreed:.0%}"
    return ElevationEstimate(elevation_deg, True, note, agreed, fall)


def _unsure(reason: str, agreed: float = 0.0, fall: float = 0.0) -> ElevationEstimate:
    note = f"elevation_deg={FIXED_DEG:g}: taken as it can't be told from the picture, {reason}"
    return ElevationEstimate(FIXED_DEG, False, note, agreed, fall)
