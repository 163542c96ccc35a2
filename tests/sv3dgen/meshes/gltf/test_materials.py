"""What viewers show of a glTF file's materials is what is read: colors, textures, and light of their own."""

import logging

import numpy as np
import pytest
import torch
from gltf_case import BLUE, GREEN, RED, SQUARE, SQUARE_FACES, SQUARE_UV, WHITE, corners, quarters, seen
from PIL import Image

from sv3dgen.color import linear_to_srgb
from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh

LINEAR = np.array([[0.8, 0.2, 0.4, 1.0]] * 4, dtype=np.float32)


@pytest.mark.parametrize("kind", ["f4", "u1", "u2"])
@pytest.mark.parametrize("channels", [3, 4])
def test_vertex_colors_times_factor(case, tmp_path, kind, channels):
    most = 1 if kind == "f4" else np.iinfo(kind).max
    colors = case.array((LINEAR[:, :channels] * most).astype(kind), normalized=kind != "f4", padding=channels % 4)
    factor = [0.5, 1.0, 0.25, 1.0]
    case.square(COLOR_0=colors, material=case.material(pbrMetallicRoughness={"baseColorFactor": factor}))
    rgb, _ = seen(case.save(tmp_path / "a.glb"))
    expected = linear_to_srgb(torch.tensor(LINEAR[0, :3] * factor[:3]).float())
    assert torch.allclose(rgb[32, 32], expected, atol=0.01)


def test_integer_colors_are_fractions_even_where_it_is_not_said(case, tmp_path):
    case.square(COLOR_0=case.array(np.array([[51, 102, 255, 255]] * 4, dtype=np.uint8)), material=case.material())
    colors = read_mesh(case.save(tmp_path / "a.glb")).vertex_colors
    assert colors is not None and torch.allclose(colors[0], linear_to_srgb(torch.tensor([0.2, 0.4, 1.0])))


def test_vertex_colors_times_factor_times_texture(case, tmp_path):
    texture = {"index": case.texture(Image.new("RGB", (8, 8), (188, 255, 255)))}  # 188 is half of white's light
    material = case.material(pbrMetallicRoughness={"baseColorTexture": texture, "baseColorFactor": [0.5, 0.5, 1, 1]})
    colors = np.array([[0.2, 1, 1]] * 2 + [[0.6, 1, 1]] * 2, dtype=np.float32)  # redder towards the top
    case.square(TEXCOORD_0=SQUARE_UV, COLOR_0=colors, material=material)
    rgb, _ = seen(case.save(tmp_path / "a.glb"))
    expected = linear_to_srgb(torch.tensor([0.4 * 0.5 * 0.5, 0.5, 1.0]))
    assert torch.allclose(rgb[31:33, 32].mean(0), expected, atol=0.01)
    assert float(rgb[26, 32, 0]) > float(rgb[38, 32, 0]) + 0.05


@pytest.mark.parametrize(
    "transform, expected",
    [
        ({"offset": [0.5, 0]}, [GREEN, RED, WHITE, BLUE]),
        ({"offset": [0.5, 0], "scale": [0.5, 0.5]}, [GREEN] * 4),
        ({"offset": [0, 1], "scale": [1, -1]}, [BLUE, WHITE, RED, GREEN]),
        # The extension's own example: the lower left quadrant of the image, turned.
        ({"offset": [0, 1], "rotation": np.pi / 2, "scale": [0.5, 0.5]}, [BLUE] * 4),
        # u' = v, v' = -u: what stood at the upper right comes to the upper left.
        ({"rotation": np.pi / 2, "offset": [0, 1]}, [BLUE, RED, WHITE, GREEN]),
    ],
)
def test_texture_transform(case, tmp_path, transform, expected):
    case.require("KHR_texture_transform")
    material = case.textured(quarters(), {"extensions": {"KHR_texture_transform": transform}})
    case.square(TEXCOORD_0=SQUARE_UV, material=material)
    assert corners(case.save(tmp_path / "a.glb")) == expected


@pytest.mark.parametrize("info", [{"texCoord": 1}, {"extensions": {"KHR_texture_transform": {"texCoord": 1}}}])
def test_the_second_texture_coordinates(case, tmp_path, info):
    material = case.textured(quarters(), info)
    case.square(TEXCOORD_0=SQUARE_UV * 0, TEXCOORD_1=SQUARE_UV, material=material)
    assert corners(case.save(tmp_path / "a.glb")) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("kind, extension", [("WEBP", "EXT_texture_webp"), ("AVIF", "EXT_texture_avif")])
