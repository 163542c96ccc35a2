"""What a GLB's chunks may be filled up with, and how its faults are named."""

import base64
import json
import struct

import pytest
from gltf_case import GltfCase

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh


def test_a_json_chunk_filled_up_with_zeros(case, tmp_path):
    case.square()
    data = case.save(tmp_path / "a.glb").read_bytes()
    length = struct.unpack("<I", data[12:16])[0]
    text = data[20 : 20 + length] + b"\0" * 4
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + data[20 + length :]
    (tmp_path / "a.glb").write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    assert len(read_mesh(tmp_path / "a.glb").faces) == 2


def test_a_number_that_leads_nowhere_is_named(case, tmp_path):
    case.square(material=7)
    with pytest.raises(InputError, match="a.glb: .*number 7 of materials, which has 0"):
        read_mesh(case.save(tmp_path / "a.glb"))


@pytest.mark.parametrize("shown", [False, True])
def test_a_material_whose_alpha_hides_all(case, tmp_path, shown):
    clear = {"alphaMode": "MASK", "pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 0.3]}}
    case.square(material=case.material(**clear))
    if shown:
        case.square(material=case.material())
        assert len(read_mesh(case.save(tmp_path / "a.glb")).faces) == 2
        return
    with pytest.raises(InputError, match="a.glb: the alpha of material 0 hides all triangles; export it"):
        read_mesh(case.save(tmp_path / "a.glb"))


@pytest.mark.parametrize("name", ["a.vrm", "a.gltf", "a.json", "A.GLB", "a.obj", "avatar"])
def test_a_glb_is_read_by_its_first_bytes(tmp_path, name, caplog):
    case = GltfCase()
    case.square()
    case.json["extensionsUsed"] = case.json["extensionsRequired"] = ["VRM", "VRMC_materials_mtoon"]
    case.save(tmp_path / "a.glb").rename(tmp_path / name)
    with caplog.at_level("INFO"):
        assert len(read_mesh(tmp_path / name).faces) == 2
    assert "its front is at -Z" in caplog.text


@pytest.mark.parametrize("name", ["a.gltf", "a.json", "a.glb"])
def test_a_gltf_json_is_read_by_other_names(tmp_path, name):
    case = GltfCase()
    case.square()
    uri = "data:application/octet-stream;base64," + base64.b64encode(case.bytes).decode()
    document = {**case.json, "buffers": [{"byteLength": len(case.bytes), "uri": uri}]}
    (tmp_path / name).write_text(json.dumps(document))
    assert len(read_mesh(tmp_path / name).faces) == 2


def test_another_json_is_no_mesh(tmp_path):
    (tmp_path / "transforms.json").write_text('{"frames": []}')
    with pytest.raises(InputError, match="not a glTF file"):
        read_mesh(tmp_path / "transforms.json")
