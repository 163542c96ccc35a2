# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportOptionalOperand=false
import dataclasses
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from guidance import reference_views
from guidance.reference_views import ReferenceViews
from sv3dgen import losses
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Reference, RenderOutput, ViewBatch
from sv3dgen.metrics.lpips import Lpips
from sv3dgen.views.cameras import look_at_origin
from tests.helpers.plain_views import plain_views


def scene(height: int = 8, width: int = 8, seed: int = 0) -> tuple[RenderOutput, ViewBatch]:
    """Two images of noise; the object fills the target's left half, and three of four of its pixels are shaded."""
    generator = torch.Generator().manual_seed(seed)

    def noise(channels: int) -> torch.Tensor:
        return torch.rand(2, channels, height, width, generator=generator)

    alpha = torch.zeros(2, 1, height, width)
    alpha[..., : (width + 1) // 2] = 1
    shaded = (noise(1) < 0.75) & (alpha > 0)
    render = RenderOutput(
        rgb=noise(3) * shaded,
        opacity=noise(1),
        shaded=shaded,
        buffers={
            "albedo": noise(3) * shaded,
            "irradiance": noise(1) * shaded,
            "depth": (1 + noise(1)) * shaded,
            "normal": torch.nn.functional.normalize(noise(3) - 0.5, dim=1) * shaded,
        },
    )
    cameras = look_at_origin(torch.zeros(2), torch.tensor([0.0, 90.0]), distance=2.0, size_px=max(height, width))
    return render, ViewBatch(cameras, None, noise(3), alpha)


def target_of(guidance: ReferenceViews, render: RenderOutput, batch: ViewBatch, step: int = 0) -> torch.Tensor:
    """The target over the step's background."""
    return guidance.composited(render, batch, guidance.generator_at(step))[1]


def test_unknown_term_is_refused():
    with pytest.raises(InputError, match="rgb, mask, lpips"):
        ReferenceViews(weights={"color": 1.0})


def test_terms_without_weight_are_not_computed():
    render, batch = scene()
    guidance = ReferenceViews(weights={"rgb": 0.0, "mask": [[0, 0.0], [10, 1.0]]})
    assert not guidance(render, batch, 0).losses
    assert set(guidance(render, batch, 1).losses) == {"mask"}


def test_mask_is_the_squared_difference():
    render, batch = scene()
    got = ReferenceViews(weights={"mask": 1.0})(render, batch, 0).losses["mask"]
    torch.testing.assert_close(got, (render.opacity - batch.alpha).square().mean())


def test_composite_on_white_over_shaded_pixels():
    render, batch = scene()
    got = ReferenceViews(weights={"rgb": 1.0})(render, batch, 0)
    drawn = render.rgb * render.opacity + 1 - render.opacity
    target = batch.rgb * batch.alpha + 1 - batch.alpha
    picked = render.shaded.expand_as(drawn)
    torch.testing.assert_close(got.losses["rgb"], (drawn - target)[picked].square().mean())
    torch.testing.assert_close(target_of(ReferenceViews(weights={"rgb": 1.0}), render, batch), target)


def test_inside_compares_straight_colors_of_solid_pixels():
    render, batch = scene()
    batch = dataclasses.replace(batch, alpha=0.9 * batch.alpha.clone())
    batch.alpha[0] /= 0.9
    got = ReferenceViews(weights={"rgb": 1.0}, compare="inside")(render, batch, 0).losses["rgb"]
    picked = render.shaded[0].expand(3, -1, -1)
    torch.testing.assert_close(got, (render.rgb - batch.rgb)[0][picked].square().mean())


def test_inside_leaves_opacity_alone():
    render, batch = scene()
    opacity = render.opacity.clone().requires_grad_()
    rgb = render.rgb.clone().requires_grad_()
    render = dataclasses.replace(render, opacity=opacity, rgb=rgb)
    ReferenceViews(weights={"rgb": 1.0}, compare="inside")(render, batch, 0).losses["rgb"].backward()
    assert opacity.grad is None and rgb.grad.abs().max() > 0


def backgrounds(seed: int, steps: int) -> torch.Tensor:
    """The color each step puts behind an image of nothing."""
    render, batch = scene(2, 2)
    batch = dataclasses.replace(batch, alpha=torch.zeros_like(batch.alpha))
    guidance = ReferenceViews(weights={"rgb": 1.0}, background="random", seed=seed)
    return torch.stack([target_of(guidance, render, batch, step)[0, :, 0, 0] for step in range(steps)])


def test_random_background_is_white_half_the_time_and_follows_seed_and_step():
    first = backgrounds(0, 300)
    white = (first == 1).all(1).float().mean().item()
    assert 0.4 < white < 0.6
    colors = first[~(first == 1).all(1)]
    assert len(colors.unique(dim=0)) == len(colors)
    assert colors.mean().item() == pytest.approx(0.5, abs=0.06)
    assert torch.equal(first[:20], backgrounds(0, 20))
    assert not torch.equal(first[:20], backgrounds(1, 20))


def test_small_and_empty_images_give_zero_not_nan():
    for height, width in ((1, 1), (2, 2)):
        render, batch = scene(height, width)
        nothing = dataclasses.replace(render, shaded=torch.zeros_like(render.shaded))
        for compare in ("composite", "inside"):
            guidance = ReferenceViews(weights={"rgb": 1.0, "mask": 1.0}, compare=compare, background="random")
            assert guidance(render, batch, 0).losses["rgb"].isfinite()
            assert guidance(nothing, batch, 0).losses["rgb"] == 0


@pytest.fixture
def random_lpips(monkeypatch) -> Lpips:
    module = Lpips(net="alex")
    monkeypatch.setattr("sv3dgen.metrics.lpips.load_lpips", lambda *_, **__: module)
    return module


def test_lpips_sees_shaded_pixels_only(random_lpips):
    render, batch = scene(32, 40)
    rgb = render.rgb.clone().requires_grad_()
    render = dataclasses.replace(render, rgb=rgb)
    guidance = ReferenceViews(weights={"lpips": 1.0})
    got, target = guidance(render, batch, 0), target_of(guidance, render, batch)
    drawn = torch.where(render.shaded, rgb * render.opacity + 1 - render.opacity, target)
    torch.testing.assert_close(got.losses["lpips"], random_lpips(drawn, target).mean())
    got.losses["lpips"].backward()
    assert rgb.grad[render.shaded.expand_as(rgb)].abs().max() > 0
    assert rgb.grad[~render.shaded.expand_as(rgb)].abs().max() == 0


def test_lpips_cuts_squares_around_the_object(random_lpips, monkeypatch):
    seen = []
    monkeypatch.setattr(random_lpips, "forward", lambda drawn, target: seen.append(target) or torch.zeros(len(drawn)))
    render, batch = scene(48, 64)
    guidance = ReferenceViews(weights={"lpips": 1.0}, lpips_px=32)
    for step in (0, 0, 1):
        guidance(render, batch, step)
    assert {tuple(target.shape) for target in seen} == {(2, 3, 32, 32)}
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])
    assert ((seen[0] < 1).any(1).float().mean((1, 2)) > 0.3).all()


