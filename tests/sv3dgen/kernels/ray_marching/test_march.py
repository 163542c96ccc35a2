"""Marching and compositing: closed forms, finite differences, and the numba version against the reference."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from sv3dgen.kernels.ray_marching.march import RaySamples, accumulate, march, prune, render_weights

BACKENDS = ["torch", "numba"]
UNIT_BOX = torch.tensor([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5]])


def march_once(origin, direction, backend, *, step_size=0.1, jitter=0.0, occupied=None, aabb=UNIT_BOX):
    occupied = torch.ones(4, 4, 4, dtype=torch.bool) if occupied is None else occupied
    direction = torch.nn.functional.normalize(torch.tensor([direction]), dim=-1)
    where = torch.tensor([origin]), direction, occupied, aabb
    return march(*where, step_size=step_size, jitter=torch.tensor([jitter]), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "origin, direction, expected",
    [
        ([0.0, 0.0, 2.0], [0.0, 0.0, -1.0], [1.55 + 0.1 * k for k in range(10)]),  # through the middle, parallel to z
        ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.05 + 0.1 * k for k in range(5)]),  # starts inside
        ([0.0, 0.6, 2.0], [0.0, 0.0, -1.0], []),  # parallel to a face, outside of it
        ([0.0, 0.0, 2.0], [0.0, 0.0, 1.0], []),  # the box lies behind
        ([2.0, 2.0, 2.0], [1.0, -1.0, 0.0], []),  # passes by
        ([-2.0, 0.0, 0.0], [1.0, -0.0, 0.0], [1.55 + 0.1 * k for k in range(10)]),  # negative zero
    ],
)
def test_samples_of_one_ray(origin, direction, expected, backend):
    samples = march_once(origin, direction, backend)
    torch.testing.assert_close(samples.t, torch.tensor(expected), atol=1e-6, rtol=0)
    assert samples.offsets.tolist() == [0, len(expected)] and not samples.ray_index.any()
    torch.testing.assert_close(samples.delta, torch.full((len(expected),), 0.1))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("jitter, first", [(0.0, 1.55), (0.3, 1.58), (0.5, 1.5), (0.9, 1.54)])
def test_jitter_shifts_and_stays_inside(jitter, first, backend):
    samples = march_once([0.0, 0.0, 2.0], [0.0, 0.0, -1.0], backend, jitter=jitter)
    assert len(samples.t) == 10
    assert samples.t[0].item() == pytest.approx(first, abs=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_occupied_cells_are_sampled(backend):
    occupied = torch.zeros(4, 4, 4, dtype=torch.bool)
    occupied[1, 2, 3] = True  # x in [-.25, 0], y in [0, .25], z in [.25, .5]
    samples = march_once([-2.0, 0.1, 0.3], [1.0, 0.0, 0.0], backend, step_size=0.01, occupied=occupied)
    assert len(samples.t) == 25
    assert samples.t.min().item() == pytest.approx(1.755, abs=1e-5)
    assert samples.t.max().item() == pytest.approx(1.995, abs=1e-5)


def make_rays(number, seed=0):
    """Rays from all around and from inside, half of them parallel to some face."""
    generator = torch.Generator().manual_seed(seed)
    origins = torch.randn(number, 3, generator=generator) * 0.8
    aim = (torch.rand(number, 3, generator=generator) - 0.5) * torch.tensor([1.4, 1.0, 0.8]) - origins
    aim[::4, 0] = 0
    aim[1::8, 1:] = 0
    return origins, torch.nn.functional.normalize(aim, dim=-1), torch.rand(number, generator=generator)


@pytest.mark.parametrize(
    "shape, share", [((16, 20, 9), 0.03), ((33, 17, 24), 0.5), ((40, 40, 40), 0.0005), ((8, 8, 8), 0.0)]
)
@pytest.mark.parametrize("step_size", [0.011, 0.3])
def test_numba_keeps_the_same_samples(shape, share, step_size):
    origins, directions, jitter = make_rays(300)
    aabb = torch.tensor([[-0.6, -0.4, -0.3], [0.5, 0.5, 0.4]])
    occupied = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < share
    expected, ours = (
        march(origins, directions, occupied, aabb, step_size=step_size, jitter=jitter, backend=backend)
        for backend in BACKENDS
    )
    assert len(expected.t) > 0 or share < 0.01 or step_size > 0.1
    for name in ("ray_index", "t", "delta", "offsets"):
        assert torch.equal(getattr(ours, name), getattr(expected, name)), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_rays(backend):
    nothing = torch.zeros(0, 3)
    samples = march(
        nothing, nothing, torch.ones(2, 2, 2).bool(), UNIT_BOX, step_size=0.1, jitter=torch.zeros(0), backend=backend
    )
    assert samples.offsets.tolist() == [0] and len(samples.t) == 0
    weights = render_weights(samples.t, samples.delta, samples.offsets, backend=backend)
    assert accumulate(weights, torch.zeros(0, 3), samples.offsets, backend=backend).shape == (0, 3)


@pytest.mark.parametrize("direction", [0.0, 1e-3, float("nan"), float("inf")])
def test_directions_that_are_not_unit_end_too(direction):
    directions = torch.full((3, 3), direction)
    where = torch.zeros(3, 3), directions, torch.ones(4, 4, 4).bool(), UNIT_BOX
    samples = march(*where, step_size=0.1, jitter=torch.zeros(3), backend="numba")
    assert len(samples.t) == samples.offsets[-1] <= 3 * 19


def test_step_size_must_be_positive():
    with pytest.raises(ValueError, match="step_size"):
        march_once([0.0, 0.0, 2.0], [0.0, 0.0, -1.0], "numba", step_size=0.0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("density", [0.01, 1.0, 20.0])
def test_opacity_of_a_slab(density, backend):
    """A slab of thickness L and constant density has opacity 1 - exp(-density L), whatever the step."""
    samples = march_once([0.0, 0.1, 3.0], [0.0, 0.0, -1.0], backend, step_size=1 / 64)
    weights = render_weights(torch.full_like(samples.t, density), samples.delta, samples.offsets, backend=backend)
    opacity = accumulate(weights, torch.ones(len(weights), 1), samples.offsets, backend=backend)
    assert opacity.item() == pytest.approx(1 - math.exp(-density), rel=1e-5)


def make_packed(rays=60, dtype=torch.float32, seed=0):
    """Rays with 0 to 12 samples, from thin air to opaque."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 13, (rays,), generator=generator)
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    total = int(offsets[-1])
    density = torch.exp(torch.randn(total, generator=generator, dtype=dtype) * 2)
    delta = torch.rand(total, generator=generator, dtype=dtype) * 0.3 + 0.05
    values = torch.randn(total, 3, generator=generator, dtype=dtype)
    return density, delta, values, offsets


