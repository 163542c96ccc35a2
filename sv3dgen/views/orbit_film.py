"""A film of one turn around an object: its frames cut out, and the cameras that the user declares of them."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from sv3dgen.cutout.still_marks import still_marks
from sv3dgen.errors import InputError
from sv3dgen.views.cameras import SV3D_FOV_DEG, Cameras
from sv3dgen.views.film_frames import Turn, one_turn, thinned, whole_rounds
from sv3dgen.views.image import masked_image
from sv3dgen.views.orbits import SV3D_DISTANCE, Orbit, OrbitRecipe, SineOrbit, StaticOrbit, recipe_by_name
from sv3dgen.views.posed_folder import pixels_of, resized, scaled_size, warn_of_shadows
from sv3dgen.views.side_by_side import side_by_side
from sv3dgen.views.turn_fit import (
    DeclaredTurn,
    Gaps,
    estimated_elevation,
    fitted_turn,
    turn_agreement,
    turn_cameras,
)
from sv3dgen.views.video import MAX_FRAMES, read_thumbnails, read_video

_THINNED = 120  # of longer films: more are seen no better

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FilmDeclaration:
    """What a film doesn't say itself. The front view comes last; `elevation_deg` is its."""

    orbit: Orbit | OrbitRecipe | str | None
    elevation_deg: float | Literal["auto"] = 10.0
    fov_deg: float = SV3D_FOV_DEG  # of the longer side
    distance: float = SV3D_DISTANCE
    clockwise: bool = False
    seed: int = 0
    checked: bool = True  # against the silhouettes, where the orbit has even azimuths

    def recipe(self, path: Path) -> Orbit | OrbitRecipe:
        """The orbit, where it is given by name; InputError for numbers that can't be."""
        if self.orbit is None:
            raise InputError(f"{path}: a video has no cameras, expected its orbit to be declared, as in orbit=static")
        if not 1 <= self.fov_deg <= 150:
            raise InputError(f"fov_deg={self.fov_deg:g}: expected degrees between 1 and 150")
        if not 0.6 < self.distance < 100:
            raise InputError(f"distance={self.distance:g}: expected more than 0.6, in sizes of the object (SV3D: 2.0)")
        recipe = recipe_by_name(self.orbit) if isinstance(self.orbit, str) else self.orbit
        if self.elevation_deg == "auto" and not isinstance(recipe, StaticOrbit | SineOrbit):
            raise InputError("elevation_deg=auto: of a static or sine orbit only; expected degrees")
        return recipe


@dataclass(frozen=True)
class Film:
    """The frames that show the turn, and where they were taken from."""

    images: UInt8[Tensor, "views 4 height width"]
    orbit: Orbit
    cameras: Cameras
    frames: tuple[int, ...]  # their numbers in the file


def read_film(path: Path, declared: FilmDeclaration, max_size_px: int | None = None) -> Film:
    """Read, cut out and place a film's frames; what is left out or placed otherwise is told in the log.

    Takes a second or two. Raises InputError for a file that can't be read, and for declarations that its pictures
    contradict.
    """
    recipe = declared.recipe(path)
    thumbnails = read_thumbnails(path)
    turn = Turn(tuple(range(len(thumbnails))), ())
    if isinstance(recipe, OrbitRecipe) or len(recipe) != len(thumbnails):
        turn = one_turn(thumbnails)
        for note in turn.notes:
            log.info("%s: %s", path, note)
        for doubt in turn.doubts:
            log.warning("%s: %s", path, doubt)
        if isinstance(recipe, OrbitRecipe) and len(turn.frames) > MAX_FRAMES:
            log.info("%s: %d frames, of which %d are taken, evenly", path, len(turn.frames), _THINNED)
            turn = thinned(turn, _THINNED)
    frames, gaps = turn.frames, Gaps.at_ends(len(turn.frames), *turn.lost)
    if isinstance(recipe, Orbit) and len(recipe) != len(frames):
        raise InputError(f"{path}: {len(frames)} frames, expected {len(recipe)} as in the declared orbit")
    images = _read_images(path, frames, max_size_px)
    if isinstance(recipe, StaticOrbit | SineOrbit) and declared.checked:
        first = _last_round(path, images, thumbnails[list(frames)], recipe, declared, gaps)
        if first > 0:
            images, frames, gaps = images[first:], frames[first:], Gaps.at_ends(len(frames) - first)
    height, width = images.shape[2:]
    orbit = _orbit(path, images, _steps(thumbnails[list(frames)]), recipe, declared, gaps)
    if height != width:
        log.info("%s: fov_deg=%g is taken for the longer side of its %dx%d", path, declared.fov_deg, width, height)
    cameras = turn_cameras(orbit, declared.distance, declared.fov_deg, width, height)
    return Film(images, orbit, cameras, frames)