def test_other_image_formats(case, tmp_path, kind, extension):
    case.require(extension)
    texture = case.texture(quarters(), kind)
    case.json["textures"][texture] = {"extensions": {extension: {"source": 0}}}
    material = case.material(pbrMetallicRoughness={"baseColorTexture": {"index": texture}})
    case.square(TEXCOORD_0=SQUARE_UV, material=material)
    assert corners(case.save(tmp_path / "a.glb"))[0] == pytest.approx(RED, abs=0.03)


@pytest.mark.parametrize(
    "wrap, expected",
    [(10497, [RED, GREEN, BLUE, WHITE]), (33071, [WHITE] * 4), (33648, [WHITE, BLUE, GREEN, RED])],
)
def test_what_lies_beyond_the_image(case, tmp_path, wrap, expected):
    case.json["samplers"] = [{"wrapS": wrap, "wrapT": wrap}]
    material = case.textured(quarters())
    case.json["textures"][0]["sampler"] = 0
    case.square(TEXCOORD_0=SQUARE_UV + 1, material=material)
    assert corners(case.save(tmp_path / "a.glb")) == expected


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"diffuseFactor": [0.5, 0.25, 0.1, 1]}, [0.5, 0.25, 0.1]),
        ({"diffuseFactor": [0, 0, 0, 1], "specularFactor": [0.9, 0.6, 0.2]}, [0.9, 0.6, 0.2]),  # gold
    ],
)
def test_specular_glossiness(case, tmp_path, fields, expected):
    case.require("KHR_materials_pbrSpecularGlossiness")
    case.square(material=case.material(extensions={"KHR_materials_pbrSpecularGlossiness": fields}))
    rgb, _ = seen(case.save(tmp_path / "a.glb"))
    assert torch.allclose(rgb[32, 32], linear_to_srgb(torch.tensor(expected)), atol=0.005)


@pytest.mark.parametrize("textured", [False, True])
def test_a_black_material_that_shines_shows_its_light(case, tmp_path, textured, caplog):
    caplog.set_level(logging.INFO)
    fields = {"emissiveFactor": [1, 1, 1] if textured else [1, 0, 0]}
    fields |= {"emissiveTexture": {"index": case.texture(quarters())}} if textured else {}
    material = case.material(pbrMetallicRoughness={"baseColorFactor": [0, 0, 0, 1]}, **fields)
    case.square(TEXCOORD_0=SQUARE_UV, material=material)
    assert corners(case.save(tmp_path / "a.glb")) == ([RED, GREEN, BLUE, WHITE] if textured else [RED] * 4)
    assert "its own light, which is drawn" in caplog.text


def test_light_of_a_colored_material_is_not_looked_at(case, tmp_path):
    material = case.material(pbrMetallicRoughness={"baseColorFactor": [1, 0, 0, 1]}, emissiveFactor=[0, 1, 0])
    case.square(material=material)
    assert corners(case.save(tmp_path / "a.glb")) == [RED] * 4


@pytest.mark.parametrize("light", [None, [0, 1, 0, 1], "bright"])
def test_light_of_a_colored_material_may_be_damaged(case, tmp_path, light):
    material = case.material(pbrMetallicRoughness={"baseColorFactor": [1, 0, 0]}, emissiveFactor=light)
    case.square(material=material)
    assert corners(case.save(tmp_path / "a.glb")) == [RED] * 4
    case.json["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] = [0, 0, 0, 1]
    with pytest.raises(InputError, match="a.glb: .*emissive factor"):
        read_mesh(case.save(tmp_path / "a.glb"))


def test_several_materials_and_unlit(case, tmp_path):
    case.require("KHR_materials_unlit")
    narrow = np.array([0.5, 1, 1], dtype=np.float32)
    left, right = SQUARE * narrow, SQUARE * narrow
    left[:, 0] -= 0.25
    right[:, 0] += 0.25
    red = case.material(pbrMetallicRoughness={"baseColorFactor": [1, 0, 0, 1]}, extensions={"KHR_materials_unlit": {}})
    case.primitive(left, SQUARE_FACES, material=red)
    case.primitive(right, SQUARE_FACES, TEXCOORD_0=SQUARE_UV, material=case.textured(quarters()))
    assert corners(case.save(tmp_path / "a.glb")) == [RED, RED, RED, BLUE]
