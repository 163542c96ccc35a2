"""Bringing a scene of any size and place into the project's box, from its cameras and masks alone."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.views.cameras import Cameras
from sv3dgen.views.visual_hull import SCENE_HALF_SIZE, explained, hull_bounds, visual_hull, voxel_centers

# A hull is never smaller than its object, and leaves the box by a little for concave tops under a low orbit.
_LARGEST_HALF_SIZE = SCENE_HALF_SIZE + 0.03
_SMALLEST_SIDE = 0.7
_FAR = 100.0  # times the cameras' spread: from there on float32 places them worse than a hundredth of a pixel
_EXPLAINED = 0.9  # of the masks' area, by the carved hull, in views that agree


def normalize_to_box(masks: Bool[Tensor, "views height width"], cameras: Cameras) -> Float[Tensor, "4 4"] | None:
    """The similarity (uniform scale and translation, float64) that brings the object to the origin with longest side 1.

    The object is the box around its visual hull. None where it is close to that already, and where cameras and masks
    contradict each other so much that no hull is left (`pose_check` says why).
    """
    box = object_box(masks, cameras)
    if box is None:
        return None
    side = float((box[1] - box[0]).max())
    if float(box.abs().max()) <= _LARGEST_HALF_SIZE and side >= _SMALLEST_SIDE:
        return None
    similarity = torch.eye(4, dtype=torch.float64)
    similarity[:3, :3] /= side
    similarity[:3, 3] = -box.mean(0) / side
    return similarity


def apply_similarity(similarity: Float[Tensor, "4 4"], cameras: Cameras) -> Cameras:
    """The same cameras in a world that was scaled, rotated and moved; their own axes stay of unit length."""
    moved = similarity.double() @ cameras.camera_to_world.double()
    moved[:, :3, :3] /= torch.linalg.det(similarity[:3, :3].double()).pow(1 / 3)
    return Cameras(moved.float(), cameras.focal_px, cameras.center_px, cameras.width_px, cameras.height_px)


def offset_to_remove(poses: Float[Tensor, "views 4 4"]) -> Float[Tensor, "3"] | None:
    """Where cameras (float64) stand on average, if that is so far from the origin that float32 can't tell them apart.

    So in georeferenced captures, whose offsets are millions of meters.
    """
    positions = poses[:, :3, 3]
    middle = positions.mean(0)
    spread = (positions - middle).norm(dim=-1).max()
    return middle.round() if float(middle.norm()) > _FAR * float(spread) else None


def object_box(
    masks: Bool[Tensor, "views height width"], cameras: Cameras, resolution: int = 64
) -> Float[Tensor, "2 3"] | None:
    """Min and max corner of the object, wherever it is: the bounds of its visual hull."""
    sphere = enclosing_sphere(masks, cameras)
    if sphere is None:
        return None
    box = torch.stack([sphere[0] - sphere[1], sphere[0] + sphere[1]])
    # Carving is tight but breaks where views disagree; then one view in ten may miss.
    for miss_votes in (0, len(cameras) // 10):
        hull = visual_hull(masks, cameras, resolution=resolution, aabb=box, miss_votes=miss_votes)
        if hull.any() and float(explained(masks, cameras, voxel_centers(hull, box)).mean()) >= _EXPLAINED:
            break
    bounds = hull_bounds(hull, box)
    if bounds is None:
        return None
    # Once more, with voxels as small as the box just found allows, and tight.
    margin = 0.05 * (bounds[1] - bounds[0]).max()
    box = torch.stack([bounds[0] - margin, bounds[1] + margin])
    hull = visual_hull(masks, cameras, resolution=resolution, aabb=box, miss_votes=miss_votes, dilate_px=1)
    tight = hull_bounds(hull, box)
    return bounds if tight is None else tight


def enclosing_sphere(
    masks: Bool[Tensor, "views height width"], cameras: Cameras
) -> tuple[Float[Tensor, "3"], Float[Tensor, ""]] | None:
    """Center and radius (float64) of a sphere around the object: where the rays through the masks' centers nearly meet.

    None where that is behind the cameras, or where the rays are parallel.
    """
    used = masks.flatten(1).any(1)
    if used.sum() < 2:
        return None
    cameras, boxes = cameras[used.nonzero()[:, 0]], mask_boxes(masks[used])
    middle = boxes.mean(1)
    focus = nearest_point(cameras.positions.double(), ray_directions(cameras, middle))
    if focus is None:
        return None
    depth = ((focus - cameras.positions.double()) * cameras.forward.double()).sum(-1)
    if not (depth > 0).all():
        return None
    half_diagonal_px = (boxes[:, 1] - boxes[:, 0]).norm(dim=-1) / 2
    radius = (half_diagonal_px / cameras.focal_px.mean(1).double() * depth).max()
    return focus, 1.25 * radius


def mask_boxes(masks: Bool[Tensor, "views height width"]) -> Float[Tensor, "views 2 2"]:
    """(x, y) of the upper left and the lower right corner of what each mask covers, in px; masks must not be empty."""
    columns, rows = masks.any(1).double(), masks.any(2).double()
    low = torch.stack([columns.argmax(1), rows.argmax(1)], dim=-1)
    high = torch.stack([masks.shape[2] - columns.flip(1).argmax(1), masks.shape[1] - rows.flip(1).argmax(1)], dim=-1)
    return torch.stack([low, high], dim=1).double()


def ray_directions(cameras: Cameras, points_px: Float[Tensor, "views 2"]) -> Float[Tensor, "views 3"]:
    """Unit directions of the rays through one image point (x, y) per view."""
    x, y = ((points_px - cameras.center_px.double()) / cameras.focal_px.double()).unbind(-1)
    in_camera = torch.stack([x, -y, -torch.ones_like(x)], dim=-1)
    directions = torch.einsum("vij,vj->vi", cameras.camera_to_world[:, :3, :3].double(), in_camera)
    return torch.nn.functional.normalize(directions, dim=-1)


def nearest_point(origins: Float[Tensor, "lines 3"], directions: Float[Tensor, "lines 3"]) -> Float[Tensor, "3"] | None:
    """The point nearest to all lines by the sum of distances (reweighted least squares, so a few strays don't matter).

    None where the lines are as good as parallel.
    """
    across = torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None, :]
    weights = torch.ones(len(origins), dtype=torch.float64)
    point = origins.mean(0)
    for _ in range(20):
        system = (weights[:, None, None] * across).sum(0)
        if torch.linalg.eigvalsh(system)[0] < 1e-4 * weights.sum():
            return None
        right = (weights[:, None, None] * across @ origins[:, :, None]).sum(0)
        previous, point = point, torch.linalg.solve(system, right)[:, 0]
        distance = (across @ (point - origins)[:, :, None])[..., 0].norm(dim=-1)
        if (point - previous).norm() <= 1e-3 * distance.mean():
            break
        weights = 1 / distance.clamp_min(1e-3 * distance.mean() + 1e-12)
    return point
