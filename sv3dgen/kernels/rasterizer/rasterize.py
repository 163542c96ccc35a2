"""Z-buffer rasterization: which triangle each pixel center sees.

Vertices are snapped to 1/4096 px and inside tests are done in integers, so two triangles that share an edge leave no
hole between them and no pixel belongs to both: a center that lies exactly on an edge belongs to the triangle which has
it at its top or left, as in OpenGL and Direct3D. Both sides of a triangle are drawn. The reference and the compiled
versions do the same arithmetic in the same order, so they agree bit by bit. Not differentiable: gradients come from
`interpolate` (inside) and `antialias` (outline). nvdiffrast's picture is another one next to edges: see its file.

A triangle is dropped, not clipped, when a vertex lies in front of the near plane or more than 16384 px outside the
frame. The far plane clips per pixel.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import get_num_threads
from torch import Tensor

from sv3dgen.devices import has_float64
from sv3dgen.kernels.backend import Backend, resolve
from sv3dgen.kernels.rasterizer._limits import HALF_PX, LIMIT_PX, ONE_PX, SUBPIXEL_BITS
from sv3dgen.kernels.rasterizer._rasterize_numba import project_numba, rasterize_numba
from sv3dgen.views.cameras import Cameras


@dataclass(frozen=True)
class Fragments:
    """What each pixel center sees first."""

    face_index: Int[Tensor, "views height width"]  # int32; -1 where empty
    depth: Float[Tensor, "views height width"]  # z / w in [-1, 1]; 1 (the far plane) where empty


def clip_positions(cameras: Cameras, vertices: Float[Tensor, "vertices 3"]) -> Float[Tensor, "views vertices 4"]:
    """Clip-space positions of world points in every camera, warped as its picture is. Differentiable in `vertices` and
    the warp."""
    matrix = cameras.world_to_clip().to(vertices.dtype)
    clip = vertices @ matrix[:, :, :3].transpose(1, 2) + matrix[:, None, :, 3]
    return clip if cameras.warp is None else _warped(clip, cameras)


def rasterize(
    clip: Float[Tensor, "views vertices 4"],
    faces: Int[Tensor, "faces 3"],
    height_px: int,
    width_px: int,
    *,
    backend: Backend = "auto",
) -> Fragments:
    """The nearest face at every pixel center; of faces at equal depth, the one with the lower index.

    `clip` is as from `clip_positions`: y points up there, row 0 is the top row here. Computed from float32 positions.
    """
    clip = clip.detach().float()
    chosen = resolve("rasterizer", backend, clip.device)
    if chosen == "torch":
        if not has_float64(clip.device):
            drawn = rasterize(clip.cpu(), faces.cpu(), height_px, width_px)
            return Fragments(drawn.face_index.to(clip.device), drawn.depth.to(clip.device))
        return _rasterize_reference(clip, faces, height_px, width_px)
    if chosen == "triton":
        from sv3dgen.kernels.rasterizer._rasterize_triton import draw  # triton is loaded only where it is used

        return Fragments(*draw(*_project(clip, height_px, width_px), faces, height_px, width_px))
    if chosen == "nvdiffrast":
        from sv3dgen.kernels.rasterizer._rasterize_nvdiffrast import draw as draw_by_nvdiffrast

        return Fragments(*draw_by_nvdiffrast(clip, faces, height_px, width_px))
    corner_index = np.ascontiguousarray(faces.numpy(), dtype=np.int64)
    views, threads = clip.shape[0], get_num_threads()
    strips = 1 if views % threads == 0 or views > 2 * threads else 1 << (threads - 1).bit_length()
    xy, z = project_numba(clip.contiguous().numpy(), height_px, width_px)
    face_index, depth = rasterize_numba(xy, z, corner_index, height_px, width_px, strips)
    return Fragments(torch.from_numpy(face_index), torch.from_numpy(depth))


def _warped(clip: Float[Tensor, "views vertices 4"], cameras: Cameras) -> Float[Tensor, "views vertices 4"]:
    """Moved across the picture; depth and w stay. Points behind the camera stay where they are.

    To the vertices the gradient passes as if the picture were shifted: that of a small warp, but for its small turns.
    """
    assert cameras.warp is not None
    size = cameras.focal_px.new_tensor([cameras.width_px, cameras.height_px])
    up = cameras.focal_px.new_tensor([1.0, -1.0])
    # In the picture, x / w = up (2 (focal tangent + center) / size - 1), with tangents that point right and down.
    scale, shift = (up * 2 * cameras.focal_px / size)[:, None], (up * (2 * cameras.center_px / size - 1))[:, None]
    place, w = clip.detach()[..., :2], clip.detach()[..., 3:]
    usable = w > 1e-3
    offsets = cameras.warp.seen_offsets((place / torch.where(usable, w, 1.0) - shift) / scale)
    return clip + torch.nn.functional.pad(offsets * (scale * w * usable), (0, 2))


def expand_ranges(first: Int[Tensor, " ranges"], last: Int[Tensor, " ranges"]) -> tuple[Tensor, Tensor]:
    """Every integer of every closed range [first, last] (empty if last < first), as (index of the range, integer)."""
    count = (last - first + 1).clamp(min=0)
    owner = torch.repeat_interleave(torch.arange(len(first), device=first.device), count)
    position = torch.arange(len(owner), device=first.device) - (count.cumsum(0) - count)[owner]
    return owner, first[owner] + position


def in_front(clip: Float[Tensor, "*batch 4"]) -> Tensor:
    """Whether points lie beyond the near plane."""
    return (clip[..., 3] > 0) & (clip[..., 2] >= -clip[..., 3])


def _rasterize_reference(clip: Tensor, faces: Tensor, height: int, width: int) -> Fragments:
    """The definition: every face is tested at every pixel center of its bounding box."""
    projected = _project(clip, height, width)
    frames = [_rasterize_view_reference(*view, faces.long(), height, width) for view in zip(*projected, strict=True)]
    return Fragments(*map(torch.stack, zip(*frames, strict=True)))


def _project(clip: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices snapped to 1/4096 px [views, vertices, 2], their z / w, and whether faces with them can be drawn."""
    wide = clip.double()
    usable = in_front(wide)
    w = torch.where(usable, wide[..., 3], 1.0)
    screen = torch.stack([(wide[..., 0] / w * 0.5 + 0.5) * width, (0.5 - wide[..., 1] / w * 0.5) * height], -1)
    usable &= ((screen > -LIMIT_PX) & (screen < LIMIT_PX)).all(-1)
    snapped = (torch.where(usable[..., None], screen, 0.0) * ONE_PX + 0.5).floor().long()
    return snapped, (wide[..., 2] / w).float(), usable


