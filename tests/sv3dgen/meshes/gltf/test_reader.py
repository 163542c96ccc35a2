"""What a glTF file needs, lacks or has damaged is told by name; where its images lie is found out."""

import logging

import pytest
from gltf_case import BLUE, GREEN, RED, SQUARE_UV, WHITE, GltfCase, corners, quarters

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh


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