def test_images_too_small_for_lpips_are_told_once(random_lpips, caplog):
    render, batch = scene(8, 8)
    guidance = ReferenceViews(weights={"lpips": 1.0, "mask": 1.0})
    with caplog.at_level(logging.WARNING):
        assert [set(guidance(render, batch, step).losses) for step in (0, 1)] == [{"mask"}] * 2
    assert len(caplog.records) == 1


def test_lpips_that_cannot_be_had_is_left_out(monkeypatch):
    monkeypatch.setattr("sv3dgen.metrics.lpips.load_lpips", lambda *_, **__: None)
    render, batch = scene(32, 32)
    guidance = ReferenceViews(weights={"lpips": 1.0, "rgb": 1.0})
    assert set(guidance(render, batch, 0).losses) == {"rgb"}


def test_lpips_is_not_looked_for_unless_it_will_weigh(monkeypatch):
    monkeypatch.setattr(reference_views, "_lpips", lambda *_: pytest.fail("looked for LPIPS"))
    ReferenceViews(weights={"rgb": 1.0, "lpips": [[0, 0.0], [100, 0.0]]})


def test_import_pulls_in_no_lpips():
    names = "{'torchmetrics', 'lpips', 'sv3dgen.metrics.lpips'}"
    code = f"import sys, guidance.reference_views; sys.exit(bool({names} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rgb_equals_the_loss_function():
    render, batch = scene()
    got = ReferenceViews(weights={"rgb": 1.0}, compare="inside")(render, batch, 3).losses["rgb"]
    torch.testing.assert_close(got, losses.mse(render.rgb, batch.rgb, render.shaded & (batch.alpha > 0.95)))


def test_the_color_error_of_generated_views_levels_off():
    render, batch = scene()
    photos = ReferenceViews(weights={"rgb": 1.0}, robust_scale=0.2)(render, batch, 0).losses["rgb"]
    mixed = dataclasses.replace(batch, generated=torch.tensor([True, False]))
    forgiving = ReferenceViews(weights={"rgb": 1.0}, robust_scale=0.2)(render, mixed, 0).losses["rgb"]
    squaring = ReferenceViews(weights={"rgb": 1.0}, robust_scale=None)(render, mixed, 0).losses["rgb"]
    torch.testing.assert_close(squaring, photos)
    guidance = ReferenceViews(weights={"rgb": 1.0})
    drawn = guidance.composited(render, batch, guidance.generator_at(0))[0]
    error = (drawn - target_of(guidance, render, batch)).square().mean(1, keepdim=True)
    error[0] = error[0] / (1 + error[0] / 0.2**2)
    torch.testing.assert_close(forgiving, error[render.shaded].mean())
    assert forgiving < photos
    with pytest.raises(ValueError, match="robust_scale=0"):
        ReferenceViews(weights={"rgb": 1.0}, robust_scale=0.0)


