"""What a program is told of a run's end."""

import json
from signal import SIGTERM

import pytest

from sv3dgen.errors import InputError
from sv3dgen.runs.result import read_result, told_to_programs
from sv3dgen.runs.run_folder import RESULT, RunCard, discard_unused
from sv3dgen.runs.stopping import Stopped


def begun(folder, stage="coarse") -> RunCard:
    card = RunCard.begin(folder, config={}, seed=0)
    with card.stage(stage):
        pass
    return card


def test_a_finished_run_tells_what_there_is(tmp_path):
    with told_to_programs(tmp_path):
        card = begun(tmp_path)
        card.add_metrics(psnr_train=31.5)
        card.card["warnings"].append("the mesh is not closed")
        (tmp_path / "mesh").mkdir()
        (tmp_path / "mesh" / "mesh.glb").write_bytes(b"x")
        card.finish()
    result = read_result(tmp_path)
    assert (result.exit, result.message) == ("finished", None) and result.folder == tmp_path
    assert result.paths == {"glb": tmp_path / "mesh" / "mesh.glb", "card": tmp_path / "run.json"}
    assert result.metrics == {"psnr_train": 31.5} and result.warnings == ("the mesh is not closed",)
    assert set(json.loads((tmp_path / RESULT).read_text())) == {
        *("exit", "folder", "paths", "metrics", "warnings", "message", "seconds")
    }


@pytest.mark.parametrize(
    ("error", "exit", "message"),
    [
        (Stopped(SIGTERM), "stopped", "stopped in fine, at step 3 of 9"),
        (KeyboardInterrupt(), "stopped", "stopped in fine, at step 3 of 9"),
        (InputError("views=x: expected\nothers"), "failed", "views=x: expected others"),
        (MemoryError("no room"), "failed", "MemoryError: no room"),
    ],
)
def test_an_early_end_is_told_and_goes_on(tmp_path, error, exit, message):
    with pytest.raises(type(error)), told_to_programs(tmp_path):
        begun(tmp_path, "fine").stop("fine", 3, 9)
        raise error
    result = read_result(tmp_path)
    assert (result.exit, result.message) == (exit, message)


def test_a_run_that_its_user_has_ended_early_is_stopped(tmp_path):
    with told_to_programs(tmp_path):
        begun(tmp_path, "fine").stop("fine", 3, 9)
    assert read_result(tmp_path).exit == "stopped"


def test_a_refusal_leaves_the_result_of_before_alone(tmp_path):
    with told_to_programs(tmp_path):
        begun(tmp_path).finish()
    with pytest.raises(InputError), told_to_programs(tmp_path):
        raise InputError("resume: finished")
    assert read_result(tmp_path).exit == "finished"


def test_a_run_that_begins_again_and_is_killed_leaves_no_result_of_before(tmp_path):
    with told_to_programs(tmp_path):
        begun(tmp_path).finish()
    begun(tmp_path)
    assert not (tmp_path / RESULT).exists()


def test_a_refused_run_leaves_no_folder(tmp_path):
    folder = tmp_path / "outputs" / "toy" / "now"
    with pytest.raises(InputError), told_to_programs(folder):
        begun(folder, "views")
        raise InputError("views=x: no object")
    assert read_result(folder).exit == "failed"
    discard_unused(folder, tmp_path)
    assert not folder.exists()


@pytest.mark.parametrize("text", [None, "{}", "[]", '{"paths": 3}', "{"])
def test_what_is_no_result_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / RESULT).write_text(text)
    with pytest.raises(InputError, match="expected the result that a run writes"):
        read_result(tmp_path)
