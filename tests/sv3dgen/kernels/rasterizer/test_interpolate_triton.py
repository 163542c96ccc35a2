"""The Triton versions of barycentric coordinates and interpolation against the reference, value and gradients."""

import pytest
import torch
from triton_case import rivals

from sv3dgen.kernels.rasterizer.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterizer.rasterize import clip_positions
from tests.sv3dgen.kernels.rasterizer.test_interpolate import HEIGHT, WIDTH, scene, small_problem


@pytest.mark.parametrize("channels", [1, 5, 8])
def test_triton_equals_the_reference_in_value_and_gradient(channels, triton_device):
    vertices, faces, cameras, (face, view, row, col) = scene(subdivisions=3)
    generator = torch.Generator().manual_seed(2)
    attributes = torch.rand(len(vertices), channels, generator=generator)
    weight_gradient = torch.randn(len(face), 3, generator=generator)
    value_gradient = torch.randn(len(face), channels, generator=generator)
    results = []
    for backend, device, dtype in rivals(triton_device):
        clip = clip_positions(cameras, vertices.float()).to(device, dtype).requires_grad_()
        leaf = attributes.to(device, dtype).requires_grad_()
        triangles, where, v, r, c = (tensor.to(device) for tensor in (faces, face, view, row, col))
        weights = barycentrics(clip, triangles, where, v, r, c, HEIGHT, WIDTH, backend=backend)
        values = interpolate(leaf, triangles, where, weights, backend=backend)
        loss = (values * value_gradient.to(device)).sum() + (weights * weight_gradient.to(device)).sum()
        pulled = torch.autograd.grad(loss, (clip, leaf))
        results.append([tensor.detach().cpu().double() for tensor in (weights, values, *pulled)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_attributes_are_computed_with_in_float32(dtype, triton_device):
    attributes = torch.tensor([[1.0], [2.0], [4.0]], dtype=dtype, device=triton_device).requires_grad_()
    faces = torch.tensor([[2, 0, 1]], device=triton_device)
    weights = torch.tensor([[0.5, 0.25, 0.25]], device=triton_device)
    values = interpolate(attributes, faces, faces[:, 0] * 0, weights, backend="triton")
    values.sum().backward()
    assert values.dtype == dtype and values.item() == 2.75
    assert attributes.grad is not None and attributes.grad.flatten().tolist() == [0.25, 0.25, 0.5]


def test_edge_on_triangles_give_finite_values_and_no_gradient(triton_device):
    clip = torch.tensor([[[0.0, 0, 0, 1], [1, 0, 0, 1], [2, 0, 0, 1]]], device=triton_device, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.int64, device=triton_device)
    faces = torch.tensor([[0, 1, 2]], device=triton_device)
    weights = barycentrics(clip, faces, zero, zero, zero, zero, 1, 1, backend="triton")
    weights[0, 0].backward()
    torch.testing.assert_close(weights.detach().cpu(), torch.full((1, 3), 1 / 3))
    assert clip.grad is not None and (clip.grad == 0).all()


def test_no_pixels(triton_device):
    clip, faces, *_ = small_problem()
    clip, faces = clip.detach().to(triton_device).requires_grad_(), faces.to(triton_device)
    none = torch.zeros(0, dtype=torch.int64, device=triton_device)
    weights = barycentrics(clip, faces, none, none, none, none, 5, 6, backend="triton")
    interpolate(clip[0], faces, none, weights, backend="triton").sum().backward()
    assert weights.shape == (0, 3)
    assert clip.grad is not None and (clip.grad == 0).all()
