"""The pull of stereo's depths, in closed form."""

from pathlib import Path

import pytest
import torch
from spheres import sphere_views
from torch import Tensor

from guidance.stereo_depth import StereoDepth
from sv3dgen.interfaces import Reference, RenderOutput, ViewBatch
from sv3dgen.stereo.plane_sweep import StereoDepths

VIEWS = sphere_views(32)


def told(depth: float, confidence: float) -> StereoDepths:
    ones = torch.ones(len(VIEWS), 32, 32)
    return StereoDepths(VIEWS.cameras, depth * ones, confidence * ones)


def loss(guidance: StereoDepth, depth: Tensor, opacity: float = 1.0, step: int = 0) -> dict[str, Tensor]:
    images = depth.shape[0]
    batch = ViewBatch(
        VIEWS.cameras[:images],
        None,
        torch.zeros(images, 3, 32, 32),
        torch.ones(images, 1, 32, 32),
        torch.arange(images),
    )
    render = RenderOutput(
        rgb=batch.rgb,
        opacity=torch.full_like(depth, opacity),
        shaded=torch.ones_like(depth, dtype=torch.bool),
        buffers={"depth": depth},
    )
    return dict(guidance(render, batch, step).losses)


def started(stereo: StereoDepths | None, **settings) -> StereoDepth:
    guidance = StereoDepth(weights={"depth": [[0, 10.0], [100, 0.0]]}, **settings)
    guidance.start_from(Reference(VIEWS, Path("views"), stereo=stereo))
    return guidance


def test_it_is_the_mean_error_times_the_confidence() -> None:
    depth = torch.full((2, 1, 32, 32), 1.55)
    found = loss(started(told(1.5, 0.8)), depth)["depth"]
    assert found.item() == pytest.approx(0.05, abs=1e-6)  # all are equally sure
    assert loss(started(told(1.0, 0.8)), depth)["depth"].item() == pytest.approx(0.1, abs=1e-6)  # capped


def test_what_is_not_sure_or_not_there_does_not_pull() -> None:
    depth = torch.full((1, 1, 32, 32), 1.9, requires_grad=True)
    assert loss(started(told(1.5, 0.2)), depth)["depth"].item() == 0
    assert loss(started(told(torch.inf, 0.0)), depth)["depth"].item() == 0
    assert loss(started(told(1.5, 1.0)), depth, opacity=0.1)["depth"].item() == 0


def test_it_pulls_towards_the_depth() -> None:
    depth = torch.full((1, 1, 32, 32), 1.55, requires_grad=True)
    loss(started(told(1.5, 1.0)), depth)["depth"].backward()
    assert (depth.grad > 0).all()


def test_it_is_off_when_its_weight_has_faded_and_without_stereo() -> None:
    depth = torch.full((1, 1, 32, 32), 1.55)
    assert loss(started(told(1.5, 1.0)), depth, step=100) == {}
    assert loss(started(None), depth) == {}


def test_pixels_are_found_in_maps_of_another_size() -> None:
    """The left half of the frame is told 1.5, the right 1.7: a batch of twice the size reads them where they are."""
    stereo = told(1.5, 1.0)
    stereo.depth[:, :, 16:] = 1.7
    guidance = started(stereo)
    cameras = VIEWS.cameras[:1].resized(64, 64)
    pixels = torch.tensor([[[[10, 31], [10, 32]]]])
    batch = ViewBatch(cameras, pixels, torch.zeros(1, 3, 1, 2), torch.ones(1, 1, 1, 2), torch.tensor([0]))
    depth, sure = guidance._told(batch)
    assert depth.flatten().tolist() == pytest.approx([1.5, 1.7]) and (sure == 1).all()
