# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportOptionalOperand=false
"""Losses against slow loops, and on the inputs that tend to break them."""

import math

import pytest
import torch

from sv3dgen import losses


def images(channels: int, height: int = 5, width: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, channels, height, width, generator=generator, dtype=torch.float64)


def some_mask(height: int = 5, width: int = 6) -> torch.Tensor:
    return images(1, height, width, seed=9) > 0.4


def neighbor_pairs(values: torch.Tensor, mask: torch.Tensor) -> tuple[list, list]:
    """((image, row, col), difference) across and down where both pixels are selected, by a plain loop."""
    across, down = [], []
    for n in range(values.shape[0]):
        for r in range(values.shape[2]):
            for c in range(values.shape[3]):
                if c + 1 < values.shape[3] and mask[n, 0, r, c] and mask[n, 0, r, c + 1]:
                    across.append(((n, r, c), values[n, :, r, c + 1] - values[n, :, r, c]))
                if r + 1 < values.shape[2] and mask[n, 0, r, c] and mask[n, 0, r + 1, c]:
                    down.append(((n, r, c), values[n, :, r + 1, c] - values[n, :, r, c]))
    return across, down


def test_mse_over_selected_pixels():
    predicted, target, mask = images(3), images(3, seed=1), some_mask()
    picked = [(predicted - target)[n, :, r, c] ** 2 for n, _, r, c in mask.nonzero().tolist()]
    torch.testing.assert_close(losses.mse(predicted, target, mask), torch.stack(picked).mean())
    torch.testing.assert_close(losses.mse(predicted, target), torch.nn.functional.mse_loss(predicted, target))


def test_no_gradient_outside_the_mask():
    predicted, mask = images(3).requires_grad_(), some_mask()
    losses.mse(predicted, images(3, seed=1), mask).backward()
    assert (predicted.grad * ~mask).abs().max() == 0
    assert (predicted.grad * mask).abs().min(dim=1).values.sum() > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_smoothness_against_a_loop(channels):
    values, mask = images(channels), some_mask()
    expected = sum(
        torch.stack([difference.square().sum() for _, difference in pairs]).mean()
        for pairs in neighbor_pairs(values, mask)
    )
    torch.testing.assert_close(losses.smoothness(values, mask), expected)


def test_depth_smoothness_of_a_slope():
    """Depth that grows by 0.1 a column and 0.2 a row: (0.1)^2 + (0.2)^2."""
    depth = 0.1 * torch.arange(6.0) + 0.2 * torch.arange(5.0)[:, None]
    everywhere = torch.ones(1, 1, 5, 6, dtype=torch.bool)
    torch.testing.assert_close(losses.smoothness(depth[None, None], everywhere), torch.tensor(0.05))


def test_bilateral_against_a_loop():
    values, mask, edges = images(3), some_mask(), images(1, seed=3)
    expected = sum(
        torch.stack(
            [torch.exp(-3 * edges[n, 0, r, c]) * (torch.sqrt(1 + diff.norm()) - 1) for (n, r, c), diff in pairs]
        ).mean()
        for pairs in neighbor_pairs(values, mask)
    )
    torch.testing.assert_close(losses.bilateral_smoothness(values, edges, mask), expected, rtol=1e-5, atol=0)


