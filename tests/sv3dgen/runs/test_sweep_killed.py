"""The whole program: a sweep of two runs is killed in its second, goes on, and ends in the same bits."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkout import ROOT

from tests.systems.test_run import SMALL

SIZES = (
    *SMALL,
    "coarse.steps=20",
    "fine.geometry.resolutions=[[0, 20]]",
    "coarse.data.milestones=[[0, {size_px:48,layout:patches,patches:128}]]",
    "fine.data.milestones=[[0, {size_px:48,layout:frames,views:4,crop_margin_px:4}]]",
)
CELLS, LONGER = "fine.steps=5,80", "fine.steps=80"
DEADLINE_S = 600  # kernels may have to be compiled first


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "launch.py"), *arguments]


@pytest.mark.thorough
def test_a_killed_sweep_goes_on_to_the_same_mesh(views_folder: Path, tmp_path: Path) -> None:
    sweep, checkpoint = tmp_path / "sweep", tmp_path / "sweep" / "1" / "checkpoints" / "last.ckpt"
    given = [f"views={views_folder}", *SIZES]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command("-m", *given, CELLS, f"hydra.sweep.dir={sweep}"), cwd=tmp_path, stdout=log, stderr=log
        )
        deadline = time.monotonic() + DEADLINE_S
        while not checkpoint.is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
    assert checkpoint.is_file(), (tmp_path / "log.txt").read_text()
    first = json.loads((sweep / "0" / "run.json").read_text())
    assert "finished" in first and "finished" not in json.loads((sweep / "1" / "run.json").read_text())
    mesh = sweep / "0" / "mesh" / "mesh.glb"
    written = mesh.stat().st_mtime_ns

    resumed = subprocess.run(
        command("-m", f"resume={sweep}"), cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "0: finished before" in resumed.stdout
    assert mesh.stat().st_mtime_ns == written and json.loads((sweep / "0" / "run.json").read_text()) == first
    second = json.loads((sweep / "1" / "run.json").read_text())
    assert "finished" in second
    assert second["shared"] == {"coarse": str(next((sweep / "shared").glob("coarse-*[!k]")))}

    alone = tmp_path / "alone"
    subprocess.run(command(*given, LONGER, f"hydra.run.dir={alone}"), cwd=tmp_path, check=True, capture_output=True)
    assert not json.loads((alone / "run.json").read_text())["shared"]
    for name in ("mesh.obj", "mesh.png"):  # the GLB tells the command besides
        assert (sweep / "1" / "mesh" / name).read_bytes() == (alone / "mesh" / name).read_bytes()
