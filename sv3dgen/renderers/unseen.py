"""Which parts of a surface no reference view has looked at (paper, section 4.2: the soft mask of masked SDS)."""

from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.domains import Between
from sv3dgen.errors import InputError
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import Mesh, face_normals
from sv3dgen.views.cameras import Cameras, project


class UnseenMask:
    """1 where no reference view sees a surface point, 0 where one looks straight at it.

    With v the direction to the reference camera that makes n . v largest, the mask is 1 - smoothstep(n . v; low, high),
    and at least `floor`. Equal limits make it hard. The paper has 0, 0.5 and no floor, the authors' code 0.1, 0.5 and
    0.2. Neither looks at what lies between: with `occlusion` a camera counts only where the point is in its frame and
    nothing of the mesh is in front of it, by a z-buffer `depth_px` wide.
    """

    def __init__(
        self,
        *,
        low: Annotated[float | int, Between(-1.0, 1.0)] = 0.0,
        high: Annotated[float | int, Between(-1.0, 1.0)] = 0.5,
        floor: Annotated[float | int, Between(0.0, 0.999)] = 0.0,
        occlusion: bool = False,
        depth_px: Annotated[int, Between(1, 4096)] = 256,
    ) -> None:
        if not -1 <= low <= high <= 1:
            raise InputError(f"mask.low={low}, mask.high={high}: expected -1 <= low <= high <= 1")
        if not 0 <= floor < 1:
            raise InputError(f"mask.floor={floor}: expected at least 0, below 1")
        if not 1 <= depth_px <= 4096:
            raise InputError(f"mask.depth_px={depth_px}: expected 1 to 4096")
        self.low, self.high, self.floor, self.occlusion, self.depth_px = low, high, floor, occlusion, depth_px

    @torch.no_grad()
    def __call__(
        self,
        points: Float[Tensor, "points 3"],
        normals: Float[Tensor, "points 3"],
        cameras: Cameras,
        mesh: Mesh | None = None,
    ) -> Float[Tensor, " points"]:
        """The mask of points with unit outward normals. `mesh` is what may stand in the way."""
        seen = None
        if self.occlusion:
            if mesh is None:
                raise InputError("mask.occlusion=true: needs the mesh renderer")
            seen = in_sight(points, cameras, mesh, depth_px=self.depth_px)
        facing = best_facing(points, normals, cameras.positions, seen)
        return (1 - smoothstep(facing, self.low, self.high)).clamp(min=self.floor)


def smoothstep(values: Float[Tensor, "*shape"], low: float, high: float) -> Float[Tensor, "*shape"]:
    """0 up to `low`, 1 from `high` on, and a cubic between; a step where the limits are equal."""
    if low == high:
        return (values >= low).to(values.dtype)
    t = ((values - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def best_facing(
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    positions: Float[Tensor, "views 3"],
    seen: Bool[Tensor, "views points"] | None = None,
) -> Float[Tensor, " points"]:
    """The largest cosine between a point's normal and its direction to a camera; -1 where none counts."""
    best = torch.full_like(points[:, 0], -1.0)
    for view, position in enumerate(positions):  # not all at once: a step has millions of points
        facing = (torch.nn.functional.normalize(position - points, dim=-1) * normals).sum(-1)
        best = torch.maximum(best, facing if seen is None else torch.where(seen[view], facing, -1.0))
    return best


def in_sight(
    points: Float[Tensor, "points 3"], cameras: Cameras, mesh: Mesh, *, depth_px: int, tolerance: float = 0.01
) -> Bool[Tensor, "views points"]:
    """Whether each point lies in a camera's frame with nothing of the mesh more than `tolerance` in front of it.

    The faces looked up are those that the four nearest pixels show; each is cut with the point's own ray, so that
    surfaces seen at a slant do not hide themselves. One that lets the point through is enough: at an outline the others
    belong to what is next to it. So points within a pixel behind an outline may count as seen; and where the view only
    grazes the surface (cosines up to about .15), either answer is possible.
    """
    scale = depth_px / max(cameras.width_px, cameras.height_px)
    small = cameras.resized(max(1, round(cameras.width_px * scale)), max(1, round(cameras.height_px * scale)))
    index = rasterize(clip_positions(small, mesh.vertices), mesh.faces, small.height_px, small.width_px).face_index
    # View by view: a step has millions of points.
    return torch.stack(
        [_in_sight_of(points, small[view : view + 1], index[view], mesh, tolerance) for view in range(len(small))]
    )


def _in_sight_of(
    points: Float[Tensor, "points 3"],
    camera: Cameras,
    face_index: Int[Tensor, "height width"],
    mesh: Mesh,
    tolerance: float,
) -> Bool[Tensor, " points"]:
    height, width = face_index.shape
    pixels, depth = (values[0] for values in project(camera, points))
    inside = (pixels >= 0).all(-1) & (pixels < pixels.new_tensor([width, height])).all(-1)
    first = (pixels - 0.5).floor().long()
    through = torch.zeros_like(inside)
    for row in (0, 1):
        for col in (0, 1):
            rows, cols = (first[:, 1] + row).clamp(0, height - 1), (first[:, 0] + col).clamp(0, width - 1)
            through |= ~_hides(face_index[rows, cols].long(), points, camera.positions[0], mesh, tolerance)
    return through & inside & (depth > 0)


def _hides(
    faces: Int[Tensor, " points"],
    points: Float[Tensor, "points 3"],
    position: Float[Tensor, " 3"],
    mesh: Mesh,
    tolerance: float,
) -> Bool[Tensor, " points"]:
    """Whether the plane of a face (none: -1) cuts the way from the camera to the point well before the point."""
    normal, ray = face_normals(mesh)[faces], points - position
    corner = mesh.vertices[mesh.faces[faces, 0]]
    share = ((corner - position) * normal).sum(-1) / (ray * normal).sum(-1)  # of the way to the point
    return (faces >= 0) & (share > 0) & ((1 - share) * ray.norm(dim=-1) > tolerance)
