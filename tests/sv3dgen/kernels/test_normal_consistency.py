import pytest
import torch
import trimesh

from sv3dgen.kernels.normal_consistency import normal_consistency
from sv3dgen.kernels.rasterizer.edge_adjacency import edge_adjacency

BACKENDS = pytest.mark.parametrize("backend", ["torch", "numba"])
VERTICES = torch.tensor([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
FACES = torch.tensor(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]]
    + [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)
PAIRS = edge_adjacency(FACES).faces


def crumpled_sphere() -> tuple[torch.Tensor, torch.Tensor]:
    sphere = trimesh.creation.icosphere(subdivisions=2)
    noise = 0.05 * torch.randn(len(sphere.vertices), 3, generator=torch.Generator().manual_seed(0))
    return torch.tensor(sphere.vertices.tolist()) + noise, torch.tensor(sphere.faces.tolist())


@BACKENDS
def test_twelve_of_a_cubes_eighteen_edges_turn_by_90_degrees(backend):
    assert len(PAIRS) == 18
    assert normal_consistency(VERTICES, FACES, PAIRS, backend=backend).item() == pytest.approx(12 / 18)


@BACKENDS
def test_scale_does_not_matter(backend):
    small = normal_consistency(VERTICES * 1e-3, FACES, PAIRS, backend=backend)
    torch.testing.assert_close(small, normal_consistency(VERTICES, FACES, PAIRS, backend=backend))


@BACKENDS
def test_slivers_and_empty_faces_do_not_count(backend):
    """A cube whose corner 0 is pulled into its neighbor: faces with next to no area, and one with none."""
    vertices = VERTICES.clone()
    vertices[0] = vertices[1] - torch.tensor([0.0, 0.0, 1e-7])
    vertices[2] = vertices[6]
    normal_consistency(vertices.requires_grad_(), FACES, PAIRS, backend=backend).backward()
    assert vertices.grad is not None and vertices.grad.isfinite().all()
    assert vertices.grad.abs().max() < 10


@BACKENDS
def test_nothing_to_compare_is_zero(backend):
    none = torch.zeros(0, 2, dtype=torch.long)
    assert normal_consistency(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long), none, backend=backend) == 0
    flat = torch.zeros(3, 3, requires_grad=True)
    value = normal_consistency(flat, torch.tensor([[0, 1, 2], [0, 2, 1]]), torch.tensor([[0, 1]]), backend=backend)
    value.backward()
    assert value == 0 and flat.grad is not None and flat.grad.abs().max() == 0


@BACKENDS
def test_borders_count_nothing(backend):
    open_cube = FACES[:-2]
    pairs = edge_adjacency(open_cube).faces
    assert (pairs < 0).any()
    value = normal_consistency(VERTICES, open_cube, pairs, backend=backend)
    inner = normal_consistency(VERTICES, open_cube, pairs[pairs[:, 1] >= 0], backend=backend)
    torch.testing.assert_close(value, inner)


def test_reference_gradient_is_right():
    vertices, faces = crumpled_sphere()
    pairs = edge_adjacency(faces).faces
    inputs = vertices.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: normal_consistency(v, faces, pairs, backend="torch"), inputs)


def test_numba_equals_the_reference():
    vertices, faces = crumpled_sphere()
    pairs = edge_adjacency(faces).faces
    found = []
    for backend in ("torch", "numba"):
        leaf = vertices.clone().requires_grad_()
        value = 3 * normal_consistency(leaf, faces, pairs, smallest_share=0.5, backend=backend)
        value.backward()
        found.append((value.detach(), leaf.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)
