import math

import pytest
import torch

from sv3dgen.kernels.marching_tetrahedra.march import marching_tets
from sv3dgen.kernels.rasterizer.edge_adjacency import edge_adjacency
from sv3dgen.meshes.mesh import Mesh, face_normals
from sv3dgen.meshes.tet_grid import bcc_band, bcc_grid

BACKENDS = ["torch", "numba"]


def indices(grid):
    return grid.tets, grid.edges, grid.tet_edges


def signed_volume(mesh):
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def assert_closed_and_oriented(mesh):
    edges = edge_adjacency(mesh.faces)
    assert (edges.faces >= 0).all()
    assert len(edges.vertices) * 2 == len(mesh.faces) * 3
    sides = torch.stack([mesh.faces, mesh.faces.roll(-1, 1)], -1).reshape(-1, 2)
    assert len(sides.unique(dim=0)) == len(sides)  # consistently oriented: each direction of an edge occurs once


def surface_of(*grid, backend: str) -> Mesh:
    return Mesh(*marching_tets(*grid, backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sphere_has_its_area_volume_and_topology(backend):
    radius, cell = 0.4, 1 / 32
    grid = bcc_band((-0.5,) * 3, (0.5,) * 3, cell, lambda p: (p.norm(dim=-1) - radius).abs() < cell)
    mesh = surface_of(grid.vertices.norm(dim=-1) - radius, grid.vertices, *indices(grid), backend=backend)
    assert_closed_and_oriented(mesh)
    edges = edge_adjacency(mesh.faces).vertices
    assert len(mesh.vertices) - len(edges) + len(mesh.faces) == 2  # Euler
    assert len(mesh.faces.unique()) == len(mesh.vertices)
    assert signed_volume(mesh).item() == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.003)
    assert face_normals(mesh).norm(dim=-1).sum().item() / 2 == pytest.approx(4 * math.pi * radius**2, rel=0.003)
    assert (mesh.vertices.norm(dim=-1) - radius).abs().max() < 0.3 * cell**2 / radius  # bulge of a chord


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_signs_and_exact_zeros_still_give_a_closed_surface(backend):
    grid = bcc_grid((-0.5,) * 3, (0.5,) * 3, 0.2)
    generator = torch.Generator().manual_seed(0)
    sdf = torch.randint(-2, 3, (len(grid.vertices),), generator=generator).float()
    sdf[grid.vertices.abs().amax(-1) > 0.45] = 1.0  # the border of the grid is outside
    mesh = surface_of(sdf, grid.vertices, *indices(grid), backend=backend)
    assert mesh.vertices.isfinite().all()
    sides = torch.stack([mesh.faces, mesh.faces.roll(-1, 1)], -1).reshape(-1, 2)
    # Every side of a face has as many twins running back as running along.
    code = len(mesh.vertices)
    forth, back = sides[:, 0] * code + sides[:, 1], sides[:, 1] * code + sides[:, 0]
    assert torch.equal(forth.sort().values, back.sort().values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_tetrahedron_every_pattern(backend):
    positions = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    grid = [torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])]
    grid.append(torch.arange(6)[None])
    for pattern in range(16):
        inside = torch.tensor([bool(pattern >> i & 1) for i in range(4)])
        sdf = torch.where(inside, -1.0, 1.0)
        mesh = surface_of(sdf, positions, *grid, backend=backend)
        count = int(inside.sum())
        assert len(mesh.faces) == {0: 0, 1: 1, 2: 2, 3: 1, 4: 0}[count]
        if len(mesh.faces):
            outward = positions[~inside].mean(0) - positions[inside].mean(0)
            assert (face_normals(mesh) @ outward > 0).all()
            # The mid-sections have the area of a triangle, or of the whole parallelogram.
            loop = mesh.vertices if count != 2 else mesh.vertices[[0, 1, 3, 2]]
            polygon = sum(torch.linalg.cross(p, q) for p, q in zip(loop, loop.roll(-1, 0), strict=True)).norm()
            torch.testing.assert_close(face_normals(mesh).norm(dim=-1).sum(), polygon)


def test_gradients_of_the_reference():
    grid = bcc_grid((0.0,) * 3, (1.0,) * 3, 1)
    positions = grid.vertices.double()
    sdf = (positions - 0.4).norm(dim=-1) - 0.7

    def vertices(s, p):
        return marching_tets(s, p, *indices(grid), backend="torch").vertices

    assert len(vertices(sdf, positions)) > 10
    assert torch.autograd.gradcheck(vertices, (sdf.requires_grad_(), positions.requires_grad_()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_offset_of_the_distance_moves_the_surface_by_as_much(backend):
    cell = 1 / 24
    grid = bcc_grid((-0.5,) * 3, (0.5,) * 3, cell)
    offset = torch.zeros((), requires_grad=True)
    mesh = surface_of(grid.vertices.norm(dim=-1) - 0.3 - offset, grid.vertices, *indices(grid), backend=backend)
    radius = mesh.vertices.norm(dim=-1)
    (growth,) = torch.autograd.grad(radius.mean(), offset, retain_graph=True)
    assert growth.item() == pytest.approx(1.0, rel=0.01)
    (growth,) = torch.autograd.grad(signed_volume(mesh), offset)
    assert growth.item() == pytest.approx(4 * math.pi * 0.3**2, rel=0.01)


def jittered():
    """A rough sphere on a grid that is not regular: distances, positions, grid."""
    grid = bcc_grid((-0.5, -0.4, -0.6), (0.5,) * 3, 0.06)
    generator = torch.Generator().manual_seed(0)
    sdf = grid.vertices.norm(dim=-1) - 0.4 + 0.05 * torch.randn(len(grid.vertices), generator=generator)
    return sdf, grid.vertices + 0.005 * torch.randn(grid.vertices.shape, generator=generator), grid


def test_numba_equals_the_reference_in_value_and_gradient():
    sdf, positions, grid = jittered()
    results = []
    for backend in BACKENDS:
        leaves = sdf.clone().requires_grad_(), positions.clone().requires_grad_()
        mesh = surface_of(*leaves, *indices(grid), backend=backend)
        pull = torch.randn(mesh.vertices.shape, generator=torch.Generator().manual_seed(1))
        (mesh.vertices * pull).sum().backward()
        results.append((mesh.faces, mesh.vertices.detach(), leaves[0].grad, leaves[1].grad))
    (faces, *expected), (actual_faces, *actual) = results
    assert torch.equal(actual_faces, faces)
    for e, a in zip(expected, actual, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_surface(backend):
    grid = bcc_grid((0.0,) * 3, (1.0,) * 3, 0.5)
    sdf = torch.ones(len(grid.vertices), requires_grad=True)
    mesh = surface_of(sdf, grid.vertices, *indices(grid), backend=backend)
    mesh.vertices.sum().backward()
    assert len(mesh.vertices) == len(mesh.faces) == 0
    assert (sdf.grad == 0).all()
