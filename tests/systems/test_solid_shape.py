"""A coarse stage that finds its object plainly solid ends sooner, with all of its schedules gone through."""

import json
from pathlib import Path

import pytest
import torch

from sv3dgen.meshes.openings import Opening
from systems.run import Run
from systems.solid_shape import SolidShape
from systems.sv3d_nerf import Sv3dNerf
from tests.systems.test_run import small

pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
EARLY = ("coarse.solid_after=0.5", "coarse.solid_steps=0.75", "checkpoint_every_steps=5", "fine.steps=5")


def test_schedules_are_gone_through_to_their_end():
    solid = SolidShape(1200, 0.4, 0.5)
    assert solid.after == 480 and solid.last_step == 1200 and solid.scheduled(700) == 700
    solid.found = True
    assert solid.last_step == 600
    assert [solid.scheduled(step) for step in (0, 479, 480, 481, 540, 600)] == [0, 479, 480, 486, 840, 1200]


def test_a_stage_that_never_looks_is_as_long_as_it_is():
    never = SolidShape(40, None, 0.5)
    assert never.after is None and never.last_step == 40 and never.scheduled(30) == 30


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_few_steps_have_a_look_only_where_it_may_end_them(steps):
    solid = SolidShape(steps, 0.4, 0.6)
    solid.found = solid.after is not None
    assert solid.last_step <= steps and (solid.after is None or solid.after < solid.last_step < steps)


def test_the_end_comes_after_the_look():
    with pytest.raises(ValueError, match=r"coarse.solid_after=0.5: expected less than coarse.solid_steps=0.4"):
        SolidShape(40, 0.5, 0.4)


def built(views: Path, folder: Path, *settings: str) -> Sv3dNerf:
    run = Run(small(views, *settings), folder)
    assert run.coarse is not None
    run.coarse.whole = torch.ones(4, 4, 4, dtype=torch.bool)
    return run.coarse


class Trial:
    """Stands in for `Hollowing`: openings that pixels speak against, or None."""

    volume = torch.full((4, 4, 4), -1.0)

    def __init__(self, openings):
        self.openings = openings

    def plainly_solid(self, opening_radius):
        return self.openings


NONE = Opening(0.5, False, "pixels")


@pytest.mark.parametrize(
    "found, openings, solid",
    [
        ({}, [], True),
        ({}, [NONE], True),
        ({}, None, False),
        ({"filled_dents": 0.01}, [NONE], False),
        ({"detail": 2}, [NONE], False),
        ({"unseen": "open"}, [NONE], False),
        ({"whole": None}, [NONE], False),  # without stereo openings are not looked for
    ],
)
def test_what_is_plainly_solid(found, openings, solid, views_folder, tmp_path, monkeypatch):
    coarse = built(views_folder, tmp_path)
    for name, value in found.items():
        setattr(coarse, name, value)
    monkeypatch.setattr(coarse, "_fused", lambda: (Trial.volume, None, None))
    monkeypatch.setattr(coarse, "_trial", lambda volume, seen: (Trial(openings), volume))
    assert coarse._is_solid() is solid and coarse.openings == ([NONE] if solid and openings else [])


def test_what_stereo_has_proven_to_be_empty_is_not_plainly_solid(views_folder, tmp_path, monkeypatch):
    coarse = built(views_folder, tmp_path)
    monkeypatch.setattr(coarse, "_fused", lambda: (Trial.volume, None, None))
    monkeypatch.setattr(coarse, "_trial", lambda volume, seen: (Trial([]), volume.abs()))
    assert not coarse._is_solid()


def test_a_solid_object_ends_early_and_a_killed_run_goes_on_to_the_same_mesh(views_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Sv3dNerf, "_is_solid", lambda self: True)
    meshes, rates = [], []
    for name, killed_at in (("whole", None), ("killed", 26)):
        folder = tmp_path / name
        run = Run(small(views_folder, *EARLY), folder)
        coarse = run.coarse
        assert coarse is not None
        step = coarse.training_step

        def counted(*args, coarse=coarse, step=step, killed_at=killed_at):
            if coarse.global_step == killed_at:
                raise MemoryError("killed")
            rates.append(coarse.scheduled(coarse.global_step))
            return step(*args)

        monkeypatch.setattr(coarse, "training_step", counted)
        if killed_at is None:
            run.execute()
            assert rates == [*range(20), *range(20, 40, 2)]
            notes = json.loads((folder / "run.json").read_text())["notes"]
            assert notes["coarse"] == "nothing thin, hollow or guessed at; 30 of 40 steps will do"
        else:
            with pytest.raises(MemoryError):
                run.execute()
            monkeypatch.setattr(Sv3dNerf, "_is_solid", lambda self: pytest.fail("it has looked before"))
            Run(small(views_folder, *EARLY, f"resume={folder}"), folder).execute()
        meshes.append((folder / "mesh" / "mesh.glb").read_bytes())
        assert "finished" in json.loads((folder / "run.json").read_text())
    assert meshes[0] == meshes[1]
