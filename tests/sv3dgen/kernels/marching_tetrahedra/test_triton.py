"""The Triton version of marching tetrahedra against the reference: the same faces, positions, and gradients."""

import torch
from triton_case import rivals

from sv3dgen.kernels.marching_tetrahedra.march import marching_tets
from sv3dgen.meshes.tet_grid import bcc_grid
from tests.sv3dgen.kernels.marching_tetrahedra.test_march import indices, jittered


def test_triton_equals_the_reference_in_value_and_gradient(triton_device):
    sdf, positions, grid = jittered()
    results = []
    for backend, device, dtype in rivals(triton_device):
        leaves = [tensor.to(device, dtype).requires_grad_() for tensor in (sdf, positions)]
        mesh = marching_tets(*leaves, *(part.to(device) for part in indices(grid)), backend=backend)
        pull = torch.randn(mesh.vertices.shape, generator=torch.Generator().manual_seed(1)).to(device)
        pulled = torch.autograd.grad((mesh.vertices * pull).sum(), leaves)
        results.append([mesh.faces.cpu(), *(part.detach().cpu().float() for part in (mesh.vertices, *pulled))])
    (faces, *expected), (actual_faces, *actual) = results
    assert len(faces) > 1000 and torch.equal(actual_faces, faces)
    for e, a in zip(expected, actual, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-3, atol=1e-4)


def test_every_pattern_of_exact_zeros_and_signs_has_the_reference_s_faces(triton_device):
    grid = bcc_grid((-0.5,) * 3, (0.5,) * 3, 0.2)
    sdf = torch.randint(-2, 3, (len(grid.vertices),), generator=torch.Generator().manual_seed(0)).float()
    expected = marching_tets(sdf, grid.vertices, *indices(grid), backend="torch")
    there = [tensor.to(triton_device) for tensor in (sdf, grid.vertices, *indices(grid))]
    actual = marching_tets(*there, backend="triton")
    assert torch.equal(actual.faces.cpu(), expected.faces)
    torch.testing.assert_close(actual.vertices.cpu(), expected.vertices)


def test_a_grid_without_a_surface_has_none(triton_device):
    grid = bcc_grid((-0.5,) * 3, (0.5,) * 3, 0.25).to(triton_device)
    sdf = torch.ones(len(grid.vertices), device=triton_device).requires_grad_()
    mesh = marching_tets(sdf, grid.vertices, *indices(grid), backend="triton")
    mesh.vertices.sum().backward()
    assert mesh.faces.shape == mesh.vertices.shape == (0, 3)
    assert sdf.grad is not None and (sdf.grad == 0).all()
