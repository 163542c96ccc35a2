"""The page of a sweep, as text, and the command that writes pages anew."""

import pytest
from omegaconf import OmegaConf
from report_case import small_run

from sv3dgen.report.__main__ import main
from sv3dgen.report.sweep import differing, runs_of, write_sweep_report
from sv3dgen.report.sweep_callback import SweepReport
from sv3dgen.runs.sweeps import note_failure


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "yesterday"
    for number in range(3):
        small_run(folder / str(number), settings=("views=toy", f"seed={number}", "steps=9"), mode="MULTIRUN").finish()
    note_failure(folder / "2", "out of <memory>")
    return folder


def test_the_table_has_what_differs_and_why_a_run_failed(sweep):
    page = write_sweep_report(sweep)
    assert page is not None and page == sweep / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "href" not in text.partition("The meshes")[0].partition("<main")[2]  # of pages that are not there
    for number in range(3):
        (sweep / str(number) / "report.html").touch()
    write_sweep_report(sweep)
    text = page.read_text(encoding="utf-8")
    assert "toy, sweep yesterday – sv3dgen" in text
    assert '<th scope="col">seed</th>' in text and "steps" not in text
    assert "out of &lt;memory&gt;" in text and text.count('class="chip finished"') == 2
    assert [f'href="./{number}/report.html"' in text for number in range(3)] == [True] * 3
    assert text.count("<model-viewer ") == 3


def test_a_damaged_run_leaves_the_others_their_page(sweep):
    (sweep / "0" / "run.json").write_text("{")
    (sweep / "1" / "comparison").mkdir()
    (sweep / "1" / "comparison" / "comparison.json").write_text("[]")
    (sweep / "2" / "report.html").touch()
    (sweep / "2").rename(sweep / "c:x #2")
    page = write_sweep_report(sweep)
    assert page is not None
    text = page.read_text(encoding="utf-8")
    assert text.count('class="chip damaged"') == 2 and text.count("<model-viewer ") == 2
    assert "run.json: expected the JSON" in text and "comparison.json: expected the JSON" in text
    assert 'href="./c%3Ax%20%232/report.html"' in text


def test_meshes_beyond_the_room_are_linked_to(sweep, monkeypatch):
    monkeypatch.setattr("sv3dgen.report.sweep.MOST_MESH_BYTES", 1)
    page = write_sweep_report(sweep)
    assert page is not None
    text = page.read_text(encoding="utf-8")
    assert text.count("<model-viewer ") == 1 and "Not shown here, for their size" in text


def test_runs_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("10", "9", "lion/2"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
    assert [str(path.relative_to(tmp_path)) for path in runs_of(tmp_path)] == ["9", "10", "lion/2"]


def test_keys_that_all_share_are_no_columns():
    assert differing([{"a": "1", "b": "2"}, {"a": "1", "b": "3"}, {"a": "1", "b": "3", "c": "x"}]) == ["b", "c"]


def test_the_callback_writes_the_page(sweep, capsys):
    SweepReport().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(sweep)}}}))
    assert (sweep / "report.html").is_file() and "sweep:" in capsys.readouterr().out


def test_the_command_takes_runs_and_sweeps(sweep, tmp_path, capsys):
    assert main([str(sweep / "0")]) == 0 and (sweep / "0" / "report.html").is_file()
    assert main([str(sweep)]) == 0 and (sweep / "report.html").is_file()
    (tmp_path / "empty").mkdir()
    for wrong in ("empty", "missing"):
        assert main([str(tmp_path / wrong)]) == 2
    assert "expected the folder of a run" in capsys.readouterr().err
