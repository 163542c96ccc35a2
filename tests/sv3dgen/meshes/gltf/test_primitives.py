"""Strips, fans and packed triangles of a glTF file."""

import logging

import numpy as np
import pytest
import torch
from gltf_case import SQUARE, quarters

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh


def test_strips_fans_and_what_is_no_triangle(case, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="sv3dgen")
    case.primitive(SQUARE, np.array([0, 1, 3, 2], dtype=np.uint16), mode=5)
    case.primitive(SQUARE, np.array([0, 1, 2, 3], dtype=np.uint8), mode=6)
    case.primitive(SQUARE, mode=0)
    mesh = read_mesh(case.save(tmp_path / "a.glb"))
    triangles = mesh.vertices[mesh.faces]
    normals = torch.linalg.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    assert len(mesh.faces) == 4 and bool((normals[:, 2] > 0).all())
    assert "1 primitives of points are left out" in caplog.text


def test_draco(case, tmp_path):
    draco = pytest.importorskip("DracoPy", reason="needs DracoPy, of the draco extra")
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9)), -1).reshape(-1, 2)
    points = np.concatenate([grid, (grid**2).sum(1, keepdims=True)], axis=1).astype(np.float32)
    first = np.arange(80)[(np.arange(80) % 9 != 8) & (np.arange(80) < 72)]
    faces = np.stack([first, first + 1, first + 9], 1).astype(np.uint32)
    data = draco.encode(points, faces, quantization_bits=16, tex_coord=(grid + 1).astype(np.float64) / 2)
    ids = {0: "POSITION", 3: "TEXCOORD_0"}
    attributes = {ids[each["attribute_type"]]: each["unique_id"] for each in draco.decode(data).attributes}
    case.json["accessors"] = [
        {"componentType": 5126, "count": 81, "type": "VEC3"},
        {"componentType": 5126, "count": 81, "type": "VEC2"},
    ]
    packed = {"bufferView": case.view(data), "attributes": attributes}
    case.primitive(
        0, None, TEXCOORD_0=1, extensions={"KHR_draco_mesh_compression": packed}, material=case.textured(quarters())
    )
    case.require("KHR_draco_mesh_compression")
    mesh = read_mesh(case.save(tmp_path / "a.glb"))
    x, y, z = mesh.vertices.T
    assert len(mesh.faces) == len(faces) and torch.allclose(z, x**2 + y**2, atol=1e-3)
    assert mesh.uv is not None and torch.allclose(mesh.uv[:, 0], (x + 1) / 2, atol=1e-3)


def test_draco_without_its_package(case, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    case.square()
    case.require("KHR_draco_mesh_compression")
    with pytest.raises(InputError, match="KHR_draco_mesh_compression.*pip install DracoPy"):
        read_mesh(case.save(tmp_path / "a.glb"))
