"""What a GLB's chunks may be filled up with, and how its faults are named."""

import struct

import pytest
from gltf_case import GltfCase

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh


@pytest.fixture
def case():
    return GltfCase()


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
