"""Z-buffer rasterization: which triangle each pixel center sees.

Vertices are snapped to 1/4096 px and inside tests are done in integers, so two triangles that share an edge leave no
hole between them and no pixel belongs to both: a center that lies exactly on an edge belongs to the triangle which has
it at its top or left, as in OpenGL and Direct3D. Both sides of a triangle are drawn. The reference and the compiled
versions do the same arithmetic in the same order, so they agree bit by bit. Not differentiable: gradients come from
`interpolate` (inside) and `antialias` (outline). nvdiffrast's picture is another one beside edges: see its file.

A triangle is dropped, not clipped, when a vertex lies in front of the near plane or more than 16384 px outside the
frame. The far plane clips per pixel.
"""

from dataclasses import dataclass
from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import get_num_threads, njit, prange
from torch import Tensor

from sv3dgen.devices import has_float64
from sv3dgen.kernels.backend import Backend, resolve
from sv3dgen.views.cameras import Cameras

SUBPIXEL_BITS = 12
ONE_PX, HALF_PX = 1 << SUBPIXEL_BITS, 1 << (SUBPIXEL_BITS - 1)
LIMIT_PX = 16384.0  # keeps the products of two coordinate differences inside 64 bits
INVALID = np.iinfo(np.int32).min  # x of a vertex whose triangles are dropped
STRIP_BITS = (
    4  # rows go to threads in interleaved strips of 16, which balances the load and needs one pass over the faces
)


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
    xy, z = _project_numba(clip.contiguous().numpy(), height_px, width_px)
    face_index, depth = _rasterize_numba(xy, z, corner_index, height_px, width_px, strips)
    return Fragments(torch.from_numpy(face_index), torch.from_numpy(depth))


def _warped(clip: Float[Tensor, "views vertices 4"], cameras: Cameras) -> Float[Tensor, "views vertices 4"]:
    """Moved across the picture; depth and w stay. Points behind the camera stay where they are."""
    assert cameras.warp is not None
    size = cameras.focal_px.new_tensor([cameras.width_px, cameras.height_px])
    up = cameras.focal_px.new_tensor([1.0, -1.0])
    # In the picture, x / w = up (2 (focal tangent + center) / size - 1), with tangents that point right and down.
    scale, shift = (up * 2 * cameras.focal_px / size)[:, None], (up * (2 * cameras.center_px / size - 1))[:, None]
    usable = clip[..., 3:] > 1e-3
    w = torch.where(usable, clip[..., 3:], 1.0)
    tangents = (clip[..., :2] / w - shift) / scale
    seen = (cameras.warp.seen_points(tangents) * scale + shift) * w
    return torch.cat([torch.where(usable, seen, clip[..., :2]), clip[..., 2:]], dim=-1)


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


@njit(cache=True, parallel=True)
@no_type_check
def _project_numba(clip, height, width):
    views, vertices = clip.shape[:2]
    xy = np.empty((views, vertices, 2), np.int32)
    z = np.empty((views, vertices), np.float32)
    for flat in prange(views * vertices):
        view, i = flat // vertices, flat % vertices
        w = np.float64(clip[view, i, 3])
        xy[view, i, 0] = INVALID
        if w > 0 and clip[view, i, 2] >= -w:
            x = (clip[view, i, 0] / w * 0.5 + 0.5) * width
            y = (0.5 - clip[view, i, 1] / w * 0.5) * height
            if -LIMIT_PX < x < LIMIT_PX and -LIMIT_PX < y < LIMIT_PX:
                xy[view, i, 0] = np.floor(x * ONE_PX + 0.5)
                xy[view, i, 1] = np.floor(y * ONE_PX + 0.5)
            z[view, i] = clip[view, i, 2] / w
    return xy, z


@njit(cache=True, inline="always")
@no_type_check
def _first_center(coordinate):
    return max((coordinate - HALF_PX + ONE_PX - 1) >> SUBPIXEL_BITS, 0)


