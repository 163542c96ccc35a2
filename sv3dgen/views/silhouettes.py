"""How well silhouettes and cameras belong together, and which mistake would explain it if they don't.

The measure is the share of the masks' area that their own visual hull covers: carving only ever removes what the
cameras contradict. On clean orbits it peaks within a few degrees of the true field of view.
"""

import math
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.parallel.cores import usable_cores
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.normalize import enclosing_sphere
from sv3dgen.views.resampling import downscale_planes
from sv3dgen.views.visual_hull import dilated, drawn, visual_hull, voxel_centers

_SIZE_PX = 80
_RESOLUTION = 56  # voxels of about a pixel
_CONTRADICTION = 0.05  # of a mask: what rounding to pixels and voxels leaves of honest ones is .02
_FOCAL_FACTORS = (
    0.6,
    0.8,
    1.25,
    1.6,
)  # steps of about 20 to 30 % around what the file says, refined where one is better


@dataclass(frozen=True)
class Silhouettes:
    """Small masks with their cameras."""

    masks: Bool[Tensor, "views height width"]
    cameras: Cameras


@dataclass(frozen=True)
class Explanation:
    """A change to the cameras or the order of the views, the agreement that it reaches, and what to tell the user."""

    agreement: float
    advice: str


def small_silhouettes(alpha: Float[Tensor, "views height width"], cameras: Cameras) -> Silhouettes:
    """Masks (alpha of one half and more) small enough to test dozens of hypotheses a second."""
    scale = min(1.0, _SIZE_PX / max(cameras.width_px, cameras.height_px))
    height, width = max(1, round(cameras.height_px * scale)), max(1, round(cameras.width_px * scale))
    return Silhouettes(downscale_planes(alpha, height, width) >= 0.5, cameras.resized(width, height))


def agreement(silhouettes: Silhouettes) -> float:
    """Mean share of each mask that the carved hull covers, in [0, 1]."""
    masks = silhouettes.masks
    covered = masks & _hull_silhouettes(silhouettes, miss_votes=0)
    return float((_area(covered) / _area(masks).clamp_min(1)).mean())


def agreement_by_view(silhouettes: Silhouettes) -> Float[Tensor, " views"]:
    """Intersection over union of each mask and the hull that one view in ten may miss; 2 px around it are forgiven."""
    masks = silhouettes.masks
    hull = _hull_silhouettes(silhouettes, miss_votes=len(masks) // 10)
    union = masks | (hull & ~dilated(masks, 2))
    return _area(hull & masks) / _area(union).clamp_min(1)


def contradicts(silhouettes: Silhouettes, view: int) -> bool:
    """Whether a mask and the others can't be of one object: it shows what they carve away, or carves what they show.

    A view may also be the only one to tell something, as the one that sees a plate from its edge.
    """
    others = torch.tensor([other for other in range(len(silhouettes.masks)) if other != view])
    rest = Silhouettes(silhouettes.masks[others], silhouettes.cameras[others])
    alone = _hull_silhouettes(silhouettes, miss_votes=0, carved_by=rest)
    masks = silhouettes.masks
    shown = _area(masks & ~dilated(alone, 1))[view] / _area(masks)[view].clamp_min(1)
    # A pixel more of this view: seen from its edge, a plate is two or three pixels high, of which one is rounding.
    wider = torch.where(torch.arange(len(masks), device=masks.device)[:, None, None] == view, dilated(masks, 1), masks)
    carved = _hull_silhouettes(Silhouettes(wider, silhouettes.cameras), miss_votes=0)
    lost = _area(masks & alone & ~carved) / _area(masks).clamp_min(1)
    return bool(shown > _CONTRADICTION or lost[others].mean() > _CONTRADICTION)


def agreement_by_chance(silhouettes: Silhouettes) -> float:
    """The agreement of the same masks in random order, the best of three."""
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(silhouettes.masks), generator=generator) for _ in range(3)]
    return max(agreement(Silhouettes(silhouettes.masks[order], silhouettes.cameras)) for order in orders)


def _hull_silhouettes(
    silhouettes: Silhouettes, miss_votes: int, carved_by: Silhouettes | None = None
) -> Bool[Tensor, "views height width"]:
    """What the hull of the masks looks like in each view; empty where the rays through the masks don't meet.

    It is that of all of them, or of some that carve it.
    """
    masks, cameras = silhouettes.masks, silhouettes.cameras
    sphere = enclosing_sphere(masks, cameras)
    if sphere is None:
        return torch.zeros_like(masks)
    box = torch.stack([sphere[0] - sphere[1], sphere[0] + sphere[1]])
    of = carved_by or silhouettes
    hull = visual_hull(of.masks, of.cameras, resolution=_RESOLUTION, aabb=box, miss_votes=miss_votes, dilate_px=0)
    return drawn(voxel_centers(hull, box), cameras)


def _area(masks: Bool[Tensor, "views height width"]) -> Float[Tensor, " views"]:
    return masks.flatten(1).sum(1).float()


