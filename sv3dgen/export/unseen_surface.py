"""Surface that no view has seen: found by z-buffer, smoothed, and colored on from its seen border.

A field says something everywhere, but where nothing supervised it that is noise: speckles, and wrinkles of the shape.
"""

from dataclasses import replace

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Bool, Float
from scipy.sparse.linalg import splu
from torch import Tensor

from sv3dgen.meshes.mesh import Mesh, face_normals, vertex_normals
from sv3dgen.renderers.unseen import best_facing, in_sight
from sv3dgen.views.cameras import Cameras

DEPTH_PX = 512  # of the z-buffer
GRAZING = 0.15  # cosine to a camera: below it a view tells nothing, and the z-buffer may say either
ROUNDS = 10  # of smoothing
SHRINK, SWELL = 0.5, -0.53  # Taubin 1995: by turns, so that bumps go and the volume stays
OWN = 1e-4  # weight of a vertex's own color: it decides where nothing seen borders on it


def seen_vertices(mesh: Mesh, cameras: Cameras) -> Bool[Tensor, " vertices"]:
    """Whether some camera has a vertex in sight and looks at the surface's outside there. All on the CPU."""
    in_sights = in_sight(mesh.vertices, cameras, mesh, depth_px=DEPTH_PX)
    return best_facing(mesh.vertices, vertex_normals(mesh), cameras.positions, in_sights) > GRAZING


def unseen_share(mesh: Mesh, seen: Bool[Tensor, " vertices"]) -> float:
    """Share of the surface's area that is unseen; of a face, as many thirds as it has unseen corners."""
    area = face_normals(mesh).norm(dim=1)
    return float((area * (~seen)[mesh.faces].float().mean(1)).sum() / area.sum())


def smoothed_unseen(mesh: Mesh, seen: Bool[Tensor, " vertices"]) -> Mesh:
    """The mesh with its unseen vertices smoothed a little; seen ones stay where they are."""
    average = _averages(mesh)
    moving = (~seen).numpy()[:, None]
    points = mesh.vertices.double().numpy()
    for _ in range(ROUNDS):
        for step in (SHRINK, SWELL):
            points = np.where(moving, points + step * (average @ points - points), points)
    return replace(mesh, vertices=torch.from_numpy(points).to(mesh.vertices))


def continued_colors(
    mesh: Mesh, seen: Bool[Tensor, " vertices"], colors: Float[Tensor, "vertices 3"]
) -> Float[Tensor, "vertices 3"]:
    """Vertex colors, those of unseen vertices harmonic: each the mean of its neighbors', the seen ones as they are.

    Unseen surface that borders on nothing seen keeps about the mean of its own colors.
    """
    if bool(seen.all()):
        return colors
    free, fixed = np.flatnonzero(~seen.numpy()), np.flatnonzero(seen.numpy())
    own = colors.double().numpy()
    laplace = scipy.sparse.csr_array(scipy.sparse.eye_array(len(own)) - _averages(mesh))[free]
    system = laplace[:, free] + OWN * scipy.sparse.eye_array(len(free))
    found = splu(system.tocsc()).solve(OWN * own[free] - laplace[:, fixed] @ own[fixed])
    filled = colors.clone()
    filled[torch.from_numpy(free)] = torch.from_numpy(found).to(colors)
    return filled.clamp(0, 1)


def _averages(mesh: Mesh) -> scipy.sparse.csr_array:
    """The matrix [vertices, vertices] that takes the mean over each vertex's neighbors, nearer ones counting more."""
    edges = mesh.edges.vertices.numpy()
    length = (mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]]).norm(dim=1).double().numpy()
    weight = 1 / np.maximum(length, 1e-9 + 1e-3 * length.mean())
    rows, cols = np.concatenate([edges, edges[:, ::-1]]).T
    links = scipy.sparse.csr_array((np.concatenate([weight, weight]), (rows, cols)), shape=(len(mesh.vertices),) * 2)
    total = links.sum(axis=1)
    return scipy.sparse.csr_array(scipy.sparse.diags_array(1 / np.maximum(total, 1e-12)) @ links)
