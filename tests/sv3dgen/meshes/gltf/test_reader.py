"""What viewers show of a glTF file is what is read: colors, textures, alpha, and where the vertices lie."""

import logging

import numpy as np
import pytest
import torch
from gltf_case import SQUARE, SQUARE_FACES, SQUARE_UV, GltfCase, quarters
from PIL import Image

from sv3dgen.color import linear_to_srgb
from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import look_at_origin

RED, GREEN, BLUE, WHITE = (1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (1.0, 1.0, 1.0)
LINEAR = np.array([[0.8, 0.2, 0.4, 1.0]] * 4, dtype=np.float32)


@pytest.fixture
def case():
    return GltfCase()


def seen(path, *, size=64):
    """Straight color (h, w, 3) and opacity (h, w) of the square that fills the middle of the frame."""
    cameras = look_at_origin(torch.zeros(1), torch.zeros(1), distance=3.0, size_px=size)
    image = render_textured(read_mesh(path), cameras, 2)[0]
    return image[:3].movedim(0, 2), image[3]


def corners(path):
    """The colors seen at the upper left, upper right, lower left and lower right of the unit square."""
    rgb, _ = seen(path)
    low, high = 26, 38
    return [tuple(round(float(x), 2) for x in rgb[y, x]) for y in (low, high) for x in (low, high)]


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


def test_an_alpha_mask_is_cut_out(case, tmp_path):
    picture = np.full((64, 64, 4), 255, dtype=np.uint8)
    y, x = np.mgrid[:64, :64]
    hole = (x - 31.5) ** 2 + (y - 31.5) ** 2 < 16**2
    picture[hole, 3] = 40
    material = case.textured(Image.fromarray(picture), alphaMode="MASK", alphaCutoff=0.4)
    case.square(TEXCOORD_0=SQUARE_UV, material=material)
    path = case.save(tmp_path / "a.glb")
    mesh = read_mesh(path)
    triangles = mesh.vertices[mesh.faces]
    area = 0.5 * torch.linalg.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]).norm(dim=-1)
    assert float(area.sum()) == pytest.approx(1 - hole.mean(), abs=0.01)
    _, opacity = seen(path)
    assert float(opacity[32, 32]) == 0 and float(opacity[24, 24]) == 1


@pytest.mark.parametrize("alpha, refused", [(255, False), (110, True)])
def test_translucent_surfaces_are_refused(case, tmp_path, alpha, refused):
    material = case.textured(Image.new("RGBA", (4, 4), (255, 0, 0, alpha)), alphaMode="BLEND")
    case.square(TEXCOORD_0=SQUARE_UV, material=material)
    path = case.save(tmp_path / "a.glb")
    if refused:
        with pytest.raises(InputError, match="alphaMode BLEND"):
            read_mesh(path)
    else:
        assert len(read_mesh(path).faces) == 2


def test_an_opaque_material_ignores_alpha(case, tmp_path):
    case.square(TEXCOORD_0=SQUARE_UV, material=case.textured(Image.new("RGBA", (4, 4), (255, 0, 0, 0))))
    rgb, opacity = seen(case.save(tmp_path / "a.glb"))
    assert rgb[32, 32].tolist() == pytest.approx(RED) and float(opacity[32, 32]) == 1


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


@pytest.mark.parametrize(
    "name, advice",
    [
        ("EXT_meshopt_compression", "gltf-transform/cli copy"),
        ("KHR_texture_basisu", "ktxdecompress"),
        ("KHR_materials_transmission", "without"),
        ("ACME_new_thing", "without"),
    ],
)
def test_required_extensions_are_refused_by_name(case, tmp_path, name, advice):
    case.square()
    case.require(name)
    with pytest.raises(InputError, match=name) as caught:
        read_mesh(case.save(tmp_path / "a.glb"))
    assert advice in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_only_used_is_told(case, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="sv3dgen")
    case.square(material=case.material())
    case.json["extensionsUsed"] = ["KHR_materials_transmission", "KHR_materials_clearcoat"]
    read_mesh(case.save(tmp_path / "a.glb"))
    assert "KHR_materials_transmission" in caplog.text and "clearcoat" not in caplog.text


def test_packed_views_without_plain_bytes_are_refused(case, tmp_path):
    case.square()
    case.json["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": {"buffer": 0}}
    with pytest.raises(InputError, match="EXT_meshopt_compression"):
        read_mesh(case.save(tmp_path / "a.glb"))


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


