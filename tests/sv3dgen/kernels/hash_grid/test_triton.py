"""The Triton version of the hash encoding against the torch reference, in value and every gradient."""

import pytest
import torch
from triton_case import rivals

from sv3dgen.kernels.hash_grid.encode import hash_encode, hash_encode_gradient, hash_grid_spec
from tests.sv3dgen.kernels.hash_grid.test_encode import SMALL, gradients, make_inputs


@pytest.mark.parametrize(("features", "active_levels"), [(2, None), (4, 2)])
def test_triton_equals_the_reference(features, active_levels, triton_device):
    spec = hash_grid_spec(levels=5, base_resolution=4, growth=1.6, log2_table_size=9, features_per_level=features)
    points, table = make_inputs(spec, points=300)
    expected = gradients(points.double(), table.double(), spec, "torch", active_levels)
    actual = gradients(points.to(triton_device), table.to(triton_device), spec, "triton", active_levels)
    for ours, theirs in zip(actual, expected, strict=True):
        scale = theirs.abs().max().item() + 1e-6
        torch.testing.assert_close(ours.cpu().double() / scale, theirs / scale, atol=3e-6, rtol=0)


def test_the_hash_of_a_large_grid(triton_device):
    """Cells up to 4095: the products with the primes go far beyond 32 bits."""
    spec = hash_grid_spec(levels=2, base_resolution=2048, growth=2.0, log2_table_size=14)
    points, table = make_inputs(spec, points=300)
    expected = hash_encode(points.double(), table.double(), spec, backend="torch")
    actual = hash_encode(points.to(triton_device), table.to(triton_device), spec, backend="triton")
    # 4095.5 has 11 bits left for the place in the cell.
    torch.testing.assert_close(actual.cpu().double(), expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize("points_too", [False, True])
def test_gradient_in_the_points_is_differentiable_by_itself(points_too, triton_device):
    points, table = make_inputs(SMALL, points=200)
    weights = torch.randn(len(points), SMALL.channels, generator=torch.Generator().manual_seed(4))
    results = []
    for backend, device, dtype in rivals(triton_device):
        leaves = table.to(device, dtype).requires_grad_(), weights.to(device, dtype).requires_grad_()
        where = points.to(device, dtype).requires_grad_(points_too)
        slope = hash_encode_gradient(where, leaves[0], leaves[1], SMALL, backend=backend)
        pulled = torch.autograd.grad(slope.square().sum(), [*leaves, where] if points_too else leaves)
        results.append([tensor.detach().cpu().double() for tensor in (slope, *pulled)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual / expected.abs().max(), expected / expected.abs().max(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_tables_are_computed_with_in_float32(dtype, triton_device):
    points, table = make_inputs(SMALL, points=200)
    points, table = points.to(triton_device), table.to(triton_device, dtype).requires_grad_()
    encoded = hash_encode(points, table, SMALL, backend="triton")
    encoded.sum().backward()
    assert encoded.dtype == dtype and table.grad is not None and table.grad.dtype == dtype
    wide = table.detach().cpu().double().requires_grad_()
    expected = hash_encode(points.cpu().double(), wide, SMALL, backend="torch")
    expected.sum().backward()
    assert wide.grad is not None
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(encoded.detach().cpu().double(), expected.detach(), atol=1e-3, rtol=step)
    torch.testing.assert_close(table.grad.cpu().double(), wide.grad, atol=1e-3, rtol=step)


def test_no_points_and_points_that_are_not_numbers(triton_device):
    table = make_inputs(SMALL)[1].to(triton_device).requires_grad_()
    nothing = hash_encode(torch.empty(0, 3, device=triton_device), table, SMALL, backend="triton")
    nothing.sum().backward()
    assert nothing.shape == (0, SMALL.channels) and table.grad is not None and not table.grad.any()
    points = torch.tensor([[float("nan"), float("inf"), -float("inf")]], device=triton_device)
    corner = torch.tensor([[0.0, 1.0, 0.0]], device=triton_device)
    both = [hash_encode(where, table, SMALL, backend="triton") for where in (points, corner)]
    torch.testing.assert_close(*both)
