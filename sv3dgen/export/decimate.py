"""Fewer faces by quadric edge collapse, with the surface kept closed."""

import fast_simplification
import numpy as np

from sv3dgen.export.clean import distinct_corners, without_fins, without_unused
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.topology import from_numpy, split_crowded

# How greedily edges are taken, from the best triangles to the surest to arrive.
AGGRESSION = (3.0, 5.0, 7.0, 9.0)
TOLERANCE = 0.02


def decimate(mesh: Mesh, num_faces: int) -> Mesh:
    """Collapse edges until `num_faces` are left, within 2 % where the shape allows it; a smaller mesh stays as it is.

    Quadric collapse (Garland and Heckbert 1997) may pinch thin walls, so that four faces meet in one edge; those edges
    are cut afterwards, and a closed mesh stays a closed manifold.
    """
    if len(mesh.faces) <= num_faces:
        return mesh
    vertices, faces = mesh.vertices.numpy(), mesh.faces.numpy().astype(np.int32)
    for aggression in AGGRESSION:
        found = fast_simplification.simplify(vertices, faces, target_count=num_faces, agg=aggression)
        fewer_vertices, fewer = found[0], found[1]
        if len(fewer) <= num_faces * (1 + TOLERANCE):
            break
    fewer = without_fins(fewer[distinct_corners(fewer)].astype(np.int64))
    return from_numpy(*without_unused(*split_crowded(fewer_vertices.astype(np.float64), fewer)))
