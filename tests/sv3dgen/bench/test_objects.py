"""The bench of objects: each in a process of its own, scored, and kept."""

import math
import sys

import pytest

from sv3dgen.bench import __main__ as command
from sv3dgen.bench import objects
from sv3dgen.bench.machine import describe
from sv3dgen.errors import InputError


def test_processes_are_measured_and_their_failures_told(tmp_path):
    cost = objects.run_process([sys.executable, "-c", "x = bytearray(200_000_000)"], tmp_path / "log")
    assert cost.seconds > 0 and (math.isnan(cost.memory_gb) or 0.2 < cost.memory_gb < 1)
    with pytest.raises(InputError, match="what went wrong"):
        objects.run_process([sys.executable, "-c", "raise SystemExit('what went wrong')"], tmp_path / "log")


def test_meshes_are_found_whatever_the_case_of_their_suffix(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("cat.GLB", "Dog.OBJ", "box.obj", "box.glb", "notes.txt", "deep/fox.Glb"):
        (tmp_path / name).touch()
    assert [path.name for path in objects.find_meshes(tmp_path)] == ["Dog.OBJ", "box.glb", "cat.GLB"]
    assert [path.name for path in objects.find_meshes(tmp_path, ["dog", "CA"])] == ["Dog.OBJ", "cat.GLB"]
    assert objects.find_meshes(tmp_path, pattern="**/*")[-1].name == "fox.Glb"
    (tmp_path / "views" / "cat").mkdir(parents=True)
    (tmp_path / "views" / "cat" / "transforms.json").touch()
    found = objects.find_objects(tmp_path / "views", tmp_path)
    assert found == [("cat", tmp_path / "views" / "cat", tmp_path / "cat.GLB")]


@pytest.mark.parametrize("measurement", ["photos", "distillation", "imperfect", "light", "elevation"])
def test_a_folder_without_meshes_is_told(measurement, tmp_path, capsys):
    def refusal(*arguments):
        assert command.main([measurement, *map(str, arguments)]) == 2
        told = capsys.readouterr()
        assert told.out == "" and told.err.count("\n") == 1
        return told.err

    (tmp_path / "notes.txt").touch()
    assert "none: no such folder, expected meshes in it (.glb, " in refusal("--meshes", tmp_path / "none")
    assert f"{tmp_path}: no meshes in it, expected .glb, " in refusal("--meshes", tmp_path)
    (tmp_path / "cat.glb").touch()
    assert "none of its 1 meshes has a name that holds pear or fig" in refusal(
        "--meshes", tmp_path, "--only", "pear", "fig"
    )


def test_objects_are_scored_and_failures_listed(monkeypatch, tmp_path, capsys):
    for name in ("apple", "broken", "no_truth"):
        (tmp_path / "views" / name).mkdir(parents=True)
        (tmp_path / "views" / name / "transforms.json").touch()
    (tmp_path / "meshes").mkdir()
    for name in ("apple", "broken"):
        (tmp_path / "meshes" / f"{name}.glb").touch()

    def run_and_score(views, truth, run, settings):
        if views.name == "broken":
            raise InputError("no mesh came out")
        return {"chamfer": 0.004, "iou_64": 0.95, "faces": 40000, "closed": True, "seconds": 61.0}

    monkeypatch.setattr(objects, "run_and_score", run_and_score)
    out = tmp_path / "docs" / "objects.md"
    arguments = ["objects", "--views", str(tmp_path / "views"), "--meshes", str(tmp_path / "meshes")]
    assert command.main([*arguments, "--out", str(out), "--set", "preset=cpu"]) == 0
    page = out.read_text()
    assert "| apple | 0.0040 | 0.950 |" in page and "| 40000 | yes |" in page
    assert "- broken: no mesh came out" in page and "no_truth" not in page
    assert "| **median** | 0.0040 |" in page and describe() in page and "preset=cpu" in page
    assert command.main([*arguments, "--only", "pear"]) == 2
    assert capsys.readouterr().err.strip().endswith("pear")

    # What was kept is not run again, unless its settings were others.
    kept = [*arguments, "--out", str(out), "--keep", str(tmp_path / "kept"), "--only", "apple", "--set"]
    assert command.main([*kept, "preset=cpu"]) == 0
    monkeypatch.setattr(objects, "run_and_score", lambda *_: {"chamfer": 0.5})
    assert command.main([*kept, "preset=cpu"]) == 0 and "| apple | 0.0040 |" in out.read_text()
    assert command.main([*kept, "preset=draft"]) == 0 and "| apple | 0.5000 |" in out.read_text()


def test_a_kept_row_of_other_files_or_code_is_measured_anew(monkeypatch, tmp_path, capsys):
    for place in ("a", "b"):
        (tmp_path / place / "views" / "apple").mkdir(parents=True)
        (tmp_path / place / "views" / "apple" / "transforms.json").touch()
        (tmp_path / place / "apple.glb").touch()
    measured = []
    monkeypatch.setattr(objects, "run_and_score", lambda *given: measured.append(given) or {"chamfer": 0.5})
    monkeypatch.setattr(objects, "code_digest", lambda: "one")

    def runs(views="a", meshes="a"):
        before = len(measured)
        objects.measure(tmp_path / views / "views", tmp_path / meshes, keep=tmp_path / "kept")
        return len(measured) - before

    assert [runs(), runs(), runs(views="b"), runs("b", "b"), runs("b", "b")] == [1, 0, 1, 1, 0]
    assert "of other views; measured anew" in capsys.readouterr().err
    monkeypatch.setattr(objects, "code_digest", lambda: "two")
    assert [runs("b", "b"), runs("b", "b")] == [1, 0]
    file = tmp_path / "kept" / "apple.row.json"
    whole = file.read_text()
    for damaged in ("", "[]", "{", whole.replace("0.5", '"x"'), whole.replace('"row"', '"raw"'), "[" * 100_000):
        file.write_text(damaged)
        assert runs("b", "b") == 1 and "apple.row.json: damaged" in capsys.readouterr().err


def test_the_code_s_digest_is_that_of_its_files(monkeypatch, tmp_path):
    (tmp_path / "sv3dgen").mkdir()
    (tmp_path / "tests").mkdir()
    monkeypatch.setattr(objects, "CHECKOUT", tmp_path)
    (tmp_path / "sv3dgen" / "a.py").write_text("a = 1")
    before = objects.code_digest()
    (tmp_path / "tests" / "a.py").write_text("a = 1")
    assert objects.code_digest() == before
    (tmp_path / "sv3dgen" / "a.py").write_text("a = 2")
    assert objects.code_digest() != before
