"""A stage takes fewer steps of views that a model made and that are small, and goes through all of its schedules."""

import json
from dataclasses import replace

import pytest
import torch

from sv3dgen.views.certainty import usual_pixel
from sv3dgen.views.posed_views import read_views, write_views
from systems.pace import Pace
from systems.run import Run
from tests.systems.test_run import small

STEPS = ("coarse.steps=20", "fine.steps=16", "coarse.small_px=96", "coarse.small_steps=0.5", "fine.small_px=96")


@pytest.fixture
def views(views_folder):
    return read_views(views_folder)


def made(views, generated, own_px):
    """The views with small pictures of their own size, the first `generated` of them a model's."""
    small = tuple(torch.zeros(4, own_px, own_px, dtype=torch.uint8) for _ in range(len(views)))
    flags = tuple(index < generated for index in range(len(views)))
    return replace(views, generated=flags, small=small)


@pytest.mark.parametrize("share, own_px, short", [(1.0, 32, True), (0.6, 32, True), (0.5, 32, False), (1.0, 49, False)])
def test_most_views_have_to_be_small_and_generated(views, share, own_px, short):
    pace = Pace("coarse", 1200, 48, 0.5)
    pace.start_from(made(views, round(share * len(views)), own_px))
    assert pace.short is short and pace.last_step == (600 if short else 1200)


def test_schedules_are_gone_through_to_their_end(views):
    pace = Pace("fine", 400, 48, 0.375)
    assert pace.last_step == 400 and pace.scheduled(77) == 77
    pace.start_from(made(views, len(views), 32))
    assert pace.last_step == 150
    assert [pace.scheduled(step) for step in (0, 3, 75, 150)] == [0, 8, 200, 400]


@pytest.mark.parametrize("small_px, small_steps", [(None, 0.5), (48, 1.0)])
def test_without_a_size_or_a_share_all_steps_are_taken(views, small_px, small_steps):
    pace = Pace("fine", 400, small_px, small_steps)
    pace.start_from(made(views, len(views), 32))
    assert not pace.short and pace.last_step == 400


def test_a_pixel_is_as_wide_as_the_views_own_are(views):
    plain = usual_pixel(views)
    distance, focal = views.cameras.positions[0].norm(), views.cameras.focal_px[0].mean()
    assert plain == pytest.approx(float(distance / focal), rel=1e-3)
    half = max(views.images.shape[2:]) // 2
    assert usual_pixel(made(views, 0, half)) == pytest.approx(2 * plain)


def test_a_run_takes_fewer_steps_in_both_stages_and_refines_its_surface(views, tmp_path, caplog):
    caplog.set_level("INFO")
    write_views(replace(views, generated=(True,) * (len(views) - 1) + (False,)), tmp_path / "views")
    settings = (*STEPS, "fine.small_steps=0.4375", "coarse.renderer.warmup_steps=12")
    run = Run(small(tmp_path / "views", *settings), tmp_path / "run")
    run.execute()
    assert run.coarse.global_step == 10 and run.fine.global_step == 7
    assert run.coarse.renderer.warm  # from step 12 of 20 on, which is step 6 of the ten
    assert int(run.fine.geometry.cells) == 28  # due at step 10 of 16, which no step of the 7 falls on
    told = [line for line in caplog.messages if "will do" in line]
    assert told == [
        "coarse: the views are a model's and of at most 96 px; 10 of 20 steps will do (coarse.small_px=null: all)",
        "fine: the views are a model's and of at most 96 px; 7 of 16 steps will do (fine.small_px=null: all)",
    ]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"]
