"""Numbers that a glTF file packs come out as they were meant."""

import numpy as np
import pytest
from gltf_case import BLUE, GREEN, RED, SQUARE, SQUARE_FACES, SQUARE_UV, WHITE, corners, quarters

from sv3dgen.meshes.files import read_mesh


def test_normalized_integers_are_fractions(case, tmp_path):
    case.require("KHR_mesh_quantization")
    positions = case.array((SQUARE * 2 * 32767).astype(np.int16), normalized=True, padding=2)
    uv = case.array((SQUARE_UV * 65535).astype(np.uint16), normalized=True)
    case.primitive(positions, SQUARE_FACES, TEXCOORD_0=uv, material=case.textured(quarters()))
    case.json["nodes"][0]["scale"] = [0.5, 0.5, 0.5]
    path = case.save(tmp_path / "a.glb")
    assert np.ptp(read_mesh(path).vertices.numpy(), axis=0) == pytest.approx([1, 1, 0])
    assert corners(path) == [RED, GREEN, BLUE, WHITE]


def test_signed_bytes_do_not_fall_below_minus_one(case, tmp_path):
    values = np.array([[-128, -127, 0], [127, -127, 0], [127, 127, 0]], dtype=np.int8)
    case.primitive(case.array(values, normalized=True, padding=1))
    assert read_mesh(case.save(tmp_path / "a.glb")).vertices[0].tolist() == [-1, -1, 0]


def test_sparse_accessors(case, tmp_path):
    positions = case.array(SQUARE)
    rows, values = np.array([2], dtype=np.uint16), np.array([[1.5, 0.5, 0]], dtype=np.float32)
    case.json["accessors"][positions]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": case.view(rows.tobytes()), "componentType": 5123},
        "values": {"bufferView": case.view(values.tobytes())},
    }
    case.primitive(positions, SQUARE_FACES)
    assert read_mesh(case.save(tmp_path / "a.glb")).vertices.max(0).values.tolist() == [1.5, 0.5, 0]
