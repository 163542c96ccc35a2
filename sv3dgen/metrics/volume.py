"""Which part of space a closed mesh fills, and how much two meshes agree on it.

A point is inside where the surface winds around it: rays along an axis add up the signed crossings. Overlapping parts
therefore unite, a cavity bounded by inward normals is empty, and turning all faces over changes nothing. The ray
through a grid column is thought of as moved by an infinitesimal amount, so one that passes exactly through a vertex or
an edge still meets the right number of triangles. Vertices that UV seams split need no merging for it: triangles that
meet do so by position.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.meshes.mesh import Mesh


def cell_centers(resolution: int, half_side: float = 0.5) -> Float[Tensor, " resolution"]:
    """Centers of the cells along one axis of a cube centered on the origin."""
    return ((torch.arange(resolution, dtype=torch.float64) + 0.5) / resolution * 2 - 1) * half_side


def occupancy(mesh: Mesh, ticks: Float[Tensor, " resolution"]) -> Bool[Tensor, "resolution resolution resolution"]:
    """Whether the points (ticks[i], ticks[j], ticks[k]) are inside; `ticks` ascend.

    Exact for closed meshes. In an open one the majority of the three axes decides, so a small hole does no harm.
    """
    corners = mesh.vertices.double()[mesh.faces].numpy()
    votes = np.zeros((len(ticks),) * 3, np.int8)
    for axis in range(3):
        order = [(axis + 1) % 3, (axis + 2) % 3, axis]
        winding = _winding(np.ascontiguousarray(corners[:, :, order]), ticks.double().numpy())
        votes += np.transpose(winding != 0, np.argsort(order))
    return torch.from_numpy(votes >= 2)


def occupancy_iou(
    first: Bool[Tensor, "resolution resolution resolution"], second: Bool[Tensor, "resolution resolution resolution"]
) -> float:
    """Cells in both over cells in either; 0 where both are empty."""
    either = int((first | second).sum())
    return int((first & second).sum()) / either if either else 0.0


@kernel(nogil=True)
@no_type_check  # keeps jaxtyping's test hook out of what numba compiles
def _winding(corners, ticks):
    """Signed number of triangles above each grid point (column x, row y, height z). `corners` is (faces, 3, 3)."""
    size = len(ticks)
    steps = np.zeros((size, size, size + 1), np.int32)
    for face in range(len(corners)):
        a, b, c = corners[face]
        normal_z = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        slope_x = slope_y = 0.0
        if normal_z != 0.0:
            slope_x = -((b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])) / normal_z
            slope_y = -((b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2])) / normal_z
        z_low, z_high = min(a[2], b[2], c[2]), max(a[2], b[2], c[2])
        first_row = np.searchsorted(ticks, min(a[1], b[1], c[1]))
        end_row = np.searchsorted(ticks, max(a[1], b[1], c[1]))
        for row in range(first_row, end_row):
            up, down = _crossed_columns(corners[face], ticks, ticks[row])
            for column in range(min(up, down), max(up, down)):
                height = a[2] + slope_x * (ticks[column] - a[0]) + slope_y * (ticks[row] - a[1])
                height = min(max(height, z_low), z_high)  # a triangle seen edge-on has a wild slope
                steps[column, row, np.searchsorted(ticks, height)] += 1 if up > down else -1
    # A triangle counts for every point below it.
    for level in range(size - 1, -1, -1):
        steps[:, :, level] += steps[:, :, level + 1]
    return steps[:, :, 1:]


@kernel(nogil=True)
@no_type_check  # keeps jaxtyping's test hook out of what numba compiles
def _crossed_columns(triangle, ticks, y):
    """How many columns of a row lie left of the triangle's edge that rises through it, and of the one that falls.

    An edge straddles the row half-open, so a vertex on the row counts once. Where it crosses is computed from its lower
    to its upper end: both triangles at an edge get the same bits, and no column falls between them or into both.
    """
    up = down = 0
    for side in range(3):
        start, end = triangle[side], triangle[(side + 1) % 3]
        if (start[1] > y) == (end[1] > y):
            continue
        rising = end[1] > start[1]
        low, high = (start, end) if rising else (end, start)
        columns = np.searchsorted(ticks, low[0] + (y - low[1]) / (high[1] - low[1]) * (high[0] - low[0]))
        if rising:
            up = columns
        else:
            down = columns
    return up, down
