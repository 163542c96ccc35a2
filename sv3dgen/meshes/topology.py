"""Which faces meet at which edge, and the repair that makes every edge meet exactly two.

A half-edge is one side of one face: half-edge `3 f + k` runs from corner k of face f to its corner k + 1. Two
half-edges are twins when they are the same edge run through in opposite directions. A mesh is closed when every
half-edge has a twin.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sv3dgen.meshes.mesh import Mesh

APART = 0.02  # how far a split vertex moves towards its own faces, as a share of the way to their center


def components(num_nodes: int, links: Int[ndarray, "links 2"]) -> tuple[int, Int[ndarray, " nodes"]]:
    """Connected components of a graph: how many, and the component of each node."""
    weights = np.ones(len(links), dtype=bool)
    graph = coo_array((weights, (links[:, 0], links[:, 1])), shape=(num_nodes, num_nodes))
    count, labels = connected_components(graph, directed=False)
    return int(count), labels


def half_edges(faces: Int[ndarray, "faces 3"]) -> tuple[Int[ndarray, " halves"], Int[ndarray, " halves"]]:
    """Start and end vertex of every half-edge."""
    return faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)


def twins(
    faces: Int[ndarray, "faces 3"], vertices: Float[ndarray, "vertices 3"] | None = None
) -> Int[ndarray, " halves"]:
    """The twin of each half-edge, or -1 where there is none.

    Where more than two faces meet in an edge, `vertices` decides: faces are paired around the edge so that the solid
    between them is kept together. Without `vertices`, such half-edges get -1.
    """
    start, end = half_edges(faces)
    low, high = np.minimum(start, end), np.maximum(start, end)
    key = low * (faces.max(initial=0) + 1) + high
    order = np.argsort(key, kind="stable")
    _, first, count = np.unique(key[order], return_index=True, return_counts=True)
    twin = np.full(len(key), -1)
    pairs = order[first[count == 2][:, None] + np.arange(2)]
    opposite = start[pairs[:, 0]] == end[pairs[:, 1]]
    left, right = pairs[opposite].T
    twin[left], twin[right] = right, left
    if vertices is not None:
        for begin, number in zip(first[count > 2], count[count > 2], strict=True):
            pair_around(order[begin : begin + number], start, end, faces, vertices, twin)
    return twin


def pair_around(group, start, end, faces, vertices, twin) -> None:
    """Pair the half-edges `group` of one crowded edge by their faces' angle around it; writes into `twin`."""
    low, high = sorted((start[group[0]], end[group[0]]))
    axis = vertices[high] - vertices[low]
    axis = axis / max(np.linalg.norm(axis), 1e-30)
    opposite = vertices[faces[group // 3, (group + 2) % 3]] - vertices[low]
    first = opposite[0] - axis * (opposite[0] @ axis)
    angle = np.arctan2(opposite @ np.cross(axis, first), opposite @ first)
    rising = start[group] == low
    # With outward normals the solid lies on the side of falling angles of a face that runs low to high, so each of
    # those is paired with the nearest free one before it. Taken like brackets: falling ones open, rising ones close.
    ring = np.lexsort((rising, angle))
    waiting: list[int] = []
    for half in np.concatenate([ring, ring]):
        if twin[group[half]] >= 0 or half in waiting:
            continue
        if not rising[half]:
            waiting.append(half)
        elif waiting:
            other = waiting.pop()
            twin[group[half]], twin[group[other]] = group[other], group[half]


def face_neighbors(faces: Int[ndarray, "faces 3"]) -> Int[ndarray, "faces 3"]:
    """The face across each side of each face, or -1 at a border and at edges of more than two faces."""
    twin = twins(faces)
    return np.where(twin >= 0, twin // 3, -1).reshape(-1, 3)


def euler_number_of_largest(mesh: Mesh) -> int:
    """Of the closed component that has most faces: 2, less 2 for each handle or hole through it; 0 of no faces."""
    faces = mesh.faces.cpu().numpy()
    if len(faces) == 0:
        return 0
    _, labels = components(len(mesh.vertices), np.concatenate([faces[:, :2], faces[:, 1:]]))
    of_faces = labels[faces[:, 0]]
    largest = np.bincount(of_faces).argmax()
    return int((labels == largest).sum() - (of_faces == largest).sum() // 2)


def is_closed(mesh: Mesh) -> bool:
    """True if, after merging vertices of equal position, every edge lies in exactly two faces, run in opposite
    directions."""
    vertices, faces = mesh.vertices.numpy(), mesh.faces.numpy()
    if len(faces) == 0:
        return False
    _, merged = np.unique(vertices, axis=0, return_inverse=True)
    return bool((twins(merged.reshape(-1)[faces]) >= 0).all())


def split_crowded(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]
) -> tuple[Float[ndarray, "split 3"], Int[ndarray, "more 3"]]:
    """Cut a mesh at edges of more than two faces and at vertices where several surfaces touch.

    Every such vertex becomes one vertex for each surface through it, moved a little into that surface, so that the
    surfaces no longer share a point. A closed mesh becomes a closed manifold (Gueziec et al. 2001, "Cutting and
    stitching"); a few faces are added where surfaces are joined by a neck of two edges.
    """
    twin = twins(faces, vertices)
    half = np.flatnonzero(twin >= 0)
    after = half - half % 3 + (half + 1) % 3
    twin_after = twin[half] - twin[half] % 3 + (twin[half] + 1) % 3
    # A half-edge's first corner is the corner after its twin, and the other way round.
    links = np.concatenate([np.stack([half, twin_after], 1), np.stack([after, twin[half]], 1)])
    count, corner_vertex = components(faces.size, links)
    source = np.zeros(count, dtype=faces.dtype)
    source[corner_vertex] = faces.reshape(-1)
    new_faces = corner_vertex.reshape(-1, 3).astype(faces.dtype)
    new_vertices = vertices[source]
    shared = np.bincount(source, minlength=len(vertices))[source] > 1
    if shared.any():
        centers = np.repeat(vertices[faces].mean(axis=1), 3, axis=0)
        total = np.stack([np.bincount(corner_vertex, centers[:, i], count) for i in range(3)], axis=1)
        center = total / np.bincount(corner_vertex, minlength=count)[:, None]
        new_vertices = new_vertices + np.where(shared[:, None], APART * (center - new_vertices), 0.0)
    return split_parallel(new_vertices.astype(vertices.dtype), new_faces)


def split_parallel(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]
) -> tuple[Float[ndarray, "split 3"], Int[ndarray, "more 3"]]:
    """Give edges that join the same two vertices (a neck of two edges) a middle vertex each, so that no two are the
    same."""
    while True:
        start, end = half_edges(faces)
        twin = twins(faces, vertices)
        crowded = np.flatnonzero((twins(faces) < 0) & (twin >= 0))
        if len(crowded) == 0:
            return vertices, faces
        left = crowded[0]
        right = twin[left]
        pair = np.array([left, right])
        center = vertices[faces[pair // 3]].mean(axis=(0, 1))
        middle = 0.5 * (vertices[start[left]] + vertices[end[left]])
        tips = faces[pair // 3, (pair + 2) % 3]
        new = len(vertices)
        halves = [[start[h], new, tip] for h, tip in zip(pair, tips, strict=True)]
        halves += [[new, end[h], tip] for h, tip in zip(pair, tips, strict=True)]
        vertices = np.concatenate([vertices, (middle + APART * (center - middle))[None].astype(vertices.dtype)])
        faces = np.concatenate([np.delete(faces, pair // 3, axis=0), np.array(halves, dtype=faces.dtype)])


def fill_holes(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]
) -> tuple[Float[ndarray, "filled 3"], Int[ndarray, "more 3"]]:
    """Close every border loop of a manifold mesh with a fan of faces around the loop's mean."""
    start, end = half_edges(faces)
    open_half = np.flatnonzero(twins(faces) < 0)
    if len(open_half) == 0:
        return vertices, faces
    count, loop = components(len(vertices), np.stack([start[open_half], end[open_half]], axis=1))
    used, loop = np.unique(loop[start[open_half]], return_inverse=True)
    total = np.stack([np.bincount(loop, vertices[start[open_half], i]) for i in range(3)], axis=1)
    centers = (total / np.bincount(loop)[:, None]).astype(vertices.dtype)
    fans = np.stack([end[open_half], start[open_half], len(vertices) + loop], axis=1).astype(faces.dtype)
    return np.concatenate([vertices, centers]), np.concatenate([faces, fans])


def from_numpy(vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]) -> Mesh:
    """A mesh of float32 vertices and int64 faces."""
    return Mesh(
        torch.from_numpy(np.ascontiguousarray(vertices, dtype=np.float32)),
        torch.from_numpy(np.ascontiguousarray(faces, dtype=np.int64)),
    )
