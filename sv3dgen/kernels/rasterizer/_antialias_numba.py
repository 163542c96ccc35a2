"""How much of a pixel at the silhouette is covered, and its gradient to the corners, on a CPU."""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
from numba import prange

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.rasterizer._rasterize_numba import STRIP_BITS


@kernel(parallel=True)
@no_type_check
def screen_numba(clip, height, width):
    """Image positions with pixel centers at whole numbers; NaN in front of the near plane."""
    views, vertices = clip.shape[:2]
    screen = np.empty((views, vertices, 2), np.float64)
    for flat in prange(views * vertices):
        view, i = flat // vertices, flat % vertices
        w = np.float64(clip[view, i, 3])
        if w > 0 and clip[view, i, 2] >= -w:
            screen[view, i, 0] = (clip[view, i, 0] / w * 0.5 + 0.5) * width - 0.5
            screen[view, i, 1] = (0.5 - clip[view, i, 1] / w * 0.5) * height - 0.5
        else:
            screen[view, i] = np.nan
    return screen


@kernel(parallel=True)
@no_type_check
def facing_numba(screen, faces):
    """Whether each face runs clockwise on the screen."""
    views, num_faces = len(screen), len(faces)
    facing = np.empty((views, num_faces), np.bool_)
    for flat in prange(views * num_faces):
        view, f = flat // num_faces, flat % num_faces
        a, b, c = screen[view, faces[f, 0]], screen[view, faces[f, 1]], screen[view, faces[f, 2]]
        facing[view, f] = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0
    return facing


@kernel(inline="always")
@no_type_check
def _crossing(a, b, n, along):
    """Where the line through a and b has coordinate `n` on axis `along`: its other coordinate."""
    across = 1 - along
    return a[across] + (n - a[along]) * (b[across] - a[across]) / (b[along] - a[along])


@kernel(inline="always")
@no_type_check
def _fraction(screen, ends, edge, row, col, steep, here_covered):
    """t of an edge at the pair of pixels that starts at (row, col)."""
    a, b = screen[ends[edge, 0]], screen[ends[edge, 1]]
    beyond = _crossing(a, b, row, 1) - col if steep else _crossing(a, b, col, 0) - row
    return beyond if here_covered else 1 - beyond


@kernel(parallel=True)
@no_type_check
def winner_numba(screen, facing, face_index, ends, sides, strips):
    """The outermost silhouette edge at each pair of pixels, -1 where none: [view, axis, row, col].

    Axis 1 holds the pairs (row, col), (row, col + 1) of steep edges, axis 0 (row, col), (row + 1, col) of flat ones.
    """
    views, height, width = face_index.shape
    winner = np.empty((views, 2, height, width), np.int32)
    for task in prange(views * strips):
        view, strip = task // strips, task % strips
        for row in range(height):
            if (row >> STRIP_BITS) & (strips - 1) == strip:
                winner[view, :, row] = -1
        for edge in range(len(ends)):
            if sides[edge, 1] < 0 or facing[view, sides[edge, 0]] != facing[view, sides[edge, 1]]:
                _walk(screen[view], face_index[view], ends, edge, strip, strips, winner[view])
    return winner


@kernel()
@no_type_check
def _walk(screen, face_index, ends, edge, strip, strips, winner):
    """Follow one silhouette edge over the pairs it crosses in this thread's strips of rows."""
    a, b = screen[ends[edge, 0]], screen[ends[edge, 1]]
    if np.isnan(a[0]) or np.isnan(b[0]):
        return
    height, width = face_index.shape
    along = 1 if abs(b[1] - a[1]) >= abs(b[0] - a[0]) else 0
    size_along, size_across = (height, width) if along else (width, height)
    first = np.int64(max(np.ceil(min(a[along], b[along])), 0))
    last = np.int64(min(np.ceil(max(a[along], b[along])) - 1, size_along - 1))
    for n in range(first, last + 1):
        low = np.floor(_crossing(a, b, n, along))
        if not (low >= 0 and low + 1 < size_across):
            continue
        row, col = (n, np.int64(low)) if along else (np.int64(low), n)
        here = face_index[row, col] >= 0
        beyond = face_index[row + 1 - along, col + along] >= 0
        if here == beyond or (row >> STRIP_BITS) & (strips - 1) != strip:
            continue
        held = winner[along, row, col]
        if held < 0 or (
            _fraction(screen, ends, edge, row, col, along, here) > _fraction(screen, ends, held, row, col, along, here)
        ):
            winner[along, row, col] = edge


@kernel(parallel=True)
@no_type_check
def coverage_numba(winner, screen, face_index, ends):
    """Coverage before it is clamped to [0, 1]."""
    views, height, width = face_index.shape
    total = np.empty((views, height, width), np.float32)
    for flat in prange(views * height):
        view, row = flat // height, flat % height
        for col in range(width):
            covered = face_index[view, row, col] >= 0
            value = 1.0 if covered else 0.0
            for k in range(4):  # the pairs to the right, below, from the left, from above
                steep, back = 1 - k % 2, k // 2
                r, c = row - back * (1 - steep), col - back * steep
                if r >= 0 and c >= 0 and winner[view, steep, r, c] >= 0:
                    edge = winner[view, steep, r, c]
                    t = _fraction(screen[view], ends, edge, r, c, steep, covered != (back == 1))
                    if (t > 0.5) != covered:
                        value += t - 0.5
            total[view, row, col] = value
    return total


@kernel(parallel=True)
@no_type_check
def coverage_backward_numba(clip, face_index, ends, screen, winner, total, gradient):
    views, height, width = face_index.shape
    to_clip = np.zeros(clip.shape, np.float32)
    for view in prange(views):
        for along in range(2):
            for row in range(height):
                for col in range(width):
                    edge = winner[view, along, row, col]
                    if edge < 0:
                        continue
                    here = face_index[view, row, col] >= 0
                    t = _fraction(screen[view], ends, edge, row, col, along, here)
                    beside = (t > 0.5) == here  # the pixel that changes is the second of the pair
                    r, c = (row + 1 - along, col + along) if beside else (row, col)
                    if 0 <= total[view, r, c] <= 1:
                        pull = gradient[view, r, c] if here else -gradient[view, r, c]
                        n = row if along else col
                        _pull_edge(to_clip[view], clip[view], screen[view], ends[edge], n, along, pull, height, width)
    return to_clip


@kernel()
@no_type_check
def _pull_edge(to_clip, clip, screen, ends, n, along, pull, height, width):
    """Add the gradient of an edge's crossing with line `n`, times `pull`, to its two vertices."""
    a, b = screen[ends[0]], screen[ends[1]]
    across = 1 - along
    share = (n - a[along]) / (b[along] - a[along])
    slope = (b[across] - a[across]) / (b[along] - a[along])
    for vertex, weight in ((ends[0], (1 - share) * pull), (ends[1], share * pull)):
        # The crossing moves with the vertex across, and against slope times its motion along the axis.
        x, y = (weight, -slope * weight) if along else (-slope * weight, weight)
        w = np.float64(clip[vertex, 3])
        x, y = 0.5 * width / w * x, -0.5 * height / w * y
        to_clip[vertex, 0] += x
        to_clip[vertex, 1] += y
        to_clip[vertex, 3] -= (x * clip[vertex, 0] + y * clip[vertex, 1]) / w
