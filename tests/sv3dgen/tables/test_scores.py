"""What a run is scored by."""

import json
import shutil

import pytest
from swept_runs import write_run

from sv3dgen.tables.runs import find_runs
from sv3dgen.tables.scores import Truth, scores_of_run


def test_color_is_compared_with_held_back_views_of_the_run_or_of_a_folder(tmp_path, views_folder):
    shutil.copytree(views_folder, tmp_path / "truth" / "toy")
    run = write_run(tmp_path / "run", {}, views=tmp_path / "truth" / "toy", size=0.6)
    (own,) = find_runs([run])
    scores, problems = scores_of_run(own, Truth())
    assert scores == {} and problems[0].startswith("nothing to compare with")  # all views were fitted: no truth
    scores, problems = scores_of_run(own, Truth(views=tmp_path / "truth"))
    assert scores.keys() == {"PSNR", "SSIM", "MSE"} and not problems
    assert scores["MSE"] == pytest.approx(10 ** (-scores["PSNR"] / 10), rel=0.5)
    document = json.loads((tmp_path / "truth" / "toy" / "transforms.json").read_text())
    for frame in document["frames"][:2]:
        frame["split"] = "test"
    (tmp_path / "truth" / "toy" / "transforms.json").write_text(json.dumps(document))
    of_two, problems = scores_of_run(own, Truth())
    assert of_two.keys() == scores.keys() and of_two != scores and not problems
    assert scores_of_run(own, Truth(views=tmp_path / "truth"))[0] == of_two
