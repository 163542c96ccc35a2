# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false
# pyright: reportOptionalOperand=false, reportOperatorIssue=false
"""The normal prior on a sphere: frames, all ways of drawing a batch, closed forms, gradients, and switching off."""

import dataclasses
import logging
import math
from pathlib import Path

import pytest
import torch
from spheres import maps_in_camera, render_of, sphere_views

from guidance.normal_prior import NormalPrior, sampled, to_world
from sv3dgen.data.view_batches import ViewBatches
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Reference, ViewBatch
from sv3dgen.normals.source import NormalSource
from sv3dgen.views.posed_views import PosedViews

VIEWS = sphere_views()
LAYOUTS = {
    "frames": {"layout": "frames", "size_px": 64, "views": 6},
    "smaller": {"layout": "frames", "size_px": 48, "views": 4},
    "cropped": {"layout": "frames", "size_px": 48, "views": 4, "crop_margin_px": 3},
    "strided": {"layout": "strided", "size_px": 64, "views": 6, "stride": 4},
    "patches": {"layout": "patches", "size_px": 40, "patches": 200, "patch_px": 2},
}


class Given(NormalSource):
    """Maps made by a test."""

    missing = "expected a map"

    def __init__(self, maps: torch.Tensor | None):
        self.given = maps

    def maps(self, views: PosedViews, folder: Path) -> torch.Tensor | None:
        return self.given

    def bring_along(self, views: PosedViews, given: Path, folder: Path) -> None:
        pass


def prior(maps: torch.Tensor | None, weight: object = 1.0) -> NormalPrior:
    made = NormalPrior(source=Given(maps), weights={"normal": weight})
    made.start_from(Reference(VIEWS, Path("RUN/views")))
    return made


def batch_of(layout: str, step: int = 0) -> ViewBatch:
    batches = ViewBatches(milestones=[[0, LAYOUTS[layout]]], seed=1)
    batches.use(VIEWS)
    return batches.at(step)


def test_camera_normals_are_turned_into_the_world():
    """From every azimuth and elevation the maps, turned, are the sphere's own normals."""
    maps = maps_in_camera(VIEWS.cameras)
    middle = maps[:, 32, 32]
    torch.testing.assert_close(middle, torch.tensor([0.0, 0.0, 1.0]).expand(6, 3), atol=0.05, rtol=0)
    assert (maps[:, 16, 32, 1] > 0.5).all() and (maps[:, 32, 48, 0] > 0.5).all()  # up is up, right is right
    batch = ViewBatch(VIEWS.cameras, None, VIEWS.rgba[:, :3], VIEWS.rgba[:, 3:], torch.arange(6))
    normal = render_of(batch).buffer("normal")
    assert normal is not None
    torch.testing.assert_close(to_world(maps, VIEWS.cameras).permute(0, 3, 1, 2), normal, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_truth_costs_nothing_however_the_batch_is_drawn(layout):
    guidance, batch = prior(maps_in_camera(VIEWS.cameras)), batch_of(layout)
    loss = guidance(render_of(batch), batch, 0).losses["normal"].item()
    assert 0 <= loss + 1e-6 < 1e-3, loss
    # And by far less than anything else: normals of the neighboring view would.
    shifted = dataclasses.replace(batch, view_index=(batch.view_index + 1) % 6)
    assert guidance(render_of(batch), shifted, 0).losses["normal"].item() > 0.2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_constant_turn_costs_its_closed_form(layout):
    """Normals turned by an angle about an axis a: 1 - n.Rn = (1 - cos)(1 - (n.a)^2)."""
    angle, axis = 0.6, torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5]), dim=0)
    cross = torch.linalg.cross(torch.eye(3), axis.expand(3, 3))
    turn = torch.eye(3) + math.sin(angle) * cross.T + (1 - math.cos(angle)) * (cross.T @ cross.T)
    guidance, batch = prior(maps_in_camera(VIEWS.cameras)), batch_of(layout)
    render = render_of(batch)
    turned = dataclasses.replace(
        render, buffers={"normal": torch.einsum("ij,njhw->nihw", turn, render.buffer("normal"))}
    )
    solid = render.shaded & (batch.alpha > 0.5)
    along = torch.einsum("i,nihw->nhw", axis, render.buffer("normal"))[:, None]
    expected = ((1 - math.cos(angle)) * (1 - along.square()))[solid].mean().item()
    assert guidance(turned, batch, 0).losses["normal"].item() == pytest.approx(expected, abs=2e-3)


