"""What a page holds in itself."""

import hashlib
import json
import re

import pytest
import torch
from PIL import Image
from report_case import small_run

from sv3dgen.errors import InputError
from sv3dgen.export.glb_bytes import pack_glb
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.gltf.file import open_gltf
from sv3dgen.report.embedded import MODEL_VIEWER, glb_for_page, model_viewer_script, webp_uri


def test_the_script_is_the_one_that_its_readme_names():
    written = (MODEL_VIEWER.parent / "README.md").read_text(encoding="utf-8")
    script = model_viewer_script()
    (promised,) = re.findall(r"\b[0-9a-f]{64}\b", written)
    assert hashlib.sha256(script.encode()).hexdigest() == promised
    assert "</script" not in script.lower()  # or the page would end there
    assert all((MODEL_VIEWER.parent / name).is_file() for name in ("LICENSE", "LICENSE.three", "LICENSE.lit"))


def test_the_mesh_is_unlit_and_otherwise_the_same(tmp_path):
    small_run(tmp_path)
    glb = tmp_path / "mesh" / "mesh.glb"
    data, compressed = glb_for_page(glb)
    (tmp_path / "page.glb").write_bytes(data)
    before, after = read_mesh(glb), read_mesh(tmp_path / "page.glb")
    assert not compressed and torch.equal(before.vertices, after.vertices) and torch.equal(before.faces, after.faces)
    assert torch.equal(before.textures[0], after.textures[0])
    tree = open_gltf(tmp_path / "page.glb").json
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"]
    assert all("KHR_materials_unlit" in material["extensions"] for material in tree["materials"])


def test_a_large_mesh_has_its_picture_compressed(tmp_path):
    small_run(tmp_path, texture_px=256)
    glb = tmp_path / "mesh" / "mesh.glb"
    data, compressed = glb_for_page(glb, most_bytes=1000)
    (tmp_path / "page.glb").write_bytes(data)
    before, after = read_mesh(glb), read_mesh(tmp_path / "page.glb")
    assert compressed and len(data) < glb.stat().st_size and torch.equal(before.vertices, after.vertices)
    assert float((before.textures[0] - after.textures[0]).abs().mean()) < 0.02


def test_lights_of_the_file_stay_out_of_the_page(tmp_path):
    small_run(tmp_path)
    file = open_gltf(tmp_path / "mesh" / "mesh.glb")
    tree = {**file.json, "extensionsUsed": ["KHR_lights_punctual"]}
    tree["extensions"] = {"KHR_lights_punctual": {"lights": [{"type": "directional"}]}}
    tree["nodes"] = [*tree["nodes"], {"extensions": {"KHR_lights_punctual": {"light": 0}}}]
    assert file.binary is not None
    (tmp_path / "lit.glb").write_bytes(pack_glb(tree, file.binary))
    assert b"KHR_lights_punctual" not in glb_for_page(tmp_path / "lit.glb")[0]


def test_pictures_shrink_to_the_size_that_is_asked_for(tmp_path):
    Image.new("RGB", (400, 100), "red").save(tmp_path / "wide.png")
    uri = webp_uri(tmp_path / "wide.png", 100)
    assert uri.startswith("data:image/webp;base64,") and len(uri) < 1000


@pytest.mark.parametrize(
    "damage",
    [
        {"buffers": []},
        {"bufferViews": [{"buffer": 0, "byteLength": "x"}]},
        {"bufferViews": [7]},
        {"materials": 7},
        {"images": [{"bufferView": 99}], "materials": [[]]},
        "extras without end",
    ],
)
def test_a_damaged_mesh_is_named(tmp_path, damage):
    if isinstance(damage, str):  # made here, where a failure is one of this test, and not too deep for json itself
        damage = {"extras": json.loads('{"a":' * 500 + "1" + "}" * 500)}
    small_run(tmp_path)
    glb = tmp_path / "mesh" / "mesh.glb"
    file = open_gltf(glb)
    glb.write_bytes(pack_glb(dict(file.json) | damage, file.binary or b""))
    with pytest.raises(InputError, match="mesh.glb: .*"):
        glb_for_page(glb)
