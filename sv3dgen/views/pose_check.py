"""Do cameras and pictures belong together? Told in one line each, before minutes are spent on them."""

import logging
from dataclasses import replace
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.views.cameras import project
from sv3dgen.views.kept_views import is_checked
from sv3dgen.views.misread_poses import LIKE_OPENCV, how_they_are_meant
from sv3dgen.views.normalize import mask_boxes, nearest_point, ray_directions
from sv3dgen.views.orbits import Orbit, elevations_and_azimuths, wrapped_deg
from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.rigid import why_not_rigid
from sv3dgen.views.silhouettes import (
    agreement,
    agreement_by_chance,
    agreement_by_view,
    best_explanation,
    contradicts,
    small_silhouettes,
)
from sv3dgen.views.visual_hull import explained, touches_border, visual_hull, voxel_centers

log = logging.getLogger(__name__)

_ANGLE_TOLERANCE_DEG = 3.0
# Clean views agree to 0.95 and more at the small size used, and a wrong field of view costs 0.02 there. Generated
# views agree less and by chance; they are only refused where another reading is far better.
_CLEAN, _CLEARLY, _FAR = 0.93, 0.02, 0.1
_SURELY_RIGHT = 0.99
_ABOVE_CHANCE = 0.03  # what views in the right order exceed random order by, however inconsistent they are
_ONE_VIEW_MISFITS = 0.2  # below the median: a swapped view is 0.25 or more, the worst of inconsistent views 0.1
# Of two photos: a silhouette is all of what the hull of both looks like if their cameras are right. One that lies a
# tenth of the object's height too high comes to 0.965.
_PAIR_CLEAN, _PAIR_RESOLUTION = 0.97, 96


def check_poses(views: PosedViews, declared_orbit: Orbit | None = None) -> PosedViews:
    """Raise InputError for the first thing that is wrong with cameras and masks; takes about a second.

    Gives the views back, with trust 0 in those that a model made so that they fit nowhere among the others.
    `declared_orbit` is compared with the cameras where the user declared one; else the angles that the views carry are.
    """
    if len(views) < 2:
        raise InputError(f"{views.names[0]}: a single view, expected at least 2 (21 in an SV3D orbit)")
    if is_checked(views):
        return views
    check_matrices(views)
    check_masks(views)
    check_aim(views)
    check_angles(views, declared_orbit or Orbit(views.elevation_deg, views.azimuth_deg), declared_orbit is not None)
    views = check_silhouettes(views)
    tell_contradictions(views)
    return views


def check_matrices(views: PosedViews) -> None:
    """Every pose is a finite, right-handed rotation and translation; every focal length is finite and positive."""
    for name, matrix in zip(views.names, views.cameras.camera_to_world.tolist(), strict=True):
        problem = why_not_rigid(matrix)
        if problem:
            raise InputError(f"{name}: its camera matrix {problem}")
    good = torch.isfinite(views.cameras.focal_px).all(1) & (views.cameras.focal_px > 0).all(1)
    good &= torch.isfinite(views.cameras.center_px).all(1)
    for name in _named(views, ~good):
        raise InputError(f"{name}: its focal length or center is not a finite number of pixels above 0")


def check_masks(views: PosedViews) -> None:
    """Every view shows something, and not up to all four borders."""
    masks = views.images[:, 3] >= 128
    for name in _named(views, ~masks.flatten(1).any(1)):
        raise InputError(f"{name}: its mask is empty (alpha below one half everywhere), there is no object in it")
    for name in _named(views, touches_border(masks).all(1)):
        raise InputError(
            f"{name}: its mask touches all four borders; remove the background, show the whole object, or invert masks "
            "that are white around it"
        )


def check_aim(views: PosedViews) -> None:
    """All cameras look at one place, where the rays through the middles of the masks meet."""
    cameras, boxes = views.cameras, mask_boxes(views.images[:, 3] >= 128)
    positions = cameras.positions.double()
    focus = nearest_point(positions, ray_directions(cameras, boxes.mean(1)))
    if focus is None:
        raise _misread(views, "the cameras all look in one direction; expected views from around the object")
    towards = torch.nn.functional.normalize(focus - positions, dim=-1)
    cosine = (towards * cameras.forward.double()).sum(-1)
    if (cosine < -0.5).sum() > 0.5 * len(views):
        raise _misread(views, LIKE_OPENCV)
    seen_at, depth = project(cameras, focus[None].to(cameras.focal_px))
    reach = (boxes[:, 1] - boxes[:, 0]).norm(dim=-1) / 2
    beside = (seen_at[:, 0].double() - boxes.mean(1)).norm(dim=-1) > 1.5 * reach
    beside |= depth[:, 0] <= 0
    if beside.sum() > 0.5 * len(views):
        raise _misread(
            views, "the cameras do not look at one object: the rays through the middles of the masks do not meet"
        )
    for name in _named(views, beside):
        degrees = float(torch.rad2deg(torch.arccos(cosine[views.names.index(name)].clamp(-1, 1))))
        raise InputError(f"{name}: its camera does not look at the object (it points {degrees:.0f} degrees next to it)")


def _misread(views: PosedViews, otherwise: str) -> InputError:
    """The refusal of poses that can't be right as they stand: what they seem to be, else `otherwise`."""
    return InputError(how_they_are_meant(views.rgba[:, 3], views.cameras, views.source_to_world) or otherwise)


