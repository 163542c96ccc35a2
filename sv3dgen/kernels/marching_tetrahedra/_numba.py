"""The triangles of an isosurface, and where they cross the edges of the grid, on a CPU."""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
from numba import prange

from sv3dgen.compiling.kernel import kernel

CHUNK_BITS = 12  # tetrahedra and edges are counted in chunks of 4096, which threads then fill side by side

BLOCK_BITS = 10  # gradients of grid vertices belong to threads in interleaved blocks of 1024


@kernel(parallel=True)
@no_type_check
def surface_numba(inside, tets, edges, tet_edges, triangles):
    """Faces, and the two grid vertices of the edge under each surface vertex."""
    size = 1 << CHUNK_BITS
    tet_chunks, edge_chunks = len(tets) // size + 1, len(edges) // size + 1
    pattern = np.empty(len(tets), np.uint8)
    crossed = np.zeros(len(edges), np.bool_)
    faces_before = np.zeros(tet_chunks + 1, np.int64)
    for chunk in prange(tet_chunks):
        first, last = chunk * size, min((chunk + 1) * size, len(tets))
        for t in range(first, last):  # unsigned small integers throughout, so that this loop is vectorised
            pattern[t] = (
                inside[np.uint32(tets[t, 0])]
                | inside[np.uint32(tets[t, 1])] << np.uint8(1)
                | inside[np.uint32(tets[t, 2])] << np.uint8(2)
                | inside[np.uint32(tets[t, 3])] << np.uint8(3)
            )
        count = 0
        for t in range(first, last):
            if 0 < pattern[t] < 15:
                for which in range(2):
                    if triangles[pattern[t], which, 0] >= 0:
                        count += 1
                        for k in range(3):  # several threads may mark an edge, all alike
                            crossed[np.uint32(tet_edges[t, triangles[pattern[t], which, k]])] = True
        faces_before[chunk + 1] = count
    faces_before = np.cumsum(faces_before)

    vertices_before = np.zeros(edge_chunks + 1, np.int64)
    for chunk in prange(edge_chunks):
        vertices_before[chunk + 1] = crossed[chunk * size : (chunk + 1) * size].sum()
    vertices_before = np.cumsum(vertices_before)
    number = np.empty(len(edges), np.int32)  # of the surface vertex on an edge; only crossed edges have one
    ends = np.empty((vertices_before[-1], 2), np.int32)
    for chunk in prange(edge_chunks):
        n = vertices_before[chunk]
        for e in range(chunk * size, min((chunk + 1) * size, len(edges))):
            if crossed[e]:
                number[e], ends[n, 0], ends[n, 1] = n, edges[e, 0], edges[e, 1]
                n += 1

    faces = np.empty((faces_before[-1], 3), np.int64)
    for chunk in prange(tet_chunks):
        f = faces_before[chunk]
        for t in range(chunk * size, min((chunk + 1) * size, len(tets))):
            if 0 < pattern[t] < 15:
                for which in range(2):
                    if triangles[pattern[t], which, 0] >= 0:
                        for k in range(3):
                            faces[f, k] = number[np.uint32(tet_edges[t, triangles[pattern[t], which, k]])]
                        f += 1
    return faces, ends


@kernel(parallel=True)
@no_type_check
def crossings_numba(sdf, positions, ends):
    vertices = np.empty((len(ends), 3), np.float32)
    for n in prange(len(ends)):
        a, b = ends[n, 0], ends[n, 1]
        t = sdf[a] / (sdf[a] - sdf[b])
        for k in range(3):
            vertices[n, k] = positions[a, k] * (1 - t) + positions[b, k] * t
    return vertices


@kernel(parallel=True)
@no_type_check
def crossings_backward_numba(sdf, positions, ends, gradient, parts):
    """Each part owns some blocks of grid vertices and adds in the order of the crossings, whatever the threads."""
    to_sdf, to_positions = np.zeros(sdf.shape, np.float32), np.zeros(positions.shape, np.float32)
    for part in prange(parts):
        for n in range(len(ends)):
            a, b = ends[n, 0], ends[n, 1]
            owns_a = (a >> BLOCK_BITS) & (parts - 1) == part
            owns_b = (b >> BLOCK_BITS) & (parts - 1) == part
            if owns_a or owns_b:
                span = sdf[a] - sdf[b]
                t = sdf[a] / span
                along = np.float32(0)
                for k in range(3):
                    along += gradient[n, k] * (positions[b, k] - positions[a, k])
                    if owns_a:
                        to_positions[a, k] += gradient[n, k] * (1 - t)
                    if owns_b:
                        to_positions[b, k] += gradient[n, k] * t
                if owns_a:
                    to_sdf[a] += along * (1 - t) / span
                if owns_b:
                    to_sdf[b] += along * t / span
    return to_sdf, to_positions
