"""The hash encoding: the reference against a slow loop and finite differences, numba against the reference."""

import numba
import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sv3dgen.kernels.hash_grid.encode import hash_encode, hash_encode_gradient, hash_grid_spec

SMALL = hash_grid_spec(levels=4, base_resolution=3, growth=1.7, log2_table_size=8)  # two dense levels, two hashed


def make_inputs(spec, points=700, dtype=torch.float32, seed=0):
    """Points of which some lie outside of the cube or on its faces, and a table."""
    generator = torch.Generator().manual_seed(seed)
    where = torch.rand(points, 3, generator=generator, dtype=dtype) * 1.2 - 0.1
    if points >= 4:
        where[:4] = torch.tensor([[0, 0, 0], [1, 1, 1], [0, 1, 0.5], [-3, 0.2, 7]], dtype=dtype)
    table = torch.randn(spec.entries, spec.features_per_level, generator=generator, dtype=dtype)
    return where, table


def test_spec_has_the_published_sizes():
    paper = hash_grid_spec(levels=16, base_resolution=16, growth=1.44727, log2_table_size=19)
    assert paper.resolutions[0] == 16 and paper.resolutions[-1] == 4096
    assert paper.sizes[:2] == (17**3, 24**3) and paper.sizes[-1] == 2**19
    assert paper.channels == 32 and paper.entries == sum(paper.sizes)


