import dataclasses

import pytest
import torch

from guidance.smoothness import Smoothness
from sv3dgen import losses
from sv3dgen.errors import InputError
from sv3dgen.interfaces import RenderOutput, ViewBatch
from sv3dgen.views.cameras import look_at_origin


def ball(size: int = 16, seed: int = 0) -> tuple[RenderOutput, ViewBatch]:
    """An orthographic sphere, with noise on its depth and normals, before a target with noise for color."""
    generator = torch.Generator().manual_seed(seed)
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(-line, line, indexing="ij")
    height_squared = 0.8**2 - x**2 - y**2
    inside = (height_squared > 0)[None, None]
    z = height_squared.clamp_min(0).sqrt()
    normal = torch.stack([x, y, z])[None] + 0.1 * torch.randn(1, 3, size, size, generator=generator)
    depth = 2 - z[None, None] + 0.05 * torch.rand(1, 1, size, size, generator=generator)
    colors = torch.rand(3, 1, 3, size, size, generator=generator)
    render = RenderOutput(
        rgb=colors[0] * inside,
        opacity=inside.float(),
        shaded=inside,
        buffers={
            "albedo": colors[1] * inside,
            "irradiance": inside.float(),
            "depth": depth * inside,
            "normal": torch.nn.functional.normalize(normal, dim=1) * inside,
            "albedo_nearby": (colors[1] + 0.1) * inside,
        },
    )
    cameras = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=size)
    return render, ViewBatch(cameras, None, colors[2], inside.float())


ALL = dict.fromkeys(Smoothness.terms, 1.0)


def test_every_term_is_its_loss_over_the_object():
    render, batch = ball()
    got = Smoothness(weights=ALL)(render, batch, 0).losses
    mask = render.shaded
    edges = losses.sobel_edges(batch.rgb * batch.alpha + 1 - batch.alpha)
    expected = {
        "depth": losses.smoothness(render.buffer("depth"), mask),
        "normal": losses.smoothness(render.buffer("normal"), mask),
        "bilateral_depth": losses.bilateral_smoothness(render.buffer("depth"), edges, mask),
        "bilateral_normal": losses.bilateral_smoothness(render.buffer("normal"), edges, mask),
        "albedo": torch.tensor(0.01),
        "albedo_range": losses.outside_range(render.buffer("albedo"), 0.15, 0.95, mask),
    }
    assert list(got) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value)
        assert value > 0


def test_the_jump_at_the_outline_does_not_count():
    """Depth falls to 0 past the outline; what lies there changes nothing."""
    render, batch = ball()
    elsewhere = dataclasses.replace(
        render, buffers={**render.buffers, "depth": torch.where(render.shaded, render.buffer("depth"), 99.0)}
    )
    guidance = Smoothness(weights={"depth": 1.0, "bilateral_depth": 1.0})
    assert guidance(render, batch, 0).losses == guidance(elsewhere, batch, 0).losses


def test_edges_by_forward_differences():
    render, batch = ball()
    edges = losses.difference_edges(batch.rgb * batch.alpha + 1 - batch.alpha)
    got = Smoothness(weights={"bilateral_depth": 1.0}, edges="difference")(render, batch, 0).losses["bilateral_depth"]
    torch.testing.assert_close(got, losses.bilateral_smoothness(render.buffer("depth"), edges, render.shaded))


def test_terms_follow_their_schedules():
    render, batch = ball()
    guidance = Smoothness(weights={"depth": [[10, 0.0], [20, 1.0]], "albedo": 0.0})
    assert set(guidance(render, batch, 10).losses) == set()
    assert set(guidance(render, batch, 11).losses) == {"depth"}


def test_nearby_albedo_must_have_been_rendered():
    render, batch = ball()
    with pytest.raises(InputError, match="albedo_jitter"):
        Smoothness(weights={"albedo": 1.0})(
            dataclasses.replace(render, buffers={"albedo": render.buffer("albedo")}), batch, 0
        )


def test_unknown_term_is_refused():
    with pytest.raises(InputError, match="bilateral_normal"):
        Smoothness(weights={"bilateral": 1.0})


@pytest.mark.parametrize("size", [1, 2])
def test_small_and_empty_images(size):
    render, batch = ball(size)
    nothing = dataclasses.replace(batch, alpha=torch.zeros_like(batch.alpha))
    for got in (Smoothness(weights=ALL)(render, batch, 0), Smoothness(weights=ALL)(render, nothing, 0)):
        assert all(value.isfinite() for value in got.losses.values())
    assert all(value == 0 for value in got.losses.values())
