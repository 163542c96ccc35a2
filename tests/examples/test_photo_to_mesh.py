"""The library walked from photo to mesh, as examples/photo_to_mesh.py shows it."""

import runpy

import pytest
import trimesh
from checkout import ROOT


# Lightning says so of every loader without workers; a step's batch follows from its number alone.
@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
def test_five_steps_from_photo_to_mesh(tmp_path):
    walk = runpy.run_path(str(ROOT / "examples" / "photo_to_mesh.py"))
    walk["main"](ROOT / "examples" / "photos" / "truck.png", tmp_path, steps=20)
    mesh = trimesh.load(tmp_path / "mesh" / "mesh.glb", force="mesh")
    assert isinstance(mesh, trimesh.Trimesh) and len(mesh.faces) > 500
    assert 0.5 < mesh.extents.max() < 1.3  # the object's longest side is about 1
    assert (tmp_path / "turntable.mp4").stat().st_size > 1000
