"""Kernels make their tensors on the device of their inputs, whatever torch's default is.

The default is set to a device whose tensors hold no values: one made there cannot be computed with. Without a GPU, this
finds what would be left on the CPU with one.
"""

import pytest
import torch
import trimesh
from torch import Tensor

from sv3dgen.kernels.backend import Backend
from sv3dgen.kernels.hash_grid.encode import hash_encode, hash_encode_gradient, hash_grid_spec
from sv3dgen.kernels.marching_tetrahedra.march import marching_tets
from sv3dgen.kernels.normal_consistency import normal_consistency
from sv3dgen.kernels.rasterizer.antialias import antialiased_coverage
from sv3dgen.kernels.rasterizer.edge_adjacency import edge_adjacency
from sv3dgen.kernels.rasterizer.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.kernels.rasterizer.texture import Appearance, build_pyramid, shade
from sv3dgen.kernels.ray_marching.march import accumulate, march, prune, render_weights
from sv3dgen.meshes.tet_grid import bcc_grid, neighbor_mean, vertex_neighbors
from sv3dgen.views.cameras import look_at_origin

CPU = torch.device("cpu")


def gradients(value: Tensor, *leaves: Tensor) -> list[Tensor]:
    return [value.detach(), *torch.autograd.grad(value.sum(), leaves, retain_graph=True)]


def encoding(device: torch.device, backend: Backend) -> list[Tensor]:
    spec = hash_grid_spec(levels=3, base_resolution=4, growth=1.6, log2_table_size=8)
    points = torch.linspace(0, 1, 60, device=device).reshape(20, 3).requires_grad_()
    table = torch.linspace(0, 1, 2 * spec.entries, device=device).reshape(-1, 2).requires_grad_()
    encoded = hash_encode(points, table, spec, active_levels=2, backend=backend)
    slope = hash_encode_gradient(points, table, encoded.detach(), spec, backend=backend)
    return [*gradients(encoded, points, table), *gradients(slope, points, table)]


def rays(device: torch.device, backend: Backend) -> list[Tensor]:
    origins = torch.tensor([[0.0, 0.1, 2.0], [0.2, 0.3, 2.0], [3.0, 3.0, 3.0]], device=device)
    directions = torch.tensor([[0.0, 0.0, -1.0]], device=device).expand(3, 3)
    cells = torch.arange(64, device=device).reshape(4, 4, 4) % 3 > 0
    box = torch.tensor([[-0.5] * 3, [0.5] * 3], device=device)
    jitter = torch.zeros(3, device=device)
    found = march(origins, directions, cells, box, step_size=0.05, jitter=jitter, backend=backend)
    density = (5 * found.t).requires_grad_()
    keep = prune(density, found.delta, found.offsets, backend=backend)
    weights = render_weights(density, found.delta, found.offsets, backend=backend)
    sums = accumulate(weights, found.t[:, None].expand(-1, 3), found.offsets, backend=backend)
    return [found.t, found.offsets, found.ray_index, keep, *gradients(sums, density)]


def picture(device: torch.device, backend: Backend) -> list[Tensor]:
    sphere = trimesh.creation.icosphere(subdivisions=1, radius=0.4)
    vertices = torch.tensor(sphere.vertices, dtype=torch.float32, device=device).requires_grad_()
    faces = torch.tensor(sphere.faces, device=device)
    with CPU:
        camera = look_at_origin(torch.tensor([10.0]), torch.tensor([20.0]), distance=2.0, size_px=16).to(device)
    clip = clip_positions(camera, vertices)
    fragments, edges = rasterize(clip, faces, 16, 16, backend=backend), edge_adjacency(faces, backend=backend)
    view, row, col = (fragments.face_index >= 0).nonzero().unbind(1)
    face = fragments.face_index[view, row, col]
    corners = barycentrics(clip, faces, face, view, row, col, 16, 16, backend=backend)
    values = interpolate(vertices, faces, face, corners, backend=backend)
    coverage = antialiased_coverage(fragments, clip, faces, edges, backend=backend)
    pyramid = build_pyramid((torch.ones(3, 4, 4, device=device),), device)
    uv, texture = vertices.detach()[:, :2], torch.arange(len(faces), device=device) % 2 - 1
    look = Appearance(uv, faces, texture, pyramid, vertices.detach(), vertices.detach()[:, 0])
    shaded = shade(fragments.face_index, clip.detach(), faces, look, 2, backend=backend)
    assert build_pyramid((), device).texels.device == device
    return [fragments.depth, shaded, *gradients(values, vertices), *gradients(coverage, vertices)]


def surface(device: torch.device, backend: Backend) -> list[Tensor]:
    with CPU:
        grid = bcc_grid((-0.5,) * 3, (0.5,) * 3, 0.25).to(device)
    sdf = (grid.vertices.norm(dim=1) - 0.4).requires_grad_()
    mesh = marching_tets(sdf, grid.vertices, grid.tets, grid.edges, grid.tet_edges, backend=backend)
    others: Backend = "torch" if backend == "triton" else backend  # which have no Triton version
    pairs = edge_adjacency(mesh.faces, backend=backend).faces
    rough = normal_consistency(mesh.vertices, mesh.faces, pairs, backend=others)
    mean = neighbor_mean(grid.vertices, vertex_neighbors(grid), backend=backend)
    return [mean, *gradients(rough + mesh.vertices.sum(), sdf)]


def assert_alike(actual: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(actual, expected, strict=True):
        one, other = one.cpu().double(), other.double()
        torch.testing.assert_close(one, other, atol=2e-5 * float(other.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("case", [encoding, rays, picture, surface])
def test_references_stay_on_the_device_of_their_inputs(case):
    expected = case(CPU, "torch")
    with torch.device("meta"):
        actual = case(CPU, "torch")
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("case", [encoding, rays, picture, surface])
def test_triton_versions_stay_on_the_device_of_their_inputs(case, triton_device):
    expected = case(CPU, "torch")
    with torch.device("meta"):
        actual = case(triton_device, "triton")
    assert {one.device.type for one in actual} == {triton_device.type}
    assert_alike(actual, expected)


@pytest.mark.parametrize("case", [encoding, rays, picture, surface])
def test_what_auto_picks_agrees_with_the_reference(case, triton_device):
    assert_alike(case(triton_device, "auto"), case(CPU, "torch"))
