"""Files that are no mesh that is read are told by name, with what to do."""

import struct

import pytest
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.other_kinds import other_kind
from sv3dgen.meshes.precheck import precheck_mesh, what_else

TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.fbx", b"Kaydara FBX Binary", "an FBX scene; export it as GLB"),
        ("a.obj", b"Kaydara FBX Binary", "an FBX scene"),
        ("a.blend", b"\x28\xb5\x2f\xfd", "a Blender file"),
        ("a.usdz", b"PK\x03\x04", "a USD scene"),
        ("a.glb", b"PK\x03\x04", "a ZIP archive; unpack it first"),
        ("a.glb", b"<!DOCTYPE html><html>", "a web page"),
        ("a.glb", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS; git lfs pull"),
        ("a.splat", b"\0" * 64, "a file of Gaussian splats"),
        ("a.step", b"ISO-10303-21;", "a STEP or IFC model; export it as STL"),
        ("a.laz", b"LASF", "a point cloud"),
        ("a.obj", b"ply\nformat ascii 1.0\n", "PLY, whatever its name; rename it to a.ply"),
        ("a.glb", b"mtllib a.mtl\nv 0 0 0\n", "OBJ, whatever its name; rename it to a.obj"),
    ],
)
def test_other_kinds_are_named(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: not a mesh that is read but {told}"):
        precheck_mesh(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"), [("a.obj", TRIANGLE), ("a.3mf", b"PK\x03\x04"), ("a.stl", b"solid a\n"), ("a.txt", b"text")]
)
def test_what_is_read_has_no_other_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert other_kind(tmp_path / name) is None


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        (["float x", "float f_dc_0"], "Gaussian splats"),
        (["uint packed_position"], "Gaussian splats"),
        (["float x", "float y", "float z"], "points alone"),
    ],
)
def test_millions_of_points_are_told_by_the_header(tmp_path, properties, told):
    lines = ["ply", "format binary_little_endian 1.0", "element vertex 90000000"]
    lines += [*(f"property {each}" for each in properties), "end_header", ""]
    (tmp_path / "a.ply").write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"a.ply: holds no triangles \({told}\), expected a mesh"):
        precheck_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize(("suffix", "told"), [("exr", "an OpenEXR picture; save it as PNG"), ("ktx2", "a KTX texture")])
def test_textures_that_are_not_read_are_named(tmp_path, suffix, told):
    (tmp_path / f"t.{suffix}").write_bytes({"exr": b"\x76\x2f\x31\x01", "ktx2": b"\xabKTX 20\xbb"}[suffix] + bytes(64))
    (tmp_path / "a.mtl").write_text(f"newmtl a\nmap_Kd t.{suffix}\n")
    (tmp_path / "a.obj").write_bytes(b"mtllib a.mtl\nusemtl a\n" + TRIANGLE)
    with pytest.raises(InputError, match=f"t.{suffix}: not a readable image; {told}"):
        read_mesh(tmp_path / "a.obj")


def test_textures_keep_their_stored_colors(tmp_path):
    """glTF's rule: a profile in a texture is not looked at."""
    from sv3dgen.meshes.gltf.materials import open_texture
    from sv3dgen.views.color_profile import matrix_profile

    Image.new("RGB", (4, 4), (200, 100, 80)).save(tmp_path / "t.png", icc_profile=matrix_profile("Display P3"))
    assert open_texture((tmp_path / "t.png").read_bytes(), "t").getpixel((0, 0)) == (200, 100, 80)


@pytest.mark.parametrize("element", ["element face    1", "element  face\t0001"])
def test_padded_counts_of_a_ply_are_counts(tmp_path, element):
    lines = ["ply", "format ascii 1.0", "element vertex    3", *(f"property float {axis}" for axis in "xyz"), element]
    lines += ["property list uchar int vertex_indices", "end_header", "0 0 0", "1 0 0", "0 1 0", "3 0 1 2", ""]
    (tmp_path / "a.ply").write_text("\n".join(lines))
    precheck_mesh(tmp_path / "a.ply")
    assert len(read_mesh(tmp_path / "a.ply").faces) == 1


def test_padded_strips_of_a_ply_are_named(tmp_path):
    lines = ["ply", "format ascii 1.0", "element vertex 3", *(f"property float {axis}" for axis in "xyz")]
    lines += ["element  tristrips  1", "property list int int vertex_indices", "end_header", "0 0 0", "1 0 0", "0 1 0"]
    (tmp_path / "a.ply").write_text("\n".join([*lines, "3 0 1 2", ""]))
    assert what_else(tmp_path / "a.ply") == " (triangle strips, which are not read)"


@pytest.mark.parametrize("header", [b"Blender STL export", b"BLENDER", b"Draco test", b"#x3d", b"ply\n", b"mtllib a"])
def test_a_binary_stl_s_header_says_nothing(tmp_path, header):
    triangle = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0)
    (tmp_path / "a.stl").write_bytes(header.ljust(80, b"\0") + struct.pack("<I", 1) + triangle)
    precheck_mesh(tmp_path / "a.stl")
    assert len(read_mesh(tmp_path / "a.stl").faces) == 1


@pytest.mark.parametrize("content", [b"Blender STL export", b"draco, a dragon"])
def test_words_in_text_are_no_binary_marks(tmp_path, content):
    (tmp_path / "a.stl").write_bytes(content)
    assert other_kind(tmp_path / "a.stl") is None