@pytest.mark.parametrize("own_px, photos, counts", [(6, 1, False), (7, 1, True), (6, 2, True)])
def test_a_photo_alone_among_small_views_pulls_by_its_mask_alone(own_px, photos, counts, caplog):
    caplog.set_level("INFO")
    render, batch = scene()
    small = tuple(torch.zeros(4, own_px, own_px, dtype=torch.uint8) if at >= photos else None for at in range(5))
    cameras = look_at_origin(torch.zeros(5), torch.arange(5.0) * 72, distance=2.0, size_px=8)
    views = plain_views(torch.ones(5, 4, 8, 8), cameras)
    views = dataclasses.replace(views, generated=tuple(at >= photos for at in range(5)), small=small)
    mixed = dataclasses.replace(batch, generated=torch.tensor([True, False]))
    weights = {"rgb": 1.0, "mask": 1.0}
    guidance, plain = (ReferenceViews(weights=weights, lone_photo_px=6, lone_photo_color=color) for color in (0.0, 1.0))
    for part in (guidance, plain):
        part.start_from(Reference(views, Path("views")))
    found, expected = guidance(render, mixed, 0).losses, plain(render, mixed, 0).losses
    assert ["6 px; in this stage its color counts 0 (lone_photo_color)" in line for line in caplog.messages] == (
        [] if counts else [True]
    )
    torch.testing.assert_close(found["mask"], expected["mask"])
    shaded = render.shaded.clone()
    shaded[1] = False
    share = 1.0 if counts else float(shaded.sum() / render.shaded.sum())
    of_generated = plain(dataclasses.replace(render, shaded=shaded), mixed, 0).losses["rgb"]
    torch.testing.assert_close(found["rgb"], expected["rgb"] if counts else share * of_generated)
    with pytest.raises(ValueError, match="lone_photo_color=2"):
        ReferenceViews(weights=weights, lone_photo_px=6, lone_photo_color=2.0)


def test_a_generated_alpha_of_one_half_says_nothing_of_the_outline():
    render, batch = scene()
    mixed = dataclasses.replace(batch, generated=torch.tensor([True, False]))
    squared = (render.opacity - batch.alpha).square()
    doubting = ReferenceViews(weights={"mask": 1.0}, mask_doubt=1.0)
    torch.testing.assert_close(doubting(render, batch, 0).losses["mask"], squared.mean())
    weight = torch.stack([(2 * batch.alpha[0] - 1).square(), torch.ones_like(batch.alpha[1])])
    torch.testing.assert_close(doubting(render, mixed, 0).losses["mask"], (weight * squared).mean())
    sure = ReferenceViews(weights={"mask": 1.0})(render, mixed, 0).losses["mask"]
    torch.testing.assert_close(sure, squared.mean())
    with pytest.raises(ValueError, match="mask_doubt=2"):
        ReferenceViews(weights={"mask": 1.0}, mask_doubt=2.0)


def test_a_small_view_is_compared_with_the_mean_over_its_pixels():
    render, batch = scene()
    blocks = torch.nn.functional.avg_pool2d(render.opacity, 2)
    own = torch.rand(2, 1, 4, 4)
    small = dataclasses.replace(batch, alpha=own.repeat_interleave(2, 2).repeat_interleave(2, 3), footprint_px=(2, 2))
    losses = ReferenceViews(weights={"mask": 1.0})(render, small, 0).losses
    torch.testing.assert_close(losses["mask"], (blocks - own).square().mean())


def test_inside_a_pixel_of_a_small_view_plain_is_better():
    render, batch = scene()
    target = torch.rand(2, 3, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    everywhere = torch.ones_like(render.shaded)
    small = dataclasses.replace(batch, rgb=target, alpha=torch.ones_like(batch.alpha), footprint_px=(2, 2))
    checkers = 0.1 * (-1.0) ** torch.arange(64).reshape(8, 8).cumsum(0).cumsum(1)
    losses = []
    for pattern in (0 * checkers, checkers):
        pattern = pattern - torch.nn.functional.avg_pool2d(pattern[None], 2)[0].repeat_interleave(
            2, 0
        ).repeat_interleave(2, 1)
        drawn = dataclasses.replace(
            render, rgb=target + pattern, opacity=torch.ones_like(render.opacity), shaded=everywhere
        )
        losses.append(ReferenceViews(weights={"rgb": 1.0})(drawn, small, 0).losses["rgb"])
        expected = reference_views.WITHIN_FOOTPRINT * pattern.square().mean()
        torch.testing.assert_close(losses[-1], expected, atol=1e-6, rtol=1e-4)
    assert losses[0] < losses[1]
