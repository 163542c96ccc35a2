"""Finished runs as one picture."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT
from painted_box import BACK, FRONT, painted_box
from PIL import Image

from sv3dgen.export.gltf import write_glb

spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "examples" / "make_gallery.py")
assert spec is not None and spec.loader is not None
make_gallery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_gallery)


@pytest.fixture
def run(tmp_path: Path, views_folder: Path) -> Path:
    folder = tmp_path / "run"
    write_glb(folder / "mesh" / "mesh.glb", painted_box())
    (folder / "light.json").write_text(json.dumps({"type": "constant"}))
    shutil.copytree(views_folder, folder / "views")
    return folder


def test_each_run_is_a_row_with_its_mesh_from_four_sides(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "gallery.png"
    assert make_gallery.main([str(run), str(run), "--out", str(out), "--size-px", "48"]) == 0
    picture = np.asarray(Image.open(out).convert("RGB")) / 255
    top = make_gallery.TITLE_PX
    assert picture.shape == (top + 2 * 48, 6 * 48, 3)
    assert np.array_equal(picture[top : top + 48], picture[top + 48 :])
    assert np.allclose(picture[top + 24, 48 + 24], FRONT, atol=0.05)
    assert np.allclose(picture[top + 24, 4 * 48 + 24], BACK, atol=0.05)
    gray = picture[top + 24, 5 * 48 + 24]
    assert np.ptp(gray) < 0.02 and 0.2 < gray.mean() < 0.98


def test_what_is_no_run_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_gallery.main([str(tmp_path), "--out", str(tmp_path / "x.png")]) == 2
    told = capsys.readouterr().err
    assert "expected the folder of a finished run" in told and told.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