def check_angles(views: PosedViews, orbit: Orbit, declared: bool) -> None:
    """The cameras stand where the orbit has them. Angles from a file may count from another side than the front."""
    if len(orbit) != len(views):
        raise InputError(f"{len(views)} views, expected {len(orbit)} as in the declared orbit")
    elevation, azimuth = elevations_and_azimuths(views.cameras)
    if _close(azimuth, orbit.azimuth_deg) and _close(elevation, orbit.elevation_deg):
        return
    for shift in range(1, len(views)):
        if _close(azimuth.roll(shift), orbit.azimuth_deg) and _close(elevation.roll(shift), orbit.elevation_deg):
            raise InputError(
                f"{views.names[-1 - shift]}: views out of order: this is the front view, the declared orbit's last, "
                "and must be listed last"
            )
    level, turned = _close(elevation, orbit.elevation_deg), azimuth[-1] - orbit.azimuth_deg[-1]
    if level and not declared and _close(azimuth - turned, orbit.azimuth_deg):
        return
    if level and _close(azimuth - turned, -orbit.azimuth_deg + 2 * orbit.azimuth_deg[-1]):
        raise InputError(
            "yaw flipped: the cameras stand at minus the declared azimuths (azimuth grows towards +X, "
            "counter-clockwise seen from above); negate the azimuths or mirror the matrices"
        )
    same_azimuth = _each_close(azimuth[:, None], orbit.azimuth_deg[None])
    same = same_azimuth & _each_close(elevation[:, None], orbit.elevation_deg[None])
    worst = int((~same.diagonal()).nonzero()[0])
    reason = "views out of order" if bool(same.any(1).all()) else "not on the declared orbit"
    raise InputError(
        f"{views.names[worst]}: {reason}: its camera stands at elevation {float(elevation[worst]):.0f}, azimuth "
        f"{float(azimuth[worst]):.0f} degrees, expected {float(orbit.elevation_deg[worst]):.0f} and "
        f"{float(orbit.azimuth_deg[worst]) % 360:.0f}"
    )


def check_silhouettes(views: PosedViews) -> PosedViews:
    """The masks have a common visual hull, and no other reading of the cameras gives a clearly better one.

    A photo that does not fit the others is refused; a generated view is as its model made it, and is left out: trust 0.
    """
    silhouettes = small_silhouettes(views.images[:, 3].float() / 255, views.cameras)
    given = agreement(silhouettes)
    if given >= _SURELY_RIGHT:
        return views
    other = best_explanation(silhouettes, views.names)
    gain = other.agreement - given
    if gain >= _FAR or (gain >= _CLEARLY and other.agreement >= _CLEAN):
        raise InputError(
            f"{other.advice} (silhouettes agree to {_percent(given)}, then to {_percent(other.agreement)})"
        )
    by_view = agreement_by_view(silhouettes)
    unlike = (by_view < by_view.median() - _ONE_VIEW_MISFITS).nonzero()[:, 0].tolist()
    misfits = [view for view in unlike if views.trust[view] and contradicts(silhouettes, view)]
    told = "{}: silhouette and camera do not fit the other views; "
    if photos := [views.names[view] for view in misfits if not views.generated[view]]:
        raise InputError(told.format(", ".join(photos)) + "swapped with another, or a wrong picture or mask?")
    if misfits:
        names = ", ".join(views.names[view] for view in misfits)
        log.warning(told.format(names) + "generated, so left out (check_poses=false fits it all the same)")
        trust = [0.0 if view in misfits else trust for view, trust in enumerate(views.trust)]
        views = replace(views, trust=tuple(trust))
    if given < _CLEAN and given < agreement_by_chance(silhouettes) + _ABOVE_CHANCE:
        raise InputError(
            "views out of order, or poses of another capture: the silhouettes fit the cameras no better than in random "
            f"order, and their visual hull is nearly empty (they agree to {_percent(given)})"
        )
    if given < _CLEAN:
        log.info("the views agree on %s of their silhouettes; inconsistent views give a smoother mesh", _percent(given))
        if not any(views.generated):
            log.info("where that is the cameras' fault, corrections=all learns what each view is off")
    return views


def tell_contradictions(views: PosedViews) -> None:
    """A warning for each two photos among generated views whose silhouettes can't be of one object."""
    photos = [i for i, (made, trust) in enumerate(zip(views.generated, views.trust, strict=True)) if not made and trust]
    if not any(views.generated) or len(photos) < 2:
        return  # of photos alone, `check_silhouettes` tells
    silhouettes = small_silhouettes(views.images[photos, 3].float() / 255, views.cameras[torch.tensor(photos)])
    for first, second in combinations(range(len(photos)), 2):
        masks, cameras = silhouettes.masks[[first, second]], silhouettes.cameras[torch.tensor([first, second])]
        hull = visual_hull(masks, cameras, resolution=_PAIR_RESOLUTION, dilate_px=0)
        agreed = float(explained(masks, cameras, voxel_centers(hull)).min())
        if agreed < _PAIR_CLEAN:
            names = f"{views.names[photos[first]]} and {views.names[photos[second]]}"
            log.warning(
                "%s contradict each other: as photos of one object they agree on %s of their silhouettes; is the pose "
                'of one wrong, or is it generated ("source")?',
                names,
                _percent(agreed),
            )


def _named(views: PosedViews, wrong: Bool[Tensor, " views"]) -> list[str]:
    return [name for name, is_wrong in zip(views.names, wrong.tolist(), strict=True) if is_wrong]


def _each_close(angle_deg: Float[Tensor, "..."], expected_deg: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    return wrapped_deg(angle_deg.double() - expected_deg.double()).abs() <= _ANGLE_TOLERANCE_DEG


def _close(angle_deg: Float[Tensor, " angles"], expected_deg: Float[Tensor, " angles"]) -> bool:
    return bool(_each_close(angle_deg, expected_deg).all())


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
