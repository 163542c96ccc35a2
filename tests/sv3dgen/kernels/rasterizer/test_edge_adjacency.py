import pytest
import torch
import trimesh

from sv3dgen.kernels.rasterizer.edge_adjacency import edge_adjacency

BACKENDS = ["torch", "numba"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_edges_of_a_tetrahedron_without_its_last_face(backend):
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3]])
    edges = edge_adjacency(faces, backend=backend)
    assert edges.vertices.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert edges.faces.tolist() == [[0, 1], [0, -1], [1, -1], [0, 2], [1, 2], [2, -1]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_edge_of_three_faces_is_listed_twice_and_a_needle_has_no_edge_to_itself(backend):
    faces = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 0, 4], [5, 5, 6]])
    edges = edge_adjacency(faces, backend=backend)
    shared = edges.faces[(edges.vertices == torch.tensor([0, 1])).all(1)]
    assert shared.tolist() == [[0, 1], [2, -1]]
    assert (edges.vertices[:, 0] < edges.vertices[:, 1]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_closed_meshes_have_two_faces_at_every_edge(backend):
    sphere = trimesh.creation.icosphere(subdivisions=3)
    edges = edge_adjacency(torch.tensor(sphere.faces, dtype=torch.int32), backend=backend)
    assert len(edges.vertices) == 3 * len(sphere.faces) // 2
    expected = {tuple(sorted(pair)) for pair in sphere.face_adjacency.tolist()}
    assert {tuple(pair) for pair in edges.faces.tolist()} == expected
    assert len(edge_adjacency(torch.zeros(0, 3, dtype=torch.int64), backend=backend).vertices) == 0


def test_numba_equals_the_reference_on_random_faces():
    # Few vertices: edges of many faces, and buckets long enough for both ways of sorting.
    faces = torch.randint(0, 12, (400, 3), generator=torch.Generator().manual_seed(0))
    expected, actual = (edge_adjacency(faces, backend=b) for b in BACKENDS)
    assert torch.equal(actual.vertices, expected.vertices)
    assert torch.equal(actual.faces, expected.faces)
