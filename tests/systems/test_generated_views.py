"""Runs with views that a model made: they are corrected, also in a resumed run, and with a shared coarse stage."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from sv3dgen.views.posed_views import write_views
from systems.run import Run
from tests.systems.test_run import small

pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")


@pytest.fixture(scope="module")
def shifted_folder(posed_views, tmp_path_factory) -> Path:
    """The posed views; all but the last are generated, and the third shows everything 3 px too far to the right."""
    images = posed_views.images.clone()
    images[2] = images[2].roll(3, dims=2)
    folder = tmp_path_factory.mktemp("generated") / "toy"
    write_views(dataclasses.replace(posed_views, images=images, generated=(True,) * 11 + (False,)), folder)
    return folder


def settings(views: Path, *overrides: str):
    return small(views, "corrections.learning_rate=0.1", "corrections.shift=0.03", *overrides)


@pytest.fixture(scope="module")
def share(tmp_path_factory) -> Path:
    """Where the coarse stage is, once `finished` is."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def finished(shifted_folder, share, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    Run(settings(shifted_folder), folder, share).execute()
    return folder


def test_a_run_tells_what_its_views_are_off(finished):
    with (finished / "corrections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["view"] for row in rows] == [f"{index:03d}.png" for index in range(12)]
    shift = [float(row["shift_x"]) for row in rows]
    assert shift[-1] == 0 and rows[-1]["gain_red"] == "1.00000"
    # What lies at x + 3 px belongs at x; sixty steps go a part of the way.
    assert shift[2] == min(shift) and -0.06 < shift[2] < -0.008
    assert sorted(map(abs, shift))[-2] < abs(shift[2])
    with Image.open(finished / "corrections.png") as sheet:
        assert sheet.size == (6 * 64, 5 * 64)


def test_a_resumed_run_has_the_same_corrections(finished, shifted_folder, share, tmp_path):
    """The rates are constant, so that a shorter stage is the beginning of a longer one."""
    even = ("fine.learning_rate=0.005", "fine.shape_learning_rate=0.01")
    Run(settings(shifted_folder, *even), tmp_path / "whole", share).execute()
    Run(settings(shifted_folder, *even, "fine.steps=10"), tmp_path / "stopped", share).execute()
    Run(settings(shifted_folder, *even, f"resume={tmp_path / 'stopped'}"), tmp_path / "stopped").execute()
    whole, resumed = (tmp_path / name / "corrections.csv" for name in ("whole", "stopped"))
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_shared_coarse_stage_brings_its_corrections(finished, shifted_folder, share, tmp_path):
    Run(settings(shifted_folder), tmp_path, share).execute()
    assert (tmp_path / "corrections.csv").read_bytes() == (finished / "corrections.csv").read_bytes()
    shared = [json.loads((folder / "run.json").read_text())["shared"] for folder in (finished, tmp_path)]
    assert "coarse" not in shared[0] and "coarse" in shared[1]


def test_photos_alone_are_not_corrected(views_folder, tmp_path):
    run = Run(small(views_folder, "coarse.steps=2", "fine.steps=1", "system=sv3d_nerf"), tmp_path)
    run.execute()
    assert run.coarse.corrections.count == 0 and not (tmp_path / "corrections.csv").exists()
    assert not any(torch.is_tensor(part) and part.numel() for part in run.coarse.corrections.parameters())
