import torch

from sv3dgen.export.moved_surface import between, way_back
from sv3dgen.meshes.mesh import Mesh


def test_points_of_the_moved_surface_go_back_with_their_vertices():
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    original = Mesh(corners, faces)
    moves = torch.tensor([[0, 0, 0.1], [0, 0, 0.2], [0, 0, 0.3], [0, 0, 0.4]])
    back = way_back(Mesh(corners + moves, faces), original)
    torch.testing.assert_close(back(corners + moves), corners)
    near = torch.tensor([[0.9, 0.1, 0.2]])
    torch.testing.assert_close(back(near), near - moves[1])
    assert way_back(original, original)(near) is near


def test_values_between_vertices_are_those_of_the_nearest_ones():
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]])
    values = torch.tensor([[1.0, 0], [4, 0], [7, 0], [100, 9]])
    at = between(Mesh(corners, torch.tensor([[0, 1, 2], [1, 3, 2]])), values)
    torch.testing.assert_close(at(corners[:3]), values[:3], atol=1e-4, rtol=0)
    middle = at(torch.tensor([[0.5, 0.5, 0]]))  # as far from the first three
    torch.testing.assert_close(middle, values[:3].mean(0, keepdim=True))
