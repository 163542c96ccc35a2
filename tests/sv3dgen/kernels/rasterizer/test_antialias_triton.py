"""The Triton version of a mesh's coverage against the reference, value and gradient, and where edges are no edges."""

import pytest
import torch
import trimesh
from triton_case import rivals

from sv3dgen.kernels.rasterizer.antialias import antialiased_coverage
from sv3dgen.kernels.rasterizer.edge_adjacency import Edges, edge_adjacency
from sv3dgen.kernels.rasterizer.rasterize import Fragments, clip_positions, rasterize
from tests.sv3dgen.kernels.rasterizer.test_antialias import bordered, cameras, disc, tensors


def moved(fragments: Fragments, edges: Edges, device: torch.device) -> tuple[Fragments, Edges]:
    there = Fragments(*(tensor.to(device) for tensor in vars(fragments).values()))
    return there, Edges(edges.vertices.to(device), edges.faces.to(device))


def coverage(clip, faces, size_px, device):
    fragments, edges = moved(rasterize(clip.detach(), faces, size_px, size_px), edge_adjacency(faces), device)
    return antialiased_coverage(fragments, clip.to(device), faces.to(device), edges, backend="triton").cpu()


@pytest.mark.parametrize("views", [1, 3])
def test_triton_equals_the_reference_in_value_and_gradient(views, triton_device):
    fragments, clip, faces, edges, weight = bordered(views)
    results = []
    for backend, device, dtype in rivals(triton_device):
        leaf = clip.to(device, dtype).detach().requires_grad_()
        there, joined = moved(fragments, edges, device)
        value = antialiased_coverage(there, leaf, faces.to(device), joined, backend=backend)
        (pulled,) = torch.autograd.grad((value * weight.to(device)).sum(), leaf)
        results.append((value.detach().cpu().float(), pulled.cpu().float()))
    (expected, expected_gradient), (actual, actual_gradient) = results
    assert ((expected > 0) & (expected < 1)).sum() > 50 * views
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(actual_gradient, expected_gradient, rtol=1e-4, atol=1e-3)


def test_long_edges_are_followed_across_the_whole_frame_and_no_further(triton_device):
    for edge_px, column, expected in [(3.8, 3, 0.8), (4.2, 4, 0.2)]:
        x = 2 * edge_px / 8 - 1
        clip = torch.tensor([[[-90.0, -90.0, 0, 1], [x, -90.0, 0, 1], [x, 90.0, 0, 1], [-90.0, 90.0, 0, 1]]])
        actual = coverage(clip, torch.tensor([[0, 1, 2], [0, 2, 3]]), 8, triton_device)
        torch.testing.assert_close(actual[0, :, column], torch.full((8,), expected))
        assert (actual[0, :, :column] == 1).all() and (actual[0, :, column + 1 :] == 0).all()


def test_edges_behind_the_camera_are_ignored(triton_device):
    vertices, faces = tensors(trimesh.creation.icosphere(subdivisions=2, radius=0.4))
    behind = torch.tensor([[0.0, 0, 5], [0.1, 0, 5], [0, 0.1, 1]])
    clip = clip_positions(cameras(1, 32), torch.cat([vertices, behind])).requires_grad_()
    coverage(clip, torch.cat([faces, torch.tensor([[0, 1, 2]]) + len(vertices)]), 32, triton_device).sum().backward()
    assert clip.grad is not None and clip.grad.isfinite().all()
    assert (clip.grad[0, len(vertices) :] == 0).all() and clip.grad.abs().max() > 0


def test_nothing_in_view(triton_device):
    clip, faces = disc(3.0, 16)
    assert (coverage(clip + torch.tensor([5.0, 0, 0, 0]), faces, 16, triton_device) == 0).all()
    assert (coverage(clip, faces[:0], 16, triton_device) == 0).all()
