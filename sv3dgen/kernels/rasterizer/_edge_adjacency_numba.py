"""Edges and their faces by counting sort, on a CPU."""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
from numba import prange

from sv3dgen.compiling.kernel import kernel


@kernel(parallel=True)
@no_type_check
def edge_adjacency_numba(faces):
    """A bucket for each lower vertex, sorted by (higher vertex, face): both in one number, the face in its low bits."""
    num_faces = len(faces)
    bits = 0
    while num_faces >> bits:
        bits += 1
    num_vertices = faces.max() + 1 if num_faces else 0
    start = np.zeros(num_vertices + 1, np.int64)
    for f in range(num_faces):
        for k in range(3):
            a, b = faces[f, k], faces[f, (k + 1) % 3]
            if a != b:
                start[min(a, b) + 1] += 1
    start = np.cumsum(start)
    fill = start.copy()
    key = np.empty(start[num_vertices], np.int64)
    for f in range(num_faces):
        for k in range(3):
            a, b = faces[f, k], faces[f, (k + 1) % 3]
            if a != b:
                key[fill[min(a, b)]] = max(a, b) << bits | f
                fill[min(a, b)] += 1

    edge_start = np.zeros(num_vertices + 1, np.int64)
    for v in prange(num_vertices):
        edge_start[v + 1] = _sort_and_count(key[start[v] : start[v + 1]], bits)
    edge_start = np.cumsum(edge_start)
    vertices = np.empty((edge_start[num_vertices], 2), np.int64)
    pairs = np.empty((edge_start[num_vertices], 2), np.int64)
    face = (1 << bits) - 1
    for v in prange(num_vertices):
        e, i = edge_start[v], start[v]
        while i < start[v + 1]:
            other = key[i] >> bits
            paired = i + 1 < start[v + 1] and key[i + 1] >> bits == other
            vertices[e, 0], vertices[e, 1] = v, other
            pairs[e, 0], pairs[e, 1] = key[i] & face, key[i + 1] & face if paired else -1
            e, i = e + 1, i + 2 if paired else i + 1
    return vertices, pairs


@kernel()
@no_type_check
def _sort_and_count(key, bits):
    """Sort a bucket in place and count its edges."""
    if len(key) > 32:
        key.sort()
    for i in range(1, len(key)):
        moved, j = key[i], i
        while j > 0 and key[j - 1] > moved:
            key[j] = key[j - 1]
            j -= 1
        key[j] = moved
    count, i = 0, 0
    while i < len(key):
        i += 2 if i + 1 < len(key) and key[i] >> bits == key[i + 1] >> bits else 1
        count += 1
    return count