def test_the_gradient_turns_normals_towards_the_target():
    guidance, batch = prior(maps_in_camera(VIEWS.cameras)), batch_of("patches")
    truth = render_of(batch)
    right = truth.buffer("normal")
    tilted = torch.nn.functional.normalize(right + torch.tensor([0.3, 0.2, -0.1]).view(1, 3, 1, 1), dim=1)
    free = tilted.clone().requires_grad_()
    guidance(dataclasses.replace(truth, buffers={"normal": free}), batch, 0).losses["normal"].backward()
    counted = free.grad.norm(dim=1) > 0
    assert torch.equal(counted, (truth.shaded & (batch.alpha > 0.5))[:, 0])
    downhill = -(free.grad * (right - tilted)).sum(1)[counted]
    apart = (1 - (tilted * right).sum(1))[counted] > 1e-3
    assert apart.float().mean() > 0.9
    assert (downhill[apart] > 0).float().mean() > 0.98  # but for the rim, where a pixel of the map is 20 degrees


def test_only_what_is_known_counts():
    maps = maps_in_camera(VIEWS.cameras)
    maps[:, :, :32] = 0  # nothing known on the left
    guidance, batch = prior(maps), batch_of("frames")
    render = render_of(batch)
    free = torch.nn.functional.normalize(render.buffer("normal") + 0.3, dim=1).requires_grad_()
    guidance(dataclasses.replace(render, buffers={"normal": free}), batch, 0).losses["normal"].backward()
    assert not free.grad[..., :31].any() and free.grad[..., 33:].any()
    outside = dataclasses.replace(batch, alpha=torch.zeros_like(batch.alpha))
    assert guidance(render, outside, 0).losses["normal"] == 0


def test_samples_are_bilinear_among_the_known():
    maps = torch.zeros(1, 2, 2, 3)
    maps[0, 0, 0], maps[0, 0, 1] = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0])
    places = torch.tensor([[[[0.5, 0.5], [1.0, 0.5], [1.25, 0.5], [0.5, 1.4], [-3.0, 0.5]]]])
    unit, known = sampled(maps, torch.tensor([0]), places)
    assert known.flatten().tolist() == [True, True, True, False, False]
    half = 0.5**0.5
    expected = torch.tensor([[1.0, 0, 0], [half, half, 0], [1 / 10**0.5, 3 / 10**0.5, 0]])
    torch.testing.assert_close(unit[0, :, 0, :3].T, expected)


def test_without_normals_it_is_off_and_says_so_once(caplog, tmp_path):
    with caplog.at_level(logging.INFO):
        for _ in range(2):  # both stages ask
            made = NormalPrior(source=Given(None), weights={"normal": 1.0})
            made.start_from(Reference(VIEWS, tmp_path))
            assert made.weights == {}
            batch = batch_of("frames")
            assert not made(render_of(batch), batch, 0).losses
    assert [record.getMessage() for record in caplog.records] == [
        "normals of the views: none, the shape is fitted without them (expected a map)"
    ]


def test_none_is_silent(caplog):
    with caplog.at_level(logging.INFO):
        made = NormalPrior(source={}, weights={"normal": 1.0})
        made.start_from(Reference(VIEWS, Path("RUN/views")))
    assert made.weights == {} and not caplog.records


def test_unknown_terms_are_refused_and_checkpoints_stay_small():
    with pytest.raises(InputError, match="expected one of normal"):
        NormalPrior(source={}, weights={"normals": 1.0})
    assert not prior(maps_in_camera(VIEWS.cameras)).state_dict()
    batch = batch_of("frames")
    assert not prior(maps_in_camera(VIEWS.cameras), [[5, 0.0], [9, 1.0]])(render_of(batch), batch, 3).losses
