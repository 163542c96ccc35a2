"""Poses that were written another way round than they are read, told by the silhouettes."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.views.cameras import Cameras
from sv3dgen.views.normalize import apply_similarity
from sv3dgen.views.silhouettes import agreement, small_silhouettes

_AGREED = 0.9  # of the silhouettes' area by their hull: as clean views do, and generated ones nearly
_OPENGL = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))  # from OpenCV's axes of a camera, and back

LIKE_OPENCV = (
    "the cameras look away from the object: their axes look like OpenCV's (y down, z forward); "
    "negate the second and third column of each transform_matrix to have OpenGL's"
)


def how_they_are_meant(
    alpha: Float[Tensor, "views height width"], cameras: Cameras, source_to_world: Float[Tensor, "4 4"]
) -> str | None:
    """What to do with the poses of a file, where the silhouettes fit another reading of them; None where they fit none.

    `source_to_world` is undone first: it was chosen for the poses as they were read.
    """
    given = apply_similarity(torch.linalg.inv(source_to_world.double()), cameras)
    for advice, poses in _readings(given.camera_to_world.double()):
        agreed = agreement(small_silhouettes(alpha, replace(given, camera_to_world=poses.float())))
        if agreed >= _AGREED:
            return f"{advice} (the silhouettes then agree to {100 * agreed:.0f} %)"
    return None


def _readings(poses: Float[Tensor, "views 4 4"]) -> Iterator[tuple[str, Float[Tensor, "views 4 4"]]]:
    yield LIKE_OPENCV, poses @ _OPENGL.double()
    inverse = torch.linalg.inv(poses)
    yield (
        "the poses look inverted, world to camera; expected camera to world: invert each transform_matrix",
        inverse,
    )
    yield (
        "the poses look inverted, world to camera with OpenCV's axes, as COLMAP has them; expected camera to world: "
        "invert each transform_matrix, then negate its second and third column",
        inverse @ _OPENGL.double(),
    )
    turned = poses.clone()
    turned[:, :3, :3] = poses[:, :3, :3].mT
    way = "the rotations look transposed: transpose the upper left 3x3 of each transform_matrix"
    yield way, turned
    yield f"{way}, then negate its second and third column", turned @ _OPENGL.double()
