"""Runs of a sweep, told apart by what varies."""

from swept_runs import write_run

from sv3dgen.tables.runs import find_runs, varying


def test_a_setting_that_only_some_runs_give_is_the_default_of_the_others(tmp_path):
    write_run(tmp_path / "2", {}, image="mug.png")
    write_run(tmp_path / "10", {"export.faces": "500", "material": "constant"}, image="mug.png")
    runs = find_runs([tmp_path])
    assert [run.folder.name for run in runs] == ["2", "10"]
    assert varying(runs) == ["export.faces"]
    assert [run.value("export.faces") for run in runs] == ["1000", "500"]
