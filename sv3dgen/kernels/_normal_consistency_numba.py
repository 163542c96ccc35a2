"""Value and gradient in one walk over the edges, on a CPU."""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
from numba import prange

from sv3dgen.compiling.kernel import kernel


@kernel(parallel=True)
@no_type_check
def value_and_gradient(vertices, faces, neighbors, smallest_share, parts):
    count = len(faces)
    normals, twice_area = np.empty((count, 3), np.float32), np.empty(count, np.float32)
    for f in prange(count):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        scale = np.float32(1.0) / length if length > 1e-12 else np.float32(0.0)
        normals[f, 0], normals[f, 1], normals[f, 2], twice_area[f] = nx * scale, ny * scale, nz * scale, length
    least = smallest_share * twice_area.sum() / max(count, 1)

    # Each part owns a range of faces, and sees every pair: sums come in the same order for any number of threads.
    pull = np.zeros((count, 3), np.float32)
    sums, counted = np.zeros(parts), np.zeros(parts, np.int64)
    for part in prange(parts):
        low, high = part * count // parts, (part + 1) * count // parts
        for p in range(len(neighbors)):
            f, g = neighbors[p, 0], neighbors[p, 1]
            if f < 0 or g < 0 or twice_area[f] <= least or twice_area[g] <= least:
                continue
            if low <= f < high:
                sums[part] += 1.0 - (
                    normals[f, 0] * normals[g, 0] + normals[f, 1] * normals[g, 1] + normals[f, 2] * normals[g, 2]
                )
                counted[part] += 1
                for k in range(3):
                    pull[f, k] -= normals[g, k]
            if low <= g < high:
                for k in range(3):
                    pull[g, k] -= normals[f, k]
    pairs = max(counted.sum(), 1)

    gradient = np.zeros((len(vertices), 3), np.float32)
    for part in prange(parts):
        low, high = part * len(vertices) // parts, (part + 1) * len(vertices) // parts
        for f in range(count):
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            if not (low <= a < high or low <= b < high or low <= c < high) or twice_area[f] <= least:
                continue
            along = pull[f, 0] * normals[f, 0] + pull[f, 1] * normals[f, 1] + pull[f, 2] * normals[f, 2]
            scale = np.float32(1.0) / (twice_area[f] * np.float32(pairs))
            gx = (pull[f, 0] - along * normals[f, 0]) * scale
            gy = (pull[f, 1] - along * normals[f, 1]) * scale
            gz = (pull[f, 2] - along * normals[f, 2]) * scale
            ux, uy, uz = (
                vertices[b, 0] - vertices[a, 0],
                vertices[b, 1] - vertices[a, 1],
                vertices[b, 2] - vertices[a, 2],
            )
            vx, vy, vz = (
                vertices[c, 0] - vertices[a, 0],
                vertices[c, 1] - vertices[a, 1],
                vertices[c, 2] - vertices[a, 2],
            )
            # n = u x v: a change du of u changes pull . n by du . (v x pull), one of v by dv . (pull x u).
            bx, by, bz = vy * gz - vz * gy, vz * gx - vx * gz, vx * gy - vy * gx
            cx, cy, cz = gy * uz - gz * uy, gz * ux - gx * uz, gx * uy - gy * ux
            if low <= b < high:
                gradient[b, 0] += bx
                gradient[b, 1] += by
                gradient[b, 2] += bz
            if low <= c < high:
                gradient[c, 0] += cx
                gradient[c, 1] += cy
                gradient[c, 2] += cz
            if low <= a < high:
                gradient[a, 0] -= bx + cx
                gradient[a, 1] -= by + cy
                gradient[a, 2] -= bz + cz
    return sums.sum() / pairs, gradient
