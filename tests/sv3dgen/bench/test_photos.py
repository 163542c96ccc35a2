import math

import pytest
import trimesh

from sv3dgen.bench.photos import markdown, placed


def test_what_the_photo_sees_in_front_stands_in_front(tmp_path):
    angle = math.radians(35)
    long = trimesh.creation.box((0.1, 0.1, 1.0)).apply_transform(
        trimesh.transformations.rotation_matrix(angle, [0, 1, 0])
    )
    long.export(tmp_path / "pole.glb")
    for place, thin in (("front", False), ("aside", True)):
        vertices = placed(tmp_path / "pole.glb", place).vertices
        size = vertices.amax(0) - vertices.amin(0)
        assert float(size[2]) == pytest.approx(1, abs=1e-5)
        assert (float(size[0]) < 0.11) == thin


def test_the_table_has_medians_by_place():
    score = {"chamfer": 0.05, "iou_64": 0.3, "seconds": 100.0, "memory_gb": 1.0, "views_s": 3.0}
    photo = score | {"front_psnr": 31.26, "front_iou": 0.99}
    rows = [
        {"object": "cup", "place": place, "photo": photo if place == "front" else {"error": "no object"}}
        for place in ("front", "aside")
    ]
    text = markdown({"machine": "m", "size_px": 64, "settings": [], "sources": ["photo"], "objects": rows})
    assert "| cup | front | 0.0500 | 0.300 | 100 | 31.3 | 0.990 | 3 | 1.00 |" in text
    assert "| **median** | front | 0.0500 " in text and "| cup | aside | failed |" in text
    assert "true views |" not in text