def best_explanation(silhouettes: Silhouettes, names: tuple[str, ...]) -> Explanation:
    """The likeliest mistake: mirrored yaw, order of the views, field of view, pictures on their side."""
    masks, cameras = silhouettes.masks, silhouettes.cameras
    moved = [(Silhouettes(masks, _mirrored_yaw(cameras)), MIRRORED_YAW)]
    moved += [(Silhouettes(masks[order], cameras), advice) for order, advice in _orders(names)]
    with ThreadPoolExecutor(usable_cores()) as pool:  # hulls are carved outside the interpreter lock
        field_of_view = pool.submit(_best_field_of_view, silhouettes)  # one step after the other, it takes longest
        of_moved = [pool.submit(_explained, *each) for each in moved]
        of_turned = [pool.submit(_explained, *each) for each in _turned(silhouettes)]
        found = [task.result() for task in (*of_moved, field_of_view, *of_turned)]
    return max(found, key=lambda explanation: explanation.agreement)


def _explained(silhouettes: Silhouettes, advice: str) -> Explanation:
    return Explanation(agreement(silhouettes), advice)


def _turned(silhouettes: Silhouettes) -> Iterator[tuple[Silhouettes, str]]:
    """The masks turned by quarters, each with cameras of the size that they then have, and what to say."""
    masks, cameras = silhouettes.masks, silhouettes.cameras
    size = torch.tensor([cameras.width_px, cameras.height_px])
    for quarters, words in ((1, "90 degrees to the left"), (2, "180 degrees"), (3, "90 degrees to the right")):
        placed = cameras
        if quarters != 2:
            center = cameras.center_px / size * size.flip(0)
            width, height = cameras.height_px, cameras.width_px
            placed = replace(cameras, center_px=center, width_px=width, height_px=height)
        yield (
            Silhouettes(torch.rot90(masks, quarters, (1, 2)), placed),
            f"the pictures do not stand upright: they fit the cameras when they are turned by {words}",
        )


MIRRORED_YAW = (
    "yaw flipped: the silhouettes fit azimuths that grow the other way round; "
    "negate the azimuths (a video: clockwise=true, a folder: mirror the matrices)"
)


def _mirrored_yaw(cameras: Cameras) -> Cameras:
    """Every camera at minus its azimuth, upright as before: the mirror image of the pose, made right-handed again."""
    mirror = torch.diag(torch.tensor([-1.0, 1, 1, 1]))
    poses = mirror @ cameras.camera_to_world @ mirror
    return Cameras(poses, cameras.focal_px, cameras.center_px, cameras.width_px, cameras.height_px)


def _orders(names: tuple[str, ...]) -> Iterator[tuple[list[int], str]]:
    """Orders (which mask belongs to each camera) that views are mixed up in, and what to say."""
    count = len(names)
    each = list(range(count))
    yield (
        each[1:] + each[:1],
        "views out of order: pictures fit the camera before; the front view comes last, not first",
    )
    yield each[-1:] + each[:-1], "views out of order: each picture fits the next camera"
    yield each[::-1], "views out of order: the pictures fit the cameras in reverse order"
    # Files sorted as text, "0, 1, 10, 11, .., 2": picture k of that listing was given to camera k.
    as_text = sorted(each, key=str)
    yield (
        [as_text.index(i) for i in each],
        "views out of order: files were sorted as text (0, 1, 10, 11, ..), not by number",
    )
    numbers = [re.findall(r"\d+", name) for name in names]
    if all(numbers):
        by_number = sorted(each, key=lambda i: int(numbers[i][-1]))
        if by_number != each:
            yield by_number, "views out of order: the pictures fit the cameras when sorted by their number"


def _best_field_of_view(silhouettes: Silhouettes) -> Explanation:
    """The focal length, as a factor of the given one, that the masks agree with best."""

    def at(factor: float) -> float:
        return agreement(Silhouettes(silhouettes.masks, _with_focal(silhouettes.cameras, factor)))

    factor, best = _climb(at)
    cameras = silhouettes.cameras
    given, better = (_field_of_view_deg(cameras, scale) for scale in (1.0, factor))
    advice = (
        f"field of view {given:.1f} degrees does not fit the silhouettes, they fit about {better:.0f}; "
        "correct fov_deg, or camera_angle_x or fl_x in transforms.json"
    )
    return Explanation(best, advice)


def _climb(score: Callable[[float], float]) -> tuple[float, float]:
    """The factor of the best score, and the score: a scan that grows while its edge is best, then smaller steps."""
    scores = {factor: score(factor) for factor in _FOCAL_FACTORS}
    for _ in range(3):
        best = max(scores, key=lambda factor: scores[factor])
        if best not in (min(scores), max(scores)):
            break
        further = best / 1.5 if best == min(scores) else best * 1.5
        scores[further] = score(further)
    for step in (1.15, 1.07):
        best = max(scores, key=lambda factor: scores[factor])
        scores |= {factor: score(factor) for factor in (best / step, best * step)}
    best = max(scores, key=lambda factor: scores[factor])
    return best, scores[best]


def _with_focal(cameras: Cameras, factor: float) -> Cameras:
    focal = cameras.focal_px * factor
    return Cameras(cameras.camera_to_world, focal, cameras.center_px, cameras.width_px, cameras.height_px)


def _field_of_view_deg(cameras: Cameras, factor: float) -> float:
    return 2 * math.degrees(math.atan(cameras.width_px / 2 / (factor * float(cameras.focal_px[:, 0].median()))))
