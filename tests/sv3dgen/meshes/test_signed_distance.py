import torch
import trimesh

from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.signed_distance import lattice_signed_distance


def as_mesh(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces))


def lattice(lower: torch.Tensor, cell: float, count: int) -> torch.Tensor:
    axis = torch.arange(count)
    return lower + cell * torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def test_box_matches_closed_form():
    half = torch.tensor([0.3, 0.2, 0.25])
    mesh = as_mesh(trimesh.creation.box(extents=(2 * half).tolist()))
    lower, cell, band = torch.tensor([-0.5, -0.5, -0.5]), 0.04, 0.1
    got = lattice_signed_distance(mesh, lower, cell, (26, 26, 26), band=band)
    beyond = lattice(lower, cell, 26).abs() - half
    expected = beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0)
    torch.testing.assert_close(got, expected.clamp(-band, band), atol=2e-6, rtol=0)


def test_sphere_is_within_its_facets():
    mesh = as_mesh(trimesh.creation.icosphere(subdivisions=4, radius=0.3))
    lower = torch.tensor([-0.4, -0.4, -0.4])
    got = lattice_signed_distance(mesh, lower, 0.02, (41, 41, 41), band=0.05)
    expected = (lattice(lower, 0.02, 41).norm(dim=-1) - 0.3).clamp(-0.05, 0.05)
    assert (got - expected).abs().max() < 1e-3  # a level-4 icosphere lies at most 0.0008 inside the sphere


def test_vertices_on_lattice_points_keep_the_sign():
    mesh = as_mesh(trimesh.creation.box(extents=(0.4, 0.4, 0.4)))  # faces and corners exactly on the lattice
    got = lattice_signed_distance(mesh, torch.tensor([-0.4, -0.4, -0.4]), 0.1, (9, 9, 9), band=0.3)
    assert got[4, 4, 4] < -0.19 and got[0, 0, 0] > 0.29
    inside = lattice(torch.tensor([-0.4, -0.4, -0.4]), 0.1, 9).abs().amax(-1) < 0.19
    assert (got[inside] < 0).all() and (got[~inside] > -1e-4).all()