def test_reference_weights_are_the_formula():
    density, delta, _, offsets = make_packed(rays=12, dtype=torch.float64)
    weights = render_weights(density, delta, offsets, backend="torch")
    for ray in range(len(offsets) - 1):
        light = 1.0
        for i in range(int(offsets[ray]), int(offsets[ray + 1])):
            alpha = 1 - math.exp(-density[i].item() * delta[i].item())
            assert weights[i].item() == pytest.approx(light * alpha, abs=1e-12)
            light *= 1 - alpha


def test_reference_gradients():
    density, delta, values, offsets = make_packed(rays=6, dtype=torch.float64)
    density, values = density.requires_grad_(), values.requires_grad_()

    def render(density, values):
        weights = render_weights(density, delta, offsets, backend="torch")
        return weights, accumulate(weights, values, offsets, backend="torch")

    assert gradcheck(render, (density, values))


def test_numba_composites_like_the_reference():
    density, delta, values, offsets = make_packed()
    results = []
    for backend, dtype in (("torch", torch.float64), ("numba", torch.float32)):
        inputs = density.to(dtype).requires_grad_(), values.to(dtype).requires_grad_()
        weights = render_weights(inputs[0], delta.to(dtype), offsets, backend=backend)
        color = accumulate(weights, inputs[1], offsets, backend=backend)
        loss = (color - 0.3).square().sum() + (weights * torch.arange(len(weights)) / len(weights)).sum()
        results.append([weights.detach(), color.detach(), *torch.autograd.grad(loss, inputs)])
    for expected, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), expected, atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pruned_samples_are_those_without_weight(backend):
    density, delta, values, offsets = make_packed(rays=200)
    density = density * 3
    keep = prune(density, delta, offsets, backend=backend)
    assert 0 < keep.sum() < len(keep)
    weights = render_weights(density, delta, offsets, backend=backend)
    assert (weights[~keep] < 1e-3).all()
    samples = RaySamples(torch.repeat_interleave(offsets.diff()), torch.rand(len(density)), delta, offsets).select(keep)
    assert torch.equal(samples.ray_index, torch.repeat_interleave(samples.offsets.diff()))
    assert len(samples.t) == keep.sum() == samples.offsets[-1]
    weights = render_weights(density[keep], samples.delta, samples.offsets, backend=backend)
    before = accumulate(render_weights(density, delta, offsets), values, offsets)
    torch.testing.assert_close(accumulate(weights, values[keep], samples.offsets), before, atol=0.02, rtol=0)


def test_prune_is_the_same_in_both():
    density, delta, _, offsets = make_packed(rays=500)
    first, second = (prune(density, delta, offsets, min_transmittance=0.05, backend=backend) for backend in BACKENDS)
    assert torch.equal(first, second)


@pytest.mark.parametrize("keep", [True, False])
def test_select_all_or_nothing(keep):
    _, delta, values, offsets = make_packed()
    samples = RaySamples(torch.repeat_interleave(offsets.diff()), values[:, 0], delta, offsets)
    selected = samples.select(torch.full((len(delta),), keep))
    assert torch.equal(selected.offsets, offsets if keep else torch.zeros_like(offsets))
