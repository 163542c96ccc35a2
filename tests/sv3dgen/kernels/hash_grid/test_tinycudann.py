"""The hash encoding by tiny-cuda-nn: our table, our values, and our gradients."""

import pytest
import tinycudann_stand_in
import torch
from accelerator_case import PLACES, provide
from triton_case import rivals

from sv3dgen.errors import InputError
from sv3dgen.kernels.hash_grid.encode import hash_encode, hash_encode_gradient, hash_grid_spec
from tests.sv3dgen.kernels.hash_grid.test_encode import SMALL, make_inputs

ROUNDING = 2e-6  # of a cell's number: float32 leaves the place in the cell what bits the number does not take


@pytest.fixture(params=PLACES)
def device(request, monkeypatch):
    yield from provide("tinycudann", request.param, tinycudann_stand_in.MODULES, monkeypatch)


def derivatives(points, table, spec, backend, active_levels=None):
    """Value, both gradients, and what a loss on the gradient in the points gives."""
    points, table = points.clone().requires_grad_(), table.clone().requires_grad_()
    encoded = hash_encode(points, table, spec, active_levels=active_levels, backend=backend)
    pull = torch.randn(encoded.shape, generator=torch.Generator().manual_seed(3)).to(encoded).requires_grad_()
    by_table, by_points = torch.autograd.grad(encoded, (table, points), pull, retain_graph=True)
    slope = torch.autograd.grad(encoded, points, pull, create_graph=True)[0]
    second = torch.autograd.grad(slope.square().sum(), (table, points, pull))
    return [tensor.detach().cpu().double() for tensor in (encoded, by_table, by_points, *second)]


def assert_alike(actual, expected, spec):
    for ours, theirs in zip(actual, expected, strict=True):
        scale = theirs.abs().max().item() + 1e-6
        torch.testing.assert_close(ours / scale, theirs / scale, atol=max(spec.resolutions) * ROUNDING, rtol=0)


@pytest.mark.parametrize(
    "spec",
    [
        hash_grid_spec(levels=5, base_resolution=4, growth=1.6, log2_table_size=9),  # 2 dense levels, 3 hashed
        hash_grid_spec(levels=3, base_resolution=6, growth=1.9, log2_table_size=10, features_per_level=4),
        hash_grid_spec(levels=2, base_resolution=1, growth=2.5, log2_table_size=2, features_per_level=8),
        hash_grid_spec(levels=2, base_resolution=7, growth=1.0, log2_table_size=9),  # 8^3 entries: the table is full
    ],
)
@pytest.mark.parametrize("active_levels", [None, 1])
def test_values_and_derivatives_are_those_of_the_reference(spec, active_levels, device):
    points, table = make_inputs(spec, points=300)
    expected = derivatives(points.double(), table.double(), spec, "torch", active_levels)
    actual = derivatives(points.to(device), table.to(device), spec, "tinycudann", active_levels)
    assert_alike(actual, expected, spec)


def test_every_level_of_the_published_grid(device):
    """Dense ones and hashed ones up to 4096 cells, of which tiny-cuda-nn's own rule of resolutions has none."""
    spec = hash_grid_spec(levels=16, base_resolution=16, growth=1.44727, log2_table_size=14)
    points, table = make_inputs(spec, points=200)
    expected = hash_encode(points.double(), table.double(), spec, backend="torch")
    actual = hash_encode(points.to(device), table.to(device), spec, backend="tinycudann").cpu().double()
    for level, resolution in enumerate(spec.resolutions):
        ours, theirs = (encoded[:, 2 * level : 2 * level + 2] for encoded in (actual, expected))
        # Entries go up to 4.
        torch.testing.assert_close(ours, theirs, atol=4 * resolution * ROUNDING, rtol=0)


def test_the_slope_alone_is_differentiable(device):
    points, table = make_inputs(SMALL, points=200)
    weights = torch.randn(len(points), SMALL.channels, generator=torch.Generator().manual_seed(4))
    results = []
    for backend, where, dtype in rivals(device, "tinycudann"):
        leaves = [table.to(where, dtype).requires_grad_(), weights.to(where, dtype).requires_grad_()]
        slope = hash_encode_gradient(points.to(where, dtype), leaves[0], leaves[1], SMALL, backend=backend)
        pulled = torch.autograd.grad(slope.square().sum(), leaves)
        results.append([tensor.detach().cpu().double() for tensor in (slope, *pulled)])
    assert_alike(results[1], results[0], SMALL)


def test_the_table_keeps_its_dtype_and_is_computed_with_in_float32(device):
    points, table = make_inputs(SMALL, points=50)
    half = table.to(device, torch.float16).requires_grad_()
    encoded = hash_encode(points.to(device), half, SMALL, backend="tinycudann")
    encoded.sum().backward()
    expected = hash_encode(points.double(), half.detach().cpu().double(), SMALL, backend="torch")
    assert encoded.dtype == torch.float16 and half.grad is not None and half.grad.dtype == torch.float16
    torch.testing.assert_close(encoded.detach().cpu().double(), expected, atol=1e-3, rtol=1e-3)


def test_no_points(device):
    table = make_inputs(SMALL)[1].to(device).requires_grad_()
    encoded = hash_encode(torch.empty(0, 3, device=device), table, SMALL, backend="tinycudann")
    encoded.sum().backward()
    assert encoded.shape == (0, SMALL.channels) and table.grad is not None and not table.grad.any()


def test_the_gradient_in_the_table_refuses_what_would_be_zeros(device):
    points, table = (tensor.to(device).requires_grad_() for tensor in make_inputs(SMALL, points=20))
    encoded = hash_encode(points, table, SMALL, backend="tinycudann")
    by_table = torch.autograd.grad(encoded.square().sum(), table, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        by_table.square().sum().backward()


def test_another_layout_is_refused(monkeypatch):
    class Other(tinycudann_stand_in.Encoding):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.params = torch.nn.Parameter(torch.zeros(len(self.params) + 16))

    modules = {"tinycudann": tinycudann_stand_in.module_of("tinycudann", Encoding=Other)}
    for _ in provide("tinycudann", "stand-in", modules, monkeypatch):
        with pytest.raises(InputError, match="keeps 144 values for a level of 64 entries, expected 128"):
            hash_encode(*make_inputs(SMALL), SMALL, backend="tinycudann")
