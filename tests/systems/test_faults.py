"""Runs that are killed, or whose disk is full, at each seam of their way: resumed, they end in the same bits."""

import errno
import multiprocessing
import re
from pathlib import Path

import fault_case
import pytest

from sv3dgen.runs.run_folder import read_card

pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
PROCESSES = multiprocessing.get_context("forkserver")  # which imports torch once, and computes nothing
FILES = ("mesh/mesh.glb", "mesh/mesh.obj", "mesh/mesh.png", "light.json", "turntable.mp4", "views/transforms.json")
FURTHER = pytest.mark.thorough
OF_EACH_KIND = ("views done", "second checkpoint, not renamed", "fine", "mesh.glb, not renamed")
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.\w+")


@pytest.fixture(scope="module")
def whole(views_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    fault_case.run(str(views_folder), str(folder))
    return folder


def assert_same(folder: Path, whole: Path) -> None:
    for name in FILES:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert not [path for path in folder.rglob(".*") if UNFINISHED.fullmatch(path.name)]
    assert "finished" in (read_card(folder) or {}) and (folder / "report.html").is_file()


@pytest.mark.parametrize(
    "seam", [pytest.param(seam, marks=() if seam in OF_EACH_KIND else FURTHER) for seam in fault_case.SEAMS]
)
def test_a_run_killed_at_a_seam_goes_on_to_the_same_bits(seam: str, whole: Path, views_folder: Path, tmp_path: Path):
    PROCESSES.set_forkserver_preload(["fault_case"])
    folder = tmp_path / "run"
    process = PROCESSES.Process(target=fault_case.run, args=(str(views_folder), str(folder), seam))
    process.start()
    process.join(300)  # a machine that others use as well
    assert process.exitcode == -9
    fault_case.run(str(views_folder), str(folder), None, f"resume={folder}")
    assert_same(folder, whole)


@pytest.mark.parametrize(
    ("name", "nth"),
    [
        ("transforms.json", 1),
        pytest.param("last.ckpt", 1, marks=FURTHER),
        ("last.ckpt", 3),
        ("mesh.glb", 1),
        pytest.param("report.html", 1, marks=FURTHER),
        pytest.param("run.json", 4, marks=FURTHER),
    ],
)
def test_a_full_disk_ends_a_run_that_goes_on_to_the_same_bits(name, nth, whole, views_folder, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("sv3dgen.atomic.flush_to_disk", fault_case.fill_disk(name, nth))
        with pytest.raises(OSError) as full:
            fault_case.run(str(views_folder), str(folder))
    assert full.value.errno == errno.ENOSPC and "finished" not in (read_card(folder) or {})
    fault_case.run(str(views_folder), str(folder), None, f"resume={folder}")
    assert_same(folder, whole)
