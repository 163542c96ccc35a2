"""Triton's marching keeps the reference's samples; its compositing has the reference's values and gradients."""

import pytest
import torch
from triton_case import rivals

from sv3dgen.kernels.ray_marching.march import accumulate, march, prune, render_weights
from tests.sv3dgen.kernels.ray_marching.test_march import make_packed, make_rays


@pytest.mark.parametrize(
    ("shape", "share", "step_size"),
    [((16, 20, 9), 0.03, 0.011), ((33, 17, 24), 0.5, 0.05), ((8, 8, 8), 0.0, 0.1), ((1, 1, 1), 1.0, 0.03)],
)
def test_triton_keeps_the_same_samples(shape, share, step_size, triton_device):
    origins, directions, jitter = make_rays(80)
    aabb = torch.tensor([[-0.6, -0.4, -0.3], [0.5, 0.5, 0.4]])
    occupied = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < share
    inputs = origins, directions, occupied, aabb
    expected = march(*inputs, step_size=step_size, jitter=jitter, backend="torch")
    moved = [tensor.to(triton_device) for tensor in (*inputs, jitter)]
    actual = march(*moved[:4], step_size=step_size, jitter=moved[4], backend="triton")
    assert len(expected.t) > 0 or share == 0.0
    for name in ("ray_index", "t", "delta", "offsets"):
        assert torch.equal(getattr(actual, name).cpu(), getattr(expected, name)), name


def long_rays(**kwargs):
    """Packed samples as in `make_packed`, with rays of 40 and 100 samples behind: more than a program takes at once."""
    density, delta, values, offsets = make_packed(rays=30, **kwargs)
    generator = torch.Generator().manual_seed(5)
    density = torch.cat([density, torch.rand(140, generator=generator) * 0.5])
    delta = torch.cat([delta, torch.full((140,), 0.1)])
    values = torch.cat([values, torch.randn(140, 3, generator=generator)])
    return density, delta, values, torch.cat([offsets, offsets[-1] + torch.tensor([40, 140])])


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_triton_composites_like_the_reference(channels, triton_device):
    density, delta, values, offsets = long_rays()
    density[:20] *= 1e-4  # where 1 - exp(-x) would cancel
    values = values.repeat(1, 3)[:, :channels]
    results = []
    for backend, device, dtype in rivals(triton_device):
        inputs = density.to(device, dtype).requires_grad_(), values.to(device, dtype).requires_grad_()
        ends = offsets.to(device)
        weights = render_weights(inputs[0], delta.to(device, dtype), ends, backend=backend)
        color = accumulate(weights, inputs[1], ends, backend=backend)
        rising = torch.arange(len(weights), device=device) / len(weights)
        loss = (color - 0.3).square().sum() + (weights * rising).sum()
        pulled = torch.autograd.grad(loss, inputs)
        results.append([tensor.detach().cpu().double() for tensor in (weights, color, *pulled)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, atol=2e-6, rtol=2e-5)


def test_a_dense_sample_does_not_blur_the_ones_before_it(triton_device):
    density = torch.tensor([0.5, 1e8, 3.0])
    delta, offsets = torch.ones(3), torch.tensor([0, 3])
    moved = [tensor.to(triton_device) for tensor in (density, delta, offsets)]
    expected = torch.tensor([1 - 0.6065307, 0.6065307, 0.0])
    torch.testing.assert_close(render_weights(*moved, backend="triton").cpu(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_with_in_float32(dtype, triton_device):
    density, delta, values, offsets = long_rays()
    halves = [tensor.to(dtype) for tensor in (density, delta, values)]
    inputs = [tensor.to(triton_device) for tensor in (*halves, offsets)]
    weights = render_weights(inputs[0].requires_grad_(), inputs[1], inputs[3], backend="triton")
    color = accumulate(weights, inputs[2], inputs[3], backend="triton")
    color.sum().backward()
    assert weights.dtype == color.dtype == dtype and inputs[0].grad is not None and inputs[0].grad.dtype == dtype
    wide = [tensor.detach().double() for tensor in halves]
    expected = accumulate(
        render_weights(wide[0].requires_grad_(), wide[1], offsets, backend="torch"), wide[2], offsets, backend="torch"
    )
    expected.sum().backward()
    assert wide[0].grad is not None
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(color.detach().cpu().double(), expected.detach(), atol=4 * step, rtol=4 * step)
    torch.testing.assert_close(inputs[0].grad.cpu().double(), wide[0].grad, atol=4 * step, rtol=4 * step)


def test_prune_is_the_reference(triton_device):
    density, delta, _, offsets = long_rays()
    expected = prune(density, delta, offsets, min_transmittance=0.05, backend="torch")
    moved = [tensor.to(triton_device) for tensor in (density, delta, offsets)]
    assert torch.equal(prune(*moved, min_transmittance=0.05, backend="triton").cpu(), expected)
    assert 0 < expected.sum() < len(expected)


def test_no_rays(triton_device):
    nothing, none = torch.zeros(0, 3, device=triton_device), torch.zeros(0, device=triton_device)
    box = torch.tensor([[-0.5] * 3, [0.5] * 3], device=triton_device)
    grid = torch.ones(2, 2, 2, dtype=torch.bool, device=triton_device)
    samples = march(nothing, nothing, grid, box, step_size=0.1, jitter=none, backend="triton")
    assert samples.offsets.tolist() == [0] and len(samples.t) == 0
    weights = render_weights(samples.t, samples.delta, samples.offsets, backend="triton")
    assert accumulate(weights, nothing, samples.offsets, backend="triton").shape == (0, 3)
