"""Marching by nerfacc keeps the reference's samples, but for those next to cells' faces; compositing has its values."""

import nerfacc_stand_in
import pytest
import torch
from accelerator_case import PLACES, provide
from triton_case import rivals

from sv3dgen.kernels.ray_marching.march import accumulate, clip_to_box, march, prune, render_weights
from tests.sv3dgen.kernels.ray_marching.test_march import make_packed, make_rays

BOX = torch.tensor([[-0.6, -0.4, -0.3], [0.5, 0.5, 0.4]])
NEAR_FACE = 2e-5  # how far nerfacc's way from face to face, and from step to step, drifts in float32


@pytest.fixture(params=PLACES)
def device(request, monkeypatch):
    yield from provide("nerfacc", request.param, nerfacc_stand_in.MODULES, monkeypatch)


def from_a_face(point, shape):
    """Distance of a point from the nearest face of a cell of the grid in BOX."""
    size = (BOX[1] - BOX[0]) / torch.tensor(shape)
    cells = (point - BOX[0]) / size
    return ((cells - cells.round()).abs() * size).min()


def numbered(samples, origins, directions, jitter, step_size):
    """The distances of samples by their rays and numbers on them."""
    ray, t = samples.ray_index.cpu(), samples.t.cpu()
    first = clip_to_box(origins, directions, BOX)[0] + (jitter + 0.5) % 1.0 * step_size
    number = ((t - first[ray]) / step_size).round().int()
    return dict(zip(zip(ray.tolist(), number.tolist(), strict=True), t.tolist(), strict=True))


@pytest.mark.parametrize(
    ("shape", "share", "step_size"),
    [((16, 20, 9), 0.03, 0.011), ((33, 17, 24), 0.5, 0.05), ((8, 8, 8), 0.0, 0.1), ((1, 1, 1), 1.0, 0.03)],
)
def test_the_same_samples(shape, share, step_size, device):
    origins, directions, jitter = make_rays(80)
    occupied = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < share
    inputs = origins, directions, occupied, BOX
    expected = march(*inputs, step_size=step_size, jitter=jitter, backend="torch")
    moved = [tensor.to(device) for tensor in (*inputs, jitter)]
    actual = march(*moved[:4], step_size=step_size, jitter=moved[4], backend="nerfacc")
    assert (actual.delta == step_size).all() and actual.offsets[-1] == len(actual.t) == len(actual.ray_index)
    assert torch.equal(actual.ray_index, torch.repeat_interleave(actual.offsets.diff()))
    ours, theirs = (numbered(found, origins, directions, jitter, step_size) for found in (actual, expected))
    for number in ours.keys() & theirs.keys():
        assert ours[number] == pytest.approx(theirs[number], abs=3e-7)  # to the last bits, without nerfacc's drift
    only = [(ray, (ours | theirs)[ray, number]) for ray, number in ours.keys() ^ theirs.keys()]
    assert len(only) <= 0.01 * len(theirs)
    for ray, t in only:
        assert from_a_face(origins[ray] + t * directions[ray], shape) < NEAR_FACE
    assert len(theirs) > 50 or share == 0.0


@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.5, 0.9])
def test_rays_from_inside_from_outside_and_beside(jitter, device):
    origins = torch.tensor([[0.0, 0, 2], [0, 0, 0], [0, 0.6, 2], [0, 0, 2], [0.1, 0.1, 0.1], [torch.nan] * 3])
    directions = torch.tensor([[0.0, 0, -1], [1, 0, 0], [0, 0, -1], [0, 0, 1], [-0.0, 1, 0], [0, 1, 0]])
    inputs = origins, directions, torch.ones(4, 4, 4, dtype=torch.bool), BOX
    shift = torch.full((6,), jitter)
    expected = march(*inputs, step_size=0.03, jitter=shift, backend="torch")
    moved = [tensor.to(device) for tensor in (*inputs, shift)]
    actual = march(*moved[:4], step_size=0.03, jitter=moved[4], backend="nerfacc")
    assert (
        torch.equal(actual.offsets.cpu(), expected.offsets) and expected.offsets.diff()[[2, 3, 5]].tolist() == [0] * 3
    )
    torch.testing.assert_close(actual.t.cpu(), expected.t, atol=3e-7, rtol=0)


@pytest.mark.parametrize("channels", [1, 8])
def test_composites_like_the_reference(channels, device):
    density, delta, values, offsets = make_packed()
    values = values.repeat(1, 3)[:, :channels]
    results = []
    for backend, where, dtype in rivals(device, "nerfacc"):
        inputs = density.to(where, dtype).requires_grad_(), values.to(where, dtype).requires_grad_()
        weights = render_weights(inputs[0], delta.to(where, dtype), offsets.to(where), backend=backend)
        color = accumulate(weights, inputs[1], offsets.to(where), backend=backend)
        rising = torch.arange(len(weights), device=where) / len(weights)
        loss = (color - 0.3).square().sum() + (weights * rising).sum()
        found = [weights, color, *torch.autograd.grad(loss, inputs)]
        results.append([tensor.detach().cpu().double() for tensor in found])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, atol=3e-6, rtol=2e-5)


@pytest.mark.parametrize("min_alpha", [0.0, 1e-3])
def test_prune_is_the_reference(min_alpha, device):
    density, delta, _, offsets = make_packed()
    density[::7] = 0.0
    expected = prune(density, delta, offsets, min_transmittance=0.05, min_alpha=min_alpha, backend="torch")
    moved = [tensor.to(device) for tensor in (density, delta, offsets)]
    actual = prune(*moved, min_transmittance=0.05, min_alpha=min_alpha, backend="nerfacc")
    assert torch.equal(actual.cpu(), expected) and 0 < expected.sum() < len(expected)


def test_no_rays_and_no_samples(device):
    nothing, none = torch.zeros(0, 3, device=device), torch.zeros(0, device=device)
    grid = torch.ones(2, 2, 2, dtype=torch.bool, device=device)
    samples = march(nothing, nothing, grid, BOX.to(device), step_size=0.1, jitter=none, backend="nerfacc")
    assert samples.offsets.tolist() == [0] and len(samples.t) == 0
    offsets = torch.zeros(4, dtype=torch.int64, device=device)
    weights = render_weights(none.requires_grad_(), none.detach(), offsets, backend="nerfacc")
    assert accumulate(weights, nothing, offsets, backend="nerfacc").tolist() == [[0.0] * 3] * 3
    assert len(prune(none, none, offsets, backend="nerfacc")) == 0


def test_half_precision_is_computed_with_in_float32(device):
    density, delta, values, offsets = (tensor.to(device) for tensor in make_packed())
    density, delta, values = density.half().requires_grad_(), delta.half(), values.half()
    weights = render_weights(density, delta, offsets, backend="nerfacc")
    color = accumulate(weights, values, offsets, backend="nerfacc")
    color.sum().backward()
    assert weights.dtype == color.dtype == torch.float16 and density.grad is not None
    wide = render_weights(density.detach().cpu().double(), delta.cpu().double(), offsets.cpu(), backend="torch")
    torch.testing.assert_close(weights.detach().cpu().double(), wide, atol=1e-3, rtol=1e-3)
