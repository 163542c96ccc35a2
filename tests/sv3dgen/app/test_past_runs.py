"""Past runs: which there are, and which of their files a page may ask for."""

import zipfile

import pytest

from sv3dgen.app.past_runs import find_runs, run_file, run_folder, zipped


@pytest.fixture
def runs(tmp_path):
    run = tmp_path / "runs" / "toy" / "2026-01-01"
    for name in ("run.json", "report.html", "mesh/mesh.glb", "checkpoints/last.ckpt", ".hydra/config.yaml", "own.txt"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    (tmp_path / "secret").write_text("secret")
    (run / "mesh" / "link.glb").symlink_to(tmp_path / "secret")
    return tmp_path / "runs"


def test_runs_are_found_by_their_cards(runs):
    (runs / "toy" / "empty").mkdir()
    (runs / ".inputs" / "x").mkdir(parents=True)
    (runs / ".inputs" / "x" / "run.json").write_text("{}")
    assert find_runs(runs) == ["toy/2026-01-01"]
    assert find_runs(runs / "none") == []


@pytest.mark.parametrize(
    "key", ["..", "../secret", "toy/..", "toy/../toy", "/etc/passwd", "toy", "", "a/b/c", ".a/b", f"a/{'x' * 5000}"]
)
def test_no_key_leads_out(runs, key):
    assert run_folder(runs, key) is None


def test_only_a_runs_own_files_are_given(runs):
    assert run_file(runs, "toy/2026-01-01", "mesh/mesh.glb") is not None
    assert run_file(runs, "toy/2026-01-01", "report.html") is not None
    for name in (
        "mesh/link.glb",
        "own.txt",
        "../../../secret",
        "mesh/../../../../secret",
        "mesh/none.glb",
        "",
        f"mesh/{'x' * 5000}",
    ):
        assert run_file(runs, "toy/2026-01-01", name) is None


def test_a_zip_holds_what_one_wants_to_take(runs):
    path = zipped(runs / "toy" / "2026-01-01")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = ["toy/mesh/mesh.glb", "toy/own.txt", "toy/report.html", "toy/run.json"]
        assert sorted(archive.namelist()) == names
    path.unlink()