def _orbit(
    path: Path,
    images: UInt8[Tensor, "views 4 height width"],
    steps: np.ndarray,
    recipe: Orbit | OrbitRecipe,
    declared: FilmDeclaration,
    gaps: Gaps,
) -> Orbit:
    if isinstance(recipe, Orbit):
        return recipe.mirrored() if declared.clockwise else recipe
    of = f" of {gaps.count}" if gaps.count > len(images) else ""
    log.info("%s: %d%s frames, taken as one turn that ends in the front view", path, len(images), of)
    if not isinstance(recipe, StaticOrbit | SineOrbit):
        assert declared.elevation_deg != "auto"
        whole = recipe(declared.elevation_deg, gaps.count, torch.Generator().manual_seed(declared.seed))
        orbit = whole.at(gaps.slots)
        return orbit.mirrored() if declared.clockwise else orbit
    estimated, turn = declared.elevation_deg == "auto", _declared_turn(recipe, declared)
    alpha = images[:, 3].float() / 255
    turn = estimated_elevation(str(path), alpha, turn, gaps) if estimated else turn
    if not declared.checked:
        return turn.orbit(gaps)
    return fitted_turn(str(path), alpha, steps, turn, gaps)


def _declared_turn(recipe: StaticOrbit | SineOrbit, declared: FilmDeclaration) -> DeclaredTurn:
    return DeclaredTurn(
        recipe=recipe,
        elevation_deg=10.0 if declared.elevation_deg == "auto" else declared.elevation_deg,
        fov_deg=declared.fov_deg,
        distance=declared.distance,
        clockwise=declared.clockwise,
    )


def _last_round(
    path: Path,
    images: UInt8[Tensor, "views 4 height width"],
    thumbnails: np.ndarray,
    recipe: StaticOrbit | SineOrbit,
    declared: FilmDeclaration,
    gaps: Gaps,
) -> int:
    """Where the last of several turns begins; 0 where the silhouettes agree as well on all frames as one turn."""
    turn, alpha = _declared_turn(recipe, declared), images[:, 3].float() / 255
    any_elevation = declared.elevation_deg == "auto"

    def agreed(frames: int) -> float:
        placed = gaps if frames == len(images) else Gaps.at_ends(frames)
        return turn_agreement(alpha[-frames:], turn, placed, any_elevation=any_elevation)

    periods = whole_rounds(thumbnails)
    if not periods:
        return 0
    best = max(periods, key=agreed)
    if agreed(best) < agreed(len(images)) + 0.02:
        return 0
    log.info("%s: it goes around more than once; the last %d of %d frames are taken", path, best, len(images))
    return len(images) - best


def _read_images(path: Path, frames: tuple[int, ...], max_size_px: int | None) -> UInt8[Tensor, "views 4 _ _"]:
    def cut_out(numbered: tuple[int, Image.Image]) -> tuple[Tensor, bool]:
        index, frame = numbered
        pixels, shadow = pixels_of(masked_image(frame, path.with_name(f"{path.name}, frame {index}")))
        return resized(pixels, *scaled_size(frame.size, max_size_px)), shadow

    found = list(side_by_side(cut_out, zip(frames, read_video(path, set(frames)), strict=True)))
    warn_of_shadows(path, sum(shadow for _, shadow in found), len(found))
    return _without_marks(path, torch.stack([pixels for pixels, _ in found]))


def _without_marks(path: Path, images: UInt8[Tensor, "views 4 _ _"]) -> UInt8[Tensor, "views 4 _ _"]:
    cleared, marks = still_marks(images.numpy())
    for mark in marks:
        log.warning("%s: %s", path, mark.told(len(images)))
    images[:, 3][torch.from_numpy(cleared)] = 0
    return images


def _steps(thumbnails: np.ndarray) -> np.ndarray:
    """How much the pictures change from each to the next, the last to the first."""
    return np.abs(thumbnails - np.roll(thumbnails, -1, axis=0)).mean((1, 2, 3))
