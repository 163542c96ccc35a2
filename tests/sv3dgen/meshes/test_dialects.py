"""Files that say the usual in unusual words: encodings, line ends, numbers of colors, bytes behind the end."""

import struct

import pytest
import torch
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh

SQUARE = [(0, 0), (1, 0), (1, 1), (0, 1)]
OBJ = "mtllib my.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3 4/4\n"
MTL = "newmtl m\nKd 0.2 0.2 0.2\nmap_Kd t.png\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_obj_in_other_encodings_and_line_ends(tmp_path, caplog, encoding, end):
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "t.png")
    for name, text in (("my.mtl", MTL), ("a.obj", OBJ)):
        (tmp_path / name).write_bytes(text.replace("\n", end).encode(encoding))
    mesh = read_mesh(tmp_path / "a.obj")
    assert len(mesh.faces) == 2 and mesh.textures[0].mean((1, 2)).tolist() == [1, 0, 0]
    assert not caplog.records


def test_a_material_that_no_library_has_is_told(tmp_path, caplog):
    (tmp_path / "my.mtl").write_text("newmtl other\nKd 1 0 0\n")
    (tmp_path / "a.obj").write_text(OBJ)
    read_mesh(tmp_path / "a.obj")
    assert "a.obj: usemtl m is in none of its material files" in caplog.text


def test_negative_numbers_count_back_from_the_face_not_from_the_end(tmp_path):
    corners = "v 0 0 0\nv 1 0 0\nv 1 1 0\nvt 0 0\nvt 1 0\nvt 1 1\n"
    far = corners.replace(" 0\n", " 7\n").replace("vt 0 7", "vt 0 0").replace("vt 1 7", "vt 1 0")
    face = "f -3/-3 -2/-2 -1/-1\n"
    (tmp_path / "a.obj").write_text(corners + face + far + face + "f 1/1 -5/2 3/-4\n")
    mesh = read_mesh(tmp_path / "a.obj")
    heights = mesh.vertices[mesh.faces][..., 2]
    assert heights.tolist() == [[0, 0, 0], [7, 7, 7], [0, 0, 0]]


@pytest.mark.parametrize("face", ["f 0 1 2", "f 1 2 0", "f 1/1 0/1 2/1 ", "f -4 -3 -2", "f -1 -x 2"])
def test_numbers_that_name_no_vertex_are_refused(tmp_path, face):
    (tmp_path / "a.obj").write_text(f"v 0 0 0\nv 1 0 0\nv 1 1 0\n{face}")
    with pytest.raises(InputError, match="a.obj: a face"):
        read_mesh(tmp_path / "a.obj")


def ply(path, kinds, row, binary=None, before=""):
    """A square whose vertices have one color each, of numbers of these kinds."""
    form = {None: "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[binary]
    colors = "".join(f"property {kind} {name}\n" for kind, name in zip(kinds, ("red", "green", "blue"), strict=True))
    header = (
        f"ply\nformat {form} 1.0\n{before}element vertex 4\n"
        f"property float x\nproperty float y\nproperty float z\n{colors}"
        "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = [(0, 1, 2), (0, 2, 3)]
    if binary is None:
        rows = [f"{x} {y} 0 {' '.join(map(str, row))}" for x, y in SQUARE] + [f"3 {a} {b} {c}" for a, b, c in faces]
        path.write_text(header + "\n".join(rows) + "\n")
    else:
        codes = "".join({"ushort": "H", "int": "i", "float": "f", "double": "d"}[kind] for kind in kinds)
        points = b"".join(struct.pack(f"{binary}3f{codes}", x, y, 0, *row) for x, y in SQUARE)
        path.write_bytes(header.encode() + points + b"".join(struct.pack(f"{binary}B3i", 3, *face) for face in faces))
    return path


@pytest.mark.parametrize("binary", [None, "<", ">"])
@pytest.mark.parametrize(
    ("kind", "row"),
    [
        *[("ushort", (65535, 13107, 0)), ("ushort", (255, 51, 0)), ("int", (255, 51, 0))],
        *[("float", (1.0, 0.2, 0.0)), ("float", (255.0, 51.0, 0.0)), ("double", (255.0, 51.0, 0.0))],
    ],
)
def test_colors_of_a_ply_in_other_numbers(tmp_path, binary, kind, row):
    colors = read_mesh(ply(tmp_path / "a.ply", [kind] * 3, row, binary)).vertex_colors
    assert colors is not None and torch.allclose(colors, torch.tensor([1, 0.2, 0]).expand(4, 3), atol=1e-6)


@pytest.mark.parametrize("bright", [1.000001, 1.2])
def test_shares_of_one_that_are_a_little_too_bright(tmp_path, bright):
    mesh = read_mesh(ply(tmp_path / "a.ply", ["float"] * 3, (0.5, 0.5, bright)))
    assert mesh.vertex_colors.mean(0).tolist() == pytest.approx([0.5, 0.5, 1], abs=0.01)


def test_a_ply_of_several_textures_is_refused(tmp_path):
    two = "comment TextureFile a.png\ncomment TextureFile b.png\n"
    with pytest.raises(InputError, match=r"a.ply: 2 textures \(TextureFile\), expected one; export it as OBJ or GLB"):
        read_mesh(ply(tmp_path / "a.ply", ["float"] * 3, (1, 1, 1), before=two))


@pytest.mark.parametrize(
    ("elements", "what"),
    [
        ("property float f_dc_0\nelement face 0\nproperty list uchar int vertex_indices\n", "Gaussian splats"),
        ("property float f\n", "points alone"),
        ("property float f\nelement tristrips 1\nproperty list int int vertex_indices\n", "triangle strips"),
    ],
)
def test_what_a_ply_without_triangles_holds_is_told(tmp_path, elements, what):
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    rows = "".join(f"{x} {y} 0 0\n" for x, y in SQUARE) + ("4 0 1 3 2\n" if "tri" in elements else "")
    (tmp_path / "a.ply").write_text(f"ply\nformat ascii 1.0\nelement vertex 4\n{axes}{elements}end_header\n{rows}")
    with pytest.raises(InputError, match=rf"a.ply: holds no triangles \({what}"):
        read_mesh(tmp_path / "a.ply")


def test_bytes_behind_the_last_triangle_of_an_stl(tmp_path):
    corners = [*(0.0, 0.0, 1.0), *(0.0, 0.0, 0.0), *(1.0, 0.0, 0.0), *(0.0, 1.0, 0.0)]
    facet = struct.pack("<12fH", *corners, 0)
    (tmp_path / "a.stl").write_bytes(b" " * 80 + struct.pack("<I", 1) + facet + b"made by")
    assert len(read_mesh(tmp_path / "a.stl").faces) == 1
    (tmp_path / "b.stl").write_bytes(b" " * 80 + struct.pack("<I", 1) + 4 * facet)
    with pytest.raises(InputError):  # a header that counts too few
        read_mesh(tmp_path / "b.stl")