def test_bilateral_lets_go_at_edges_and_is_zero_on_flat():
    values, mask = images(3), torch.ones(2, 1, 5, 6, dtype=torch.bool)
    none, strong = torch.zeros(2, 1, 5, 6).double(), torch.ones(2, 1, 5, 6).double()
    ratio = losses.bilateral_smoothness(values, strong, mask) / losses.bilateral_smoothness(values, none, mask)
    assert ratio.item() == pytest.approx(math.exp(-3))
    flat = torch.ones(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    losses.bilateral_smoothness(flat, none, mask).backward()
    assert losses.bilateral_smoothness(flat, none, mask) == 0 and flat.grad.isfinite().all()


@pytest.mark.parametrize("edges_of", [losses.sobel_edges, losses.difference_edges])
def test_edges_read_the_height_of_a_step(edges_of):
    step = torch.zeros(1, 3, 6, 8)
    step[..., 4:] = 0.5
    edges = edges_of(step)
    torch.testing.assert_close(edges[0, 0, :, 3], torch.full((6,), 0.5))
    assert edges[0, 0, :, :2].max() == 0


def test_sobel_matches_the_kernel():
    picture = images(3)
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).double() / 4
    padded = torch.nn.functional.pad(picture, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
    across = torch.nn.functional.conv2d(padded, kernel[None, None])
    down = torch.nn.functional.conv2d(padded, kernel.T[None, None])
    expected = torch.hypot(across, down).view_as(picture).mean(1, keepdim=True)
    torch.testing.assert_close(losses.sobel_edges(picture), expected)


def test_outside_range():
    values = torch.tensor([0.0, 0.15, 0.5, 0.95, 1.0]).view(1, 1, 1, 5)
    mask = torch.ones(1, 1, 1, 5, dtype=torch.bool)
    assert losses.outside_range(values, 0.15, 0.95, mask).item() == pytest.approx((0.15 + 0.05) / 5)


def test_illumination_compares_with_the_largest_channel():
    light, target, mask = images(1), images(3, seed=1), some_mask()
    off = (target.amax(1, keepdim=True) - light)[mask]
    torch.testing.assert_close(losses.illumination_squared(light, target, mask), off.square().mean())
    torch.testing.assert_close(losses.illumination_absolute(light, target, mask), off.abs().mean())


def test_binary_entropy():
    opacity = torch.tensor([0.0, 1.0, 0.5, 0.2]).view(1, 1, 2, 2).requires_grad_()
    value = losses.binary_entropy(opacity)
    expected = (math.log(2) - 0.2 * math.log(0.2) - 0.8 * math.log(0.8)) / 4
    assert value.item() == pytest.approx(expected, abs=0.005)
    value.backward()
    assert opacity.grad.isfinite().all()


def test_object_mask_needs_all_three():
    yes, no = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    assert losses.object_mask(yes > 0, yes, yes).all()
    for arguments in ((no > 0, yes, yes), (yes > 0, no, yes), (yes > 0, yes, no)):
        assert not losses.object_mask(*arguments).any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (2, 2)])
@pytest.mark.parametrize("selected", [True, False])
def test_small_images_and_empty_masks_give_finite_losses(height, width, selected):
    values = torch.rand(2, 3, height, width, requires_grad=True)
    target = torch.rand(2, 3, height, width)
    mask = torch.full((2, 1, height, width), selected)
    edges = losses.sobel_edges(target) + losses.difference_edges(target)
    neighbors = [losses.smoothness(values, mask), losses.bilateral_smoothness(values, edges, mask)]
    pixels = [
        losses.mse(values, target, mask),
        losses.outside_range(values, 0.15, 0.95, mask),
        losses.illumination_squared(values[:, :1], target, mask),
        losses.illumination_absolute(values[:, :1], target, mask),
    ]
    total = torch.stack(neighbors + pixels + [losses.binary_entropy(values[:, :1])])
    total.sum().backward()
    assert total.isfinite().all() and values.grad.isfinite().all()
    if not selected:
        assert total[:-1].abs().max() == 0
    if height == width == 1:
        assert total[:2].abs().max() == 0


def test_gradients():
    mask = some_mask(3, 3)
    edges = images(1, 3, 3, seed=2)
    values = images(3, 3, 3).requires_grad_()
    for loss in (
        lambda v: losses.smoothness(v, mask),
        lambda v: losses.bilateral_smoothness(v, edges, mask),
        lambda v: losses.binary_entropy(v[:, :1]),
    ):
        assert torch.autograd.gradcheck(loss, values)
