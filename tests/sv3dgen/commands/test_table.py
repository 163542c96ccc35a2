"""The command, on made-up run folders: what it scores, keeps, says of failures, and refuses."""

import csv
import json
import math
from pathlib import Path

import pytest
import trimesh
import wandb
import yaml
from swept_runs import SDS, write_run
from wandb_store import Kept

from sv3dgen.commands.table import main
from sv3dgen.tables import scores as ablation_scores
from sv3dgen.tables.runs import find_runs, varying


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    folder = tmp_path / "meshes"
    folder.mkdir()
    for name in ("mug", "bus"):
        trimesh.creation.box((1.0, 0.8, 0.6)).export(folder / f"{name}.glb")
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two objects, two seeds, two settings; one run has failed and one was stopped."""
    folder = tmp_path / "multirun" / "now"
    cells = [(sds, name, seed) for sds in ("none", "soft") for name in ("mug", "bus") for seed in ("0", "1")]
    for number, (sds, name, seed) in enumerate(cells):
        given = {"experiment": "table9", SDS: sds, "image": f"photos/{name}.png", "seed": seed}
        size = 0.6 if sds == "soft" else 0.7 + 0.1 * int(seed)
        write_run(folder / str(number), given, image=f"photos/{name}.png", size=size, finished=number != 6)
    (folder / "5" / "error.txt").write_text("mug: no surface\nTraceback")
    (folder / "shared" / "coarse-0123").mkdir(parents=True)
    return folder


def test_runs_are_told_apart_by_what_varies(sweep):
    runs = find_runs([sweep])
    assert [run.folder.name for run in runs] == list("01234567")
    assert [run.name for run in runs] == ["mug", "mug", "bus", "bus"] * 2
    assert varying(runs) == [SDS]
    assert runs[0].value("export.faces") == "1000" and runs[0].value("material") == "constant"
    assert runs[0].value("nowhere.at.all") == "-"
    assert [run.problem for run in runs][5:7] == ["failed: mug: no surface", "not finished, by its run.json"]


def test_the_whole_table(sweep, truth, capsys):
    assert main([str(sweep), "--size-px", "32", "--meshes", str(truth)]) == 0
    told = capsys.readouterr()
    table = [[text.strip() for text in line.split("|")[1:-1]] for line in told.out.splitlines() if line[:1] == "|"]
    head, _, none, paper_none, soft, paper_soft, *rest = table
    assert head == [SDS, "numbers", "runs", "LPIPS", "PSNR", "SSIM", "MSE", "CLIP-S", "CD", "IoU"]
    assert none[:4] == ["none", "ours, sv3d-2024", "4", "-"] and paper_none[1] == "paper: photometric"
    # A box 0.1 or 0.2 too deep: its 8 corners are 0.05 or 0.1 away.
    assert none[8] == f"0.075 ± {0.05 / math.sqrt(2):.3f}"
    assert soft[2] == "2 of 4" and soft[8:] == ["0.000", "1.000"]  # mug at one seed, bus at the other: no spread
    assert paper_soft[3:] == ["0.119", "17.405", "0.849", "0.021", "0.877", "0.024", "0.614"]
    assert [row[1] for row in rest] == ["paper: naive SDS", "paper: hard mask"]
    assert f"- {sweep / '5'}: failed: mug: no surface\n" in told.out
    assert f"- {sweep / '6'}: not finished, by its run.json\n" in told.out
    assert "arXiv 2403.12008" in told.out and "protocol sv3d-2024" in told.out


def test_rows_of_the_same_meshes_are_marked(tmp_path, truth, capsys):
    """As where score distillation was asked for and never began: two equal rows are no result."""
    for number, sds in enumerate(("none", "soft", "hard")):
        write_run(
            tmp_path / "runs" / str(number), {SDS: sds}, image="photos/mug.png", size=0.8 if sds == "hard" else 0.7
        )
    assert main([str(tmp_path / "runs"), "--size-px", "32", "--meshes", str(truth)]) == 0
    told = capsys.readouterr().out
    assert told.count("same meshes as guidance/sds=none") == 1
    assert (
        "- guidance/sds=soft: its meshes are those of guidance/sds=none, byte by byte; the setting had no effect"
        in told
    )


def test_the_table_joins_its_runs_on_weights_and_biases(sweep, truth, capsys):
    for run in sweep.glob("[0-9]"):
        file = run / ".hydra" / "config.yaml"
        logger = {"_target_": "sv3dgen.runs.wandb_log.WandbLog", "project": "tables", "group": None, "offline": True}
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"logger": logger}))
    command = [str(sweep), "--size-px", "32", "--meshes", str(truth), "--format", "csv"]
    assert main([*command, "--wandb"]) == 0
    wandb.teardown()  # waits for the process that writes the files
    told = capsys.readouterr()
    (kept,) = (sweep / "wandb").glob("offline-run-*")
    assert f"wandb sync {kept}" in told.err
    run = Kept(next(kept.glob("run-*.wandb")))
    assert (run.name, run.group, run.exit_code) == ("table", "now", 0)
    (entry,) = run.series("table")
    stored = json.loads((kept / "files" / entry["path"]).read_text())
    head, *lines = csv.reader(told.out.splitlines())
    assert stored["columns"] == head and len(stored["data"]) == len(lines) == 6
    depth = head.index("CD")
    assert stored["data"][0][depth] == float(lines[0][depth]) == pytest.approx(0.075, abs=1e-6)
    assert stored["data"][0][: head.index("runs")] == ["none", "ours, sv3d-2024"]


def test_runs_that_went_nowhere_have_no_place_for_their_table(sweep, truth, capsys):
    assert main([str(sweep), "--meshes", str(truth), "--wandb"]) == 2
    told = capsys.readouterr()
    assert not told.out and "expected the runs of one sweep with logger=wandb" in told.err
    assert told.err.count("\n") == 1


def test_scores_are_kept_until_what_they_are_of_changes(sweep, truth, capsys, monkeypatch):
    main([str(sweep), "--size-px", "32", "--meshes", str(truth)])
    assert capsys.readouterr().err.count("scoring ") == 6
    first = (sweep / "0" / "scores.json").read_bytes()
    main([str(sweep), "--size-px", "32", "--meshes", str(truth)])
    assert "scoring" not in capsys.readouterr().err and (sweep / "0" / "scores.json").read_bytes() == first
    trimesh.creation.box((1.0, 0.8, 0.9)).export(sweep / "0" / "mesh" / "mesh.glb")
    main([str(sweep), "--size-px", "32", "--meshes", str(truth)])
    assert capsys.readouterr().err == f"scoring {sweep / '0'} (sv3d-2024)\n"
    trimesh.creation.box((1.0, 0.8, 0.5)).export(truth / "bus.glb")
    main([str(sweep), "--size-px", "32", "--meshes", str(truth)])
    assert capsys.readouterr().err.count("scoring") == 3
    (sweep / "0" / "scores.json").write_text("{damaged")
    main([str(sweep), "--size-px", "32", "--meshes", str(truth)])
    assert capsys.readouterr().err.count("scoring") == 1
    monkeypatch.setattr(ablation_scores, "VERSION", 2)
    main([str(sweep), "--size-px", "32", "--meshes", str(truth), "--protocol", "sv3d-2024"])
    assert capsys.readouterr().err.count("scoring") == 6


def test_a_metric_whose_weights_are_missing_is_told_and_tried_again(sweep, truth, capsys, monkeypatch):
    command = [str(sweep), "--size-px", "32", "--meshes", str(truth), "--clip", "nobody/no-such-model"]
    for _ in range(2):
        assert main(command) == 0
        told = capsys.readouterr()
        assert told.err.count("scoring ") == 6  # nothing without it is kept
        assert f"- {sweep / '0'}: no clip_s: " in told.out and "nobody/no-such-model is not in" in told.out


def test_what_can_not_be_scored_is_told_and_the_rest_counts(sweep, truth, capsys):
    (truth / "bus.glb").unlink()
    (sweep / "1" / "mesh" / "mesh.glb").write_bytes(b"glTF, cut off")
    (sweep / "4" / "run.json").write_text("{")
    assert main([str(sweep), "--size-px", "32", "--meshes", str(truth)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("| none | ours, sv3d-2024 | 1 of 4 |") for line in lines)
    assert any(line.startswith("| soft | ours, sv3d-2024 | 0 of 4 | - | - |") for line in lines)
    for told in (
        f"- {sweep / '1' / 'mesh' / 'mesh.glb'}: not a readable GLB mesh",
        f"- {sweep / '2'}: no {truth / 'bus.glb'}",
        f"- {sweep / '4' / 'run.json'}: expected the JSON that a run writes",
        "- guidance/sds=soft: without mug, which other rows have",
    ):
        assert any(line.startswith(told) for line in lines), told


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".hydra/hydra.yaml", "hydra: null"),
        (".hydra/hydra.yaml", "hydra: {runtime: [1]}"),
        (".hydra/hydra.yaml", "hydra: {runtime: {choices: null}}"),
        (".hydra/overrides.yaml", "[1, 2]"),
        ("scores.json", "[1]"),
        ("scores.json", '{"a": 1}'),
    ],
)
def test_a_damaged_folder_does_not_end_the_table(sweep, truth, capsys, file, text):
    (sweep / "0" / file).write_text(text)
    assert main([str(sweep), "--size-px", "32", "--meshes", str(truth)]) == 0
    assert "ours, sv3d-2024" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nowhere", "nowhere: no such folder, expected one of runs"),
        ("empty", "empty: no runs in this folder"),
        ("run --meshes nowhere", "nowhere: no such folder, expected one with NAME.glb"),
        ("run --views nowhere", "nowhere: no such folder, expected one with NAME/transforms.json"),
        ("run", "none of 1 runs has a score: run: nothing to compare with: expected --meshes, --views, or views with"),
        ("run --meshes empty", "none of 1 runs has a score: run: no empty/mug.glb"),
        ("damaged --meshes empty", "none of 1 runs has a score: damaged/run.json: expected the JSON that a run writes"),
        ("bare --meshes empty", "none of 1 runs has a score: bare/.hydra/config.yaml: expected the settings of a run"),
        ("run --protocol mine", "argument --protocol: invalid choice: 'mine'"),
        ("", "the following arguments are required: runs"),
    ],
)
def test_what_the_user_has_to_mend_is_one_line(tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", {}, image="mug.png")
    write_run(tmp_path / "damaged", {}, image="mug.png")
    (tmp_path / "damaged" / "run.json").write_text("[1]")
    (tmp_path / "bare" / ".hydra").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    assert main(command.split()) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"sv3dgen.table: {message}") and told.err.count("\n") == 1 and not told.out


def test_a_file_holds_the_table_alone_where_its_format_has_no_place_for_notes(sweep, truth, tmp_path, capsys):
    main(
        [
            str(sweep),
            "--size-px",
            "32",
            "--meshes",
            str(truth),
            "--format",
            "csv",
            "--out",
            str(tmp_path / "out" / "table.csv"),
        ]
    )
    told = capsys.readouterr()
    assert not told.out and "failed: mug: no surface" in told.err
    lines = (tmp_path / "out" / "table.csv").read_text().splitlines()
    assert lines[0].startswith("guidance/sds,numbers,runs,LPIPS,LPIPS spread") and len(lines) == 1 + 2 + 4
    main(
        [
            str(sweep),
            "--size-px",
            "32",
            "--meshes",
            str(truth),
            "--format",
            "latex",
            "--out",
            str(tmp_path / "table.tex"),
        ]
    )
    assert "failed: mug: no surface" in (tmp_path / "table.tex").read_text() and not capsys.readouterr().err