@pytest.mark.parametrize(
    "wrong",
    [{"levels": 0}, {"growth": 0.5}, {"features_per_level": 3}, {"log2_table_size": 40}, {"base_resolution": 0}],
)
def test_spec_refuses(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        hash_grid_spec(**{"levels": 2, "base_resolution": 4, "growth": 1.5, "log2_table_size": 8, **wrong})


def encode_slowly(point, table, spec):
    """One point, as the formulas of the paper read."""
    encoded = []
    for resolution, size, offset in zip(spec.resolutions, spec.sizes, spec.offsets, strict=True):
        position = np.clip(point, 0, 1) * resolution
        cell = np.minimum(np.floor(position), resolution - 1).astype(int)
        feature = 0
        for corner in np.ndindex(2, 2, 2):
            x, y, z = (int(c) for c in cell + corner)
            if (resolution + 1) ** 3 <= size:
                index = x + (resolution + 1) * (y + (resolution + 1) * z)
            else:
                index = (x ^ (y * 2654435761) % 2**32 ^ (z * 805459861) % 2**32) % size
            weight = np.prod([p - c if up else 1 - (p - c) for p, c, up in zip(position, cell, corner, strict=True)])
            feature = feature + weight * table[offset + index]
        encoded.append(feature)
    return np.concatenate(encoded)


def test_reference_is_the_formula():
    points, table = make_inputs(SMALL, points=40, dtype=torch.float64)
    expected = np.stack([encode_slowly(point, table.numpy(), SMALL) for point in points.numpy()])
    np.testing.assert_allclose(hash_encode(points, table, SMALL, backend="torch").numpy(), expected, atol=1e-12)


def test_dense_level_reproduces_a_linear_function():
    spec = hash_grid_spec(levels=1, base_resolution=5, growth=1.0, log2_table_size=8)
    ticks = torch.arange(6, dtype=torch.float32) / 5
    z, y, x = torch.meshgrid(ticks, ticks, ticks, indexing="ij")
    table = torch.stack([x + 2 * y - z, z - 0.5], dim=-1).reshape(-1, 2)
    points = torch.rand(100, 3, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([points @ torch.tensor([1.0, 2.0, -1.0]), points[:, 2] - 0.5], dim=-1)
    torch.testing.assert_close(hash_encode(points, table, spec), expected, atol=1e-5, rtol=0)


def test_reference_gradients():
    table = make_inputs(SMALL, dtype=torch.float64)[1]
    points = torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 1.4 - 0.2
    table, points = table.requires_grad_(), points.requires_grad_()

    def encode(table, points):
        return hash_encode(points, table, SMALL, backend="torch")

    assert gradcheck(encode, (table, points), fast_mode=True)
    assert gradgradcheck(encode, (table, points), fast_mode=True)


def gradients(points, table, spec, backend, active_levels):
    """Value, both gradients, and what a loss on the spatial gradient gives."""
    points, table = points.clone().requires_grad_(), table.clone().requires_grad_()
    encoded = hash_encode(points, table, spec, active_levels=active_levels, backend=backend)
    pull = torch.randn(encoded.shape, generator=torch.Generator().manual_seed(3)).to(encoded.dtype).requires_grad_()
    by_table, by_points = torch.autograd.grad(encoded, (table, points), pull, create_graph=True)
    second = torch.autograd.grad(by_points.square().sum() + by_table.square().sum(), (table, points, pull))
    return [encoded.detach(), by_table.detach(), by_points.detach(), *second]


@pytest.mark.parametrize("features", [2, 4])
@pytest.mark.parametrize("active_levels", [None, 2])
def test_numba_equals_reference(features, active_levels):
    spec = hash_grid_spec(levels=5, base_resolution=4, growth=1.6, log2_table_size=9, features_per_level=features)
    points, table = make_inputs(spec)
    # The reference in float64: both versions round, and second derivatives reach 1e5.
    expected = gradients(points.double(), table.double(), spec, "torch", active_levels)
    for ours, theirs in zip(gradients(points, table, spec, "numba", active_levels), expected, strict=True):
        scale = theirs.abs().max().item() + 1e-6
        torch.testing.assert_close(ours.double() / scale, theirs / scale, atol=3e-6, rtol=0)


def test_numba_sums_copies_where_threads_outnumber_levels(monkeypatch):
    points, table = make_inputs(SMALL)
    expected = gradients(points, table, SMALL, "numba", None)[1]
    monkeypatch.setattr(numba, "get_num_threads", lambda: 13)
    torch.testing.assert_close(gradients(points, table, SMALL, "numba", None)[1], expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("points_too", [False, True])
def test_gradient_in_the_points_is_differentiable_by_itself(backend, points_too):
    points, table = make_inputs(SMALL)
    points.requires_grad_(points_too)
    weights = torch.randn(len(points), SMALL.channels, generator=torch.Generator().manual_seed(4)).requires_grad_()
    inputs = (table.requires_grad_(), weights, *((points,) if points_too else ()))
    ours = hash_encode_gradient(points, table, weights, SMALL, backend=backend)
    leaf = points.detach().requires_grad_() if not points_too else points
    encoded = hash_encode(leaf, table, SMALL, backend="torch")
    expected = torch.autograd.grad(encoded, leaf, weights, create_graph=True)[0]
    torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-4)
    theirs = torch.autograd.grad(expected.square().sum(), inputs)
    for mine, other in zip(torch.autograd.grad(ours.square().sum(), inputs), theirs, strict=True):
        torch.testing.assert_close(mine / other.abs().max(), other / other.abs().max(), atol=1e-5, rtol=0)
    with torch.no_grad():
        alone = hash_encode_gradient(points, table, weights, SMALL, backend=backend)
    assert torch.equal(alone, ours) and not alone.requires_grad


def test_same_bits_every_time():
    points, table = make_inputs(SMALL, points=5000)
    first, second = (gradients(points, table, SMALL, "numba", None) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_only_what_is_asked_for_gets_a_gradient():
    points, table = make_inputs(SMALL)
    hash_encode(points, table.requires_grad_(), SMALL).sum().backward()
    assert points.grad is None and table.grad is not None
    points.requires_grad_()
    hash_encode(points, table.detach(), SMALL).sum().backward()
    assert points.grad is not None


def test_no_points():
    points, table = torch.empty(0, 3), make_inputs(SMALL)[1].requires_grad_()
    for backend in ("torch", "numba"):
        table.grad = None
        encoded = hash_encode(points, table, SMALL, backend=backend)
        encoded.sum().backward()
        assert encoded.shape == (0, SMALL.channels) and not table.grad.any()


def test_points_that_are_not_numbers_stay_inside_the_table():
    table = make_inputs(SMALL)[1]
    points = torch.tensor([[float("nan"), float("inf"), -float("inf")]])
    corner = torch.tensor([[0.0, 1.0, 0.0]])
    torch.testing.assert_close(hash_encode(points, table, SMALL), hash_encode(corner, table, SMALL))


def test_wrong_arguments_are_named():
    points, table = make_inputs(SMALL)
    with pytest.raises(ValueError, match="active_levels: expected 1 to 4, got 5"):
        hash_encode(points, table, SMALL, active_levels=5)
    with pytest.raises(ValueError, match="table: expected shape"):
        hash_encode(torch.zeros(1, 3), torch.zeros(7, 2), SMALL)