def test_a_separate_file_with_its_image_elsewhere(tmp_path, caplog):
    (tmp_path / "textures").mkdir()
    quarters().save(tmp_path / "textures" / "My Tex.png")
    case = GltfCase()
    case.square(TEXCOORD_0=SQUARE_UV, material=case.textured(quarters()))
    case.json["images"] = [{"uri": "C:\\art\\My%20Tex.png"}]
    assert corners(case.save(tmp_path / "a.glb")) == [RED, GREEN, BLUE, WHITE]
    case.json["images"] = [{"uri": "gone.png"}]
    with pytest.raises(InputError, match="gone.png, which is missing"):
        read_mesh(case.save(tmp_path / "a.glb"))


def test_damaged_files_are_refused_in_one_line(case, tmp_path):
    case.square(TEXCOORD_0=SQUARE_UV, material=case.textured(quarters()))
    for change in (
        {"accessors": [{"bufferView": 99}]},
        {"nodes": [{"mesh": 7}]},
        {"asset": {"version": "1.0"}},
        {"nodes": [{"mesh": 0, "children": [0]}]},
        {"bufferViews": [entry | {"byteLength": 9} for entry in case.json["bufferViews"]]},
        {"bufferViews": [entry | {"byteOffset": -8} for entry in case.json["bufferViews"]]},
        {"nodes": [{"mesh": -1}]},
        {"scenes": [{"nodes": [-1]}]},
        {"extensionsRequired": [["KHR_materials_unlit"]]},
        {"extensionsRequired": {"KHR_materials_unlit": 1}},
        {"materials": [{"pbrMetallicRoughness": {"baseColorFactor": [[1, 1, 1, 1]]}}]},
        {"materials": [{"pbrMetallicRoughness": {"baseColorFactor": [float("nan"), 1, 1, 1]}}]},
    ):
        whole = case.json
        case.json = whole | change
        with pytest.raises(InputError) as caught:
            read_mesh(case.save(tmp_path / "a.glb"))
        assert "a.glb" in str(caught.value) and "\n" not in str(caught.value)
        case.json = whole


def test_few_bytes_make_no_endless_mesh(case, tmp_path):
    case.square()
    case.json["accessors"].append({"count": 10**12, "componentType": 5126, "type": "VEC3"})
    case.json["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 2}}}
    with pytest.raises(InputError, match="1000000000000 values and no bytes"):
        read_mesh(case.save(tmp_path / "a.glb"))
    case.json["accessors"][2]["count"] = 3
    mesh = case.json["meshes"][0]
    mesh["primitives"] = mesh["primitives"] * 40
    assert len(read_mesh(case.save(tmp_path / "a.glb")).faces) == 240


def test_a_mesh_in_too_many_places_is_refused(case, tmp_path, monkeypatch):
    monkeypatch.setattr("sv3dgen.meshes.gltf.reader._MOST_FACES", 100)
    case.square()
    case.json["nodes"] = [{"mesh": 0}] * 51
    case.json["scenes"] = [{"nodes": list(range(51))}]
    with pytest.raises(InputError, match="triangles, expected a smaller mesh"):
        read_mesh(case.save(tmp_path / "a.glb"))


def test_shared_wild_meshes(shared):
    folder = shared / "wild" / "meshes"
    if not folder.is_dir():
        pytest.skip("needs ../shared/wild")
    for name in ("vc_m1_u0_5126", "vc_m1_u1_5121"):
        colors = read_mesh(folder / f"{name}.glb").vertex_colors
        assert colors is not None and colors.mean(0).tolist() == pytest.approx(RED)
    quantized = read_mesh(folder / "quant.glb")
    assert float(quantized.vertices.max()) == pytest.approx(0.5) and quantized.uv is not None
    assert quantized.uv.numpy().tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    moved = read_mesh(folder / "textransform.glb").uv
    assert moved is not None and float(moved[:, 0].min()) == 0.5 and float(moved[:, 0].max()) == 1
    for name, extension in (("basisu", "KHR_texture_basisu"), ("draco", "KHR_draco"), ("meshopt2", "EXT_meshopt")):
        with pytest.raises(InputError, match=extension):
            read_mesh(folder / f"{name}.glb")