def _rasterize_view_reference(
    snapped: Tensor, depth: Tensor, usable: Tensor, faces: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    a, b, c = snapped[faces].unbind(1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    faces = torch.where((area < 0)[:, None], faces[:, [0, 2, 1]], faces)
    corners, corner_depth = snapped[faces], depth[faces].double()
    lowest, highest = corners.amin(1), corners.amax(1)
    first = ((lowest - HALF_PX + ONE_PX - 1) >> SUBPIXEL_BITS).clamp(min=0)
    last = torch.minimum((highest - HALF_PX) >> SUBPIXEL_BITS, lowest.new_tensor([width - 1, height - 1]))
    last = torch.where(((area != 0) & usable[faces].all(1))[:, None], last, -1)
    face, row = expand_ranges(first[:, 1], last[:, 1])
    span, col = expand_ranges(first[face, 0], last[face, 0])
    face, row = face[span], row[span]
    point = torch.stack([col, row], -1) * ONE_PX + HALF_PX

    inside = torch.ones_like(face, dtype=torch.bool)
    for k in range(3):
        start, end = corners[face, k], corners[face, (k + 1) % 3]
        d, r = end - start, point - start
        # y points down and the area is positive: an edge going up is at the left, one going right is at the top.
        owns_edge = (d[:, 1] < 0) | ((d[:, 1] == 0) & (d[:, 0] > 0))
        inside &= d[:, 0] * r[:, 1] - d[:, 1] * r[:, 0] + owns_edge.long() > 0
    face, point, pixel = face[inside], point[inside], (row * width + col)[inside]

    z = _plane_depth(corners.double(), corner_depth, area.abs().double(), face, point.double())
    visible = z < 1
    face, pixel, z = face[visible], pixel[visible], z[visible]
    nearest = z.new_ones(height * width).scatter_reduce(0, pixel, z, "amin")
    tied = z == nearest[pixel]
    winner = torch.full((height * width,), len(faces), device=faces.device)
    winner = winner.scatter_reduce(0, pixel[tied], face[tied], "amin")
    winner = torch.where(winner == len(faces), -1, winner)
    return winner.int().reshape(height, width), nearest.reshape(height, width)


def _plane_depth(corners: Tensor, depth: Tensor, area: Tensor, face: Tensor, point: Tensor) -> Tensor:
    """z / w at image points, which is linear across a projected triangle."""
    first, second, third = corners.unbind(1)
    d1, d2 = second - first, third - first
    z1, z2 = depth[:, 1] - depth[:, 0], depth[:, 2] - depth[:, 0]
    slope_x = (z1 * d2[:, 1] - z2 * d1[:, 1]) / area
    slope_y = (z2 * d1[:, 0] - z1 * d2[:, 0]) / area
    offset = point - first[face]
    return (depth[face, 0] + slope_y[face] * offset[:, 1] + slope_x[face] * offset[:, 0]).float()
