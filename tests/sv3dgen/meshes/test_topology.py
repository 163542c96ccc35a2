"""Closedness and its repair, on meshes small enough to count by hand."""

import numpy as np
import pytest
import torch
import trimesh

from sv3dgen.export.clean import clean, without_fins
from sv3dgen.meshes.mesh import Mesh, face_normals
from sv3dgen.meshes.topology import (
    components,
    euler_number_of_largest,
    fill_holes,
    from_numpy,
    is_closed,
    split_crowded,
    twins,
)

CORNERS = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
TRIANGLES = np.array([t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))])


def cube(low=(0.0, 0.0, 0.0), size=1.0):
    return CORNERS * size + np.array(low), TRIANGLES


def together(*parts):
    shifts = np.cumsum([0] + [len(vertices) for vertices, _ in parts])
    faces = [faces + shift for (_, faces), shift in zip(parts, shifts, strict=False)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(faces)


def welded(vertices, faces):
    unique, inverse = np.unique(vertices, axis=0, return_inverse=True)
    return unique, inverse.reshape(-1)[faces]


def volume(mesh: Mesh) -> float:
    return float((mesh.vertices[mesh.faces[:, 0]] * face_normals(mesh)).sum() / 6)


def num_parts(faces) -> int:
    _, label = components(int(faces.max()) + 1, np.concatenate([faces[:, :2], faces[:, 1:]]))
    return len(np.unique(label[faces]))


def test_cube_is_closed_and_a_cube_without_a_face_is_not():
    vertices, faces = cube()
    assert is_closed(from_numpy(vertices, faces))
    assert not is_closed(from_numpy(vertices, faces[1:]))
    assert not is_closed(from_numpy(vertices, faces[:0]))


def test_closedness_is_judged_after_merging_positions():
    vertices, faces = cube()
    assert is_closed(from_numpy(vertices[faces.reshape(-1)], np.arange(faces.size).reshape(-1, 3)))


def test_a_face_turned_over_is_not_closed():
    vertices, faces = cube()
    faces = faces.copy()
    faces[0] = faces[0, ::-1]
    assert not is_closed(from_numpy(vertices, faces))


def test_twins_are_the_same_edge_the_other_way_round():
    _, faces = cube()
    twin = twins(faces)
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    assert (start[twin] == end).all() and (end[twin] == start).all() and (twin[twin] == np.arange(36)).all()


@pytest.mark.parametrize("low", [(1.0, 1.0, 0.0), (1.0, 1.0, 1.0)], ids=["common edge", "common corner"])
@pytest.mark.parametrize("inside_out", [False, True])
def test_touching_cubes_are_taken_apart(low, inside_out):
    vertices, faces = welded(*together(cube(), cube(low)))
    faces = faces[:, ::-1] if inside_out else faces
    split_vertices, split_faces = split_crowded(vertices, faces)
    assert is_closed(from_numpy(split_vertices, split_faces))
    if not inside_out:  # two solids; of two cavities it is the material between them that is kept together
        assert len(split_faces) == 24
        assert num_parts(split_faces) == 2
        assert volume(from_numpy(split_vertices, split_faces)) == pytest.approx(2.0, abs=0.1)


def test_a_neck_of_two_edges_gets_middle_vertices():
    # Two tetrahedra without one side each, joined along the slit between two edges that run from 0 to 1.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0.5, 1, 0.3], [0.5, 1, -0.3], [0.5, -1, 0.3], [0.5, -1, -0.3]])
    ring = np.array([[0, 1, 2], [1, 0, 3], [0, 2, 3], [1, 3, 2], [1, 0, 4], [0, 1, 5], [0, 5, 4], [1, 4, 5]])
    split_vertices, split_faces = split_crowded(vertices.astype(float), ring[:, ::-1])
    assert is_closed(from_numpy(split_vertices, split_faces))


def test_holes_are_filled_with_outward_faces():
    vertices, faces = cube()
    filled = from_numpy(*fill_holes(vertices, faces[2:]))
    assert is_closed(filled)
    assert volume(filled) == pytest.approx(1.0)


def test_fins_vanish_and_what_remains_is_closed():
    vertices, faces = cube()
    fin = np.array([[0, 3, 5], [3, 0, 5]])
    kept = without_fins(np.concatenate([fin, faces]))
    assert len(kept) == 12 and is_closed(from_numpy(vertices, kept))


def test_clean_drops_loose_parts_and_pockets_but_keeps_large_ones():
    pocket_vertices, pocket_faces = cube((0.25, 0.25, 0.25), 0.5)
    crumb, second = cube((3.0, 0.0, 0.0), 0.1), cube((3.0, 0.0, 0.0), 0.6)
    mesh = clean(from_numpy(*together(cube(), (pocket_vertices, pocket_faces[:, ::-1]), crumb)))
    assert len(mesh.faces) == 12 and len(mesh.vertices) == 8 and volume(mesh) == pytest.approx(1.0)
    assert len(clean(from_numpy(*together(cube(), second))).faces) == 24


def test_clean_merges_soups_and_drops_collapsed_faces():
    vertices, faces = cube()
    soup = vertices[faces.reshape(-1)]
    triangles = np.concatenate([np.arange(36).reshape(-1, 3), [[0, 0, 1]]])
    mesh = clean(from_numpy(soup, triangles))
    assert len(mesh.vertices) == 8 and len(mesh.faces) == 12 and is_closed(mesh)


def test_clean_of_nothing_is_nothing():
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert len(clean(empty).faces) == 0


def test_the_euler_number_is_that_of_the_largest_part():
    ring, ball = trimesh.creation.torus(0.4, 0.1), trimesh.creation.icosphere(subdivisions=1)
    both = trimesh.util.concatenate([ball, ring])
    mesh = Mesh(torch.tensor(both.vertices.tolist()), torch.tensor(both.faces.tolist()))
    assert len(ring.faces) > len(ball.faces) and euler_number_of_largest(mesh) == 0
    alone = Mesh(torch.tensor(ball.vertices.tolist()), torch.tensor(ball.faces.tolist()))
    assert euler_number_of_largest(alone) == 2
    assert euler_number_of_largest(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))) == 0
