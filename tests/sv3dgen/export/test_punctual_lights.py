"""The fitted light as lamps of a glTF file."""

import json
import math

import numpy as np
import torch
from painted_box import painted_box

from sv3dgen.export.gltf import write_glb
from sv3dgen.export.punctual_lights import EXTENSION, facing, lamps, spread
from sv3dgen.materials.constant import Constant
from sv3dgen.materials.sg import Sg
from sv3dgen.meshes.gltf.file import open_gltf


def test_lamps_light_a_surface_as_the_material_does():
    material = Sg()
    with torch.no_grad():
        for parameter in material.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    light = material.light()
    normals = spread(97)
    with torch.no_grad():
        shading = material(torch.zeros(97, material.feature_dim), torch.from_numpy(normals).float())
    wanted = shading.irradiance[:, 0].numpy()
    towards, lux = lamps(light)
    got = np.maximum(normals @ towards.T, 0) @ lux / math.pi
    assert np.abs(got - wanted).max() < 0.08 * wanted.max()


def test_a_lamps_node_turns_z_to_where_it_is():
    for towards in [*spread(20), np.array([0, 0, -1.0]), np.array([0, 0, 1.0])]:
        x, y, z, w = facing(towards)
        turned = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
        assert np.allclose(turned, towards, atol=1e-6)


def test_the_file_holds_them_where_asked(tmp_path):
    light = Sg().light()
    write_glb(tmp_path / "lit.glb", painted_box(), light=light)
    tree = open_gltf(tmp_path / "lit.glb").json
    lights = tree["extensions"][EXTENSION]["lights"]
    nodes = [node for node in tree["nodes"] if EXTENSION in node.get("extensions", {})]
    assert len(lights) == len(nodes) > 3 and EXTENSION in tree["extensionsUsed"]
    assert tree["scenes"][0]["nodes"] == list(range(len(nodes) + 1))
    write_glb(tmp_path / "unlit.glb", painted_box(), unlit=True, light=Constant().light())
    assert EXTENSION not in json.dumps(dict(open_gltf(tmp_path / "unlit.glb").json))