@njit(cache=True, inline="always")
@no_type_check
def _edge_bias(dx, dy):
    """0 where the triangle owns points on the edge (top or left), else -1, so that the inside test is `>= 0`."""
    return 0 if dy < 0 or (dy == 0 and dx > 0) else -1


@njit(cache=True, parallel=True)
@no_type_check
def _rasterize_numba(xy, z, faces, height, width, strips):
    views = xy.shape[0]
    face_index = np.empty((views, height, width), np.int32)
    depth = np.empty((views, height, width), np.float32)
    for task in prange(views * strips):
        view, strip = task // strips, task % strips
        for row in range(height):
            if (row >> STRIP_BITS) & (strips - 1) == strip:
                face_index[view, row] = -1
                depth[view, row] = 1.0
        for f in range(faces.shape[0]):
            _draw_triangle(xy[view], z[view], faces, f, strip, strips, face_index[view], depth[view])
    return face_index, depth


@njit(cache=True)
@no_type_check
def _draw_triangle(xy, z, faces, f, strip, strips, face_index, depth):
    """Draw the part of face `f` that lies in this thread's strips of rows."""
    height, width = face_index.shape
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    ay, by, cy = np.int64(xy[a, 1]), np.int64(xy[b, 1]), np.int64(xy[c, 1])
    row0 = _first_center(min(ay, by, cy))
    row1 = min((max(ay, by, cy) - HALF_PX) >> SUBPIXEL_BITS, height - 1)
    if row0 > row1 or (row0 >> STRIP_BITS == row1 >> STRIP_BITS and (row0 >> STRIP_BITS) & (strips - 1) != strip):
        return
    ax, bx, cx = np.int64(xy[a, 0]), np.int64(xy[b, 0]), np.int64(xy[c, 0])
    leftmost = min(ax, bx, cx)
    col0 = _first_center(leftmost)
    col1 = min((max(ax, bx, cx) - HALF_PX) >> SUBPIXEL_BITS, width - 1)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if col0 > col1 or area == 0 or leftmost == INVALID:
        return
    if area < 0:
        b, c, bx, by, cx, cy, area = c, b, cx, cy, bx, by, -area

    x, y = col0 * ONE_PX + HALF_PX, row0 * ONE_PX + HALF_PX
    ab = (bx - ax) * (y - ay) - (by - ay) * (x - ax) + _edge_bias(bx - ax, by - ay)
    bc = (cx - bx) * (y - by) - (cy - by) * (x - bx) + _edge_bias(cx - bx, cy - by)
    ca = (ax - cx) * (y - cy) - (ay - cy) * (x - cx) + _edge_bias(ax - cx, ay - cy)
    z0 = np.float64(z[a])
    z1, z2 = z[b] - z0, z[c] - z0
    slope_x = (z1 * (cy - ay) - z2 * (by - ay)) / area
    slope_y = (z2 * (bx - ax) - z1 * (cx - ax)) / area
    for row in range(row0, row1 + 1):
        if (row >> STRIP_BITS) & (strips - 1) == strip:
            z_row = z0 + slope_y * (y - ay)
            e0, e1, e2, dx = ab, bc, ca, x - ax
            for col in range(col0, col1 + 1):
                if (e0 | e1 | e2) >= 0:
                    z_here = np.float32(z_row + slope_x * dx)
                    if z_here < depth[row, col]:
                        depth[row, col] = z_here
                        face_index[row, col] = f
                e0 -= (by - ay) << SUBPIXEL_BITS
                e1 -= (cy - by) << SUBPIXEL_BITS
                e2 -= (ay - cy) << SUBPIXEL_BITS
                dx += ONE_PX
        ab += (bx - ax) << SUBPIXEL_BITS
        bc += (cx - bx) << SUBPIXEL_BITS
        ca += (ax - cx) << SUBPIXEL_BITS
        y += ONE_PX
