"""Triangles into pixels on a CPU: corners snapped to a grid, edges in whole numbers, a z-buffer."""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
from numba import prange

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.rasterizer._limits import HALF_PX, LIMIT_PX, ONE_PX, SUBPIXEL_BITS

INVALID = np.iinfo(np.int32).min  # x of a vertex whose triangles are dropped
# Rows go to threads in interleaved strips of 16, which balances the load and needs one pass over the faces.
STRIP_BITS = 4


@kernel(parallel=True)
@no_type_check
def project_numba(clip, height, width):
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


@kernel(inline="always")
@no_type_check
def _first_center(coordinate):
    return max((coordinate - HALF_PX + ONE_PX - 1) >> SUBPIXEL_BITS, 0)


@kernel(inline="always")
@no_type_check
def _edge_bias(dx, dy):
    """0 where the triangle owns points on the edge (top or left), else -1, so that the inside test is `>= 0`."""
    return 0 if dy < 0 or (dy == 0 and dx > 0) else -1


@kernel(parallel=True)
@no_type_check
def rasterize_numba(xy, z, faces, height, width, strips):
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


@kernel()
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
