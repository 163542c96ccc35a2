"""Triton's kernels of compositing: weights along a ray, what can be seen, and weighted sums, with their gradients."""

from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _alpha(depth):
    """1 - exp(-depth); as a series where the difference would cancel (error below 2e-9 of it)."""
    small = tl.where(tl.abs(depth) < 0.1, depth, 0.0)
    series = 1 - small / 2 * (1 - small / 3 * (1 - small / 4 * (1 - small / 5 * (1 - small / 6))))
    return tl.where(tl.abs(depth) < 0.1, small * series, 1 - tl.exp(-depth))


@triton.jit
@no_type_check
def _depth(density, delta, i, mask):
    """Optical depth of samples."""
    thickness = tl.load(delta + i, mask=mask, other=0.0).to(tl.float32)
    return tl.load(density + i, mask=mask, other=0.0).to(tl.float32) * thickness


@triton.jit
@no_type_check
def weights_kernel(offsets, density, delta, weights, behind, SAMPLES: tl.constexpr):
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    passed = 0.0
    for first in range(start, stop, SAMPLES):
        i = first + tl.arange(0, SAMPLES)
        depth = _depth(density, delta, i, i < stop)
        # Summed without the sample's own depth: to take it off afterwards would cancel where it is large.
        before = passed + tl.cumsum(_depth(density, delta, i - 1, (i > first) & (i < stop)), axis=0)
        tl.store(weights + i, tl.exp(-before) * _alpha(depth), mask=i < stop)
        tl.store(behind + i, tl.exp(-before - depth), mask=i < stop)
        passed += tl.sum(depth, axis=0)


@triton.jit
@no_type_check
def weights_backward_kernel(offsets, grad, delta, weights, behind, grad_density, SAMPLES: tl.constexpr):
    # More density at i adds what is left behind i to its own weight, and takes its share from each weight after it.
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    taken = 0.0
    for last in range(0, stop - start, SAMPLES):
        end = stop - last
        i = end - SAMPLES + tl.arange(0, SAMPLES)
        here = i >= start
        pull = tl.load(grad + i, mask=here, other=0.0).to(tl.float32)
        own = pull * tl.load(weights + i, mask=here, other=0.0)
        next_pull = tl.load(grad + i + 1, mask=here & (i + 1 < end), other=0.0).to(tl.float32)
        next_one = next_pull * tl.load(weights + i + 1, mask=here & (i + 1 < end), other=0.0)
        after = taken + tl.cumsum(next_one, axis=0, reverse=True)
        left = tl.load(behind + i, mask=here, other=0.0)
        thickness = tl.load(delta + i, mask=here, other=0.0).to(tl.float32)
        tl.store(grad_density + i, (pull * left - after) * thickness, mask=here)
        taken += tl.sum(own, axis=0)


@triton.jit
@no_type_check
def prune_kernel(offsets, density, delta, keep, min_transmittance, min_alpha, SAMPLES: tl.constexpr):
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    passed = 0.0
    for first in range(start, stop, SAMPLES):
        i = first + tl.arange(0, SAMPLES)
        depth = _depth(density, delta, i, i < stop)
        before = passed + tl.cumsum(_depth(density, delta, i - 1, (i > first) & (i < stop)), axis=0)
        seen = (tl.exp(-before) > min_transmittance) & (_alpha(depth) > min_alpha)
        tl.store(keep + i, seen.to(tl.uint8), mask=i < stop)
        passed += tl.sum(depth, axis=0)


@triton.jit
@no_type_check
def accumulate_kernel(offsets, weights, values, sums, channels, WIDTH: tl.constexpr, SAMPLES: tl.constexpr):
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    channel = tl.arange(0, WIDTH)
    total = tl.zeros((WIDTH,), tl.float32)
    for first in range(start, stop, SAMPLES):
        i = first + tl.arange(0, SAMPLES)
        exists = (i < stop)[:, None] & (channel < channels)[None, :]
        weight = tl.load(weights + i, mask=i < stop, other=0.0).to(tl.float32)
        value = tl.load(values + (i * channels)[:, None] + channel[None, :], mask=exists, other=0.0).to(tl.float32)
        total += tl.sum(weight[:, None] * value, axis=0)
    tl.store(sums + ray * channels + channel, total, mask=channel < channels)


@triton.jit
@no_type_check
def accumulate_backward_kernel(
    offsets, weights, values, grad, grad_weights, grad_values, channels, WIDTH: tl.constexpr, SAMPLES: tl.constexpr
):
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    channel = tl.arange(0, WIDTH)
    pull = tl.load(grad + ray * channels + channel, mask=channel < channels, other=0.0).to(tl.float32)
    for first in range(start, stop, SAMPLES):
        i = first + tl.arange(0, SAMPLES)
        exists = (i < stop)[:, None] & (channel < channels)[None, :]
        where = (i * channels)[:, None] + channel[None, :]
        weight = tl.load(weights + i, mask=i < stop, other=0.0).to(tl.float32)
        value = tl.load(values + where, mask=exists, other=0.0).to(tl.float32)
        tl.store(grad_weights + i, tl.sum(value * pull[None, :], axis=1), mask=i < stop)
        tl.store(grad_values + where, weight[:, None] * pull[None, :], mask=exists)
