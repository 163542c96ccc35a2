"""Files next to a mesh are found where people have them, else told; formats without colors are read."""

import io
import logging
import struct

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.gltf.alpha_cutout import CutMesh, cut_away
from sv3dgen.meshes.nearby_files import find_nearby
from sv3dgen.meshes.obj_assets import Placement, mtllib_names, split_options
from sv3dgen.meshes.texture_wrap import as_repeating
from sv3dgen.meshes.topology import is_closed

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "textures").mkdir()
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "textures" / "My Tex.png")
    (tmp_path / "a.obj").write_text("mtllib a.mtl\n" + TRIANGLE)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "textures/My Tex.png",
        "textures\\My Tex.png",
        "C:\\Users\\me\\textures\\My Tex.png",
        "/home/me/textures/my tex.PNG",
        "My Tex.png",
        '"textures/My Tex.png"',
        "./textures/My Tex.png",
    ],
)
def test_names_of_other_machines_are_found(folder, name):
    assert find_nearby(folder, name) == folder / "textures" / "My Tex.png"


@pytest.mark.parametrize("name", ["", "gone.png", "textures", "..", "a\0b", "C:\\"])
def test_what_is_not_there_is_not_found(folder, name):
    assert find_nearby(folder, name) is None


@pytest.mark.parametrize(
    "line, placement, name",
    [
        ("t.png", Placement(), "t.png"),
        ("-bm 1.0 My Tex.png", Placement(), "My Tex.png"),
        ("-o 0 0 0 -s 1 1 1 -clamp on textures/My Tex.png", Placement(clamp=True), "textures/My Tex.png"),
        ("-s 2 3 -o 0.5 2.png", Placement((2.0, 3.0), (0.5, 0.0)), "2.png"),
        ("-blendu off -mm 0 1 -imfchan r C:\\a b\\t.png", Placement(), "C:\\a b\\t.png"),
    ],
)
def test_options_of_map_kd(line, placement, name):
    assert split_options(line) == (placement, name)


@pytest.mark.parametrize("rest", ["-o 0 0 0 -s 1 1 1 textures/My Tex.png", "textures\\My Tex.png", "D:\\x\\My Tex.png"])
def test_an_obj_shows_its_texture(folder, rest):
    (folder / "a.mtl").write_text(f"newmtl m\nKd 0.2 0.2 0.2\nmap_Kd {rest}\n")
    assert read_mesh(folder / "a.obj").textures[0].mean((1, 2)).tolist() == [1, 0, 0]


def test_an_obj_scales_and_moves_its_texture(folder):
    (folder / "a.mtl").write_text("newmtl m\nmap_Kd -s 2 3 -o 0.5 textures/My Tex.png\n")
    uv = read_mesh(folder / "a.obj").uv
    assert uv is not None and uv.tolist() == [[0.5, 0], [2.5, 0], [0.5, 3]]


def test_what_an_obj_lacks_is_told(folder, caplog):
    read_mesh(folder / "a.obj")
    assert "mtllib a.mtl is missing" in caplog.text
    (folder / "a.mtl").write_text("newmtl m\nKd 0.5 0.5 0.5\nmap_Kd gone.png\n")
    read_mesh(folder / "a.obj")
    assert "map_Kd gone.png is missing" in caplog.text
    (folder / "gone.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="gone.png: not a readable image"):
        read_mesh(folder / "a.obj")


def test_a_texture_in_postscript_goes_to_no_interpreter(folder):
    Image.new("RGB", (4, 4)).save(folder / "a.png", "EPS")
    (folder / "a.mtl").write_text("newmtl m\nmap_Kd a.png\n")
    with pytest.raises(InputError, match=r"a.png: not a readable image; a PostScript document"):
        read_mesh(folder / "a.obj")


def test_several_material_files(folder):
    (folder / "a.obj").write_text("mtllib first.mtl second.mtl\nmtllib my third.mtl\n" + TRIANGLE)
    (folder / "my third.mtl").write_text("newmtl m\nmap_Kd My Tex.png\n")
    assert mtllib_names(folder / "a.obj") == ["first.mtl", "second.mtl", "my third.mtl"]
    assert read_mesh(folder / "a.obj").textures[0].mean((1, 2)).tolist() == [1, 0, 0]


def test_vertex_colors_beside_a_material_without_texture(folder):
    (folder / "a.mtl").write_text("newmtl m\nKd 0.8 0.8 0.8\n")
    colored = TRIANGLE.replace("v 0 0 0", "v 0 0 0 1 0 0").replace("v 1 0 0", "v 1 0 0 0 1 0")
    (folder / "a.obj").write_text("mtllib a.mtl\n" + colored.replace("v 0 1 0\n", "v 0 1 0 0 0 1\n"))
    mesh = read_mesh(folder / "a.obj")
    assert mesh.vertex_colors is not None and not mesh.textures
    assert torch.allclose(mesh.vertex_colors[mesh.vertices[:, 0] == 1], torch.tensor([0.0, 1, 0]))


def ply(path, vertex="", row="", face="", faces=("3 0 1 2", "3 0 2 3")):
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    corners = "".join(f"{x} {y} 0 {row}\n" for x, y in [(0, 0), (1, 0), (1, 1), (0, 1)])
    path.write_text(
        f"ply\nformat ascii 1.0\nelement vertex 4\n{axes}{vertex}element face {len(faces)}\n"
        f"property list uchar int vertex_indices\n{face}end_header\n{corners}" + "\n".join(faces) + "\n"
    )
    return path


RGB = "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))


def test_colors_of_faces_are_flat(tmp_path):
    mesh = read_mesh(ply(tmp_path / "a.ply", face=RGB, faces=("3 0 1 2 255 0 0", "3 0 2 3 0 0 255")))
    assert mesh.vertex_colors is not None
    assert mesh.vertex_colors[mesh.faces].mean(1).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_colors_of_a_ply_that_are_not_read_are_told(tmp_path, caplog):
    read_mesh(ply(tmp_path / "a.ply", face=RGB, faces=("4 0 1 2 3 255 0 0",)))  # trimesh keeps one color for two faces
    read_mesh(ply(tmp_path / "b.ply", vertex=RGB.replace("uchar ", "uchar ambient_"), row="255 0 0"))
    assert "a.ply: its colors (red) are not read" in caplog.text
    assert "b.ply: its colors (ambient_red) are not read" in caplog.text
    caplog.clear()
    read_mesh(ply(tmp_path / "c.ply", vertex=RGB, row="255 0 0"))
    assert caplog.text == ""


@pytest.mark.parametrize("names", ["diffuse_red diffuse_green diffuse_blue", "r g b"])
@pytest.mark.parametrize("binary", [False, True])
def test_colors_of_a_ply_by_other_names(tmp_path, names, binary):
    words = names.split()
    path = ply(tmp_path / "a.ply", vertex="".join(f"property uchar {name}\n" for name in words), row="255 0 51")
    if binary:
        head, _, _ = path.read_bytes().partition(b"end_header\n")
        points = b"".join(struct.pack("<3f3B", x, y, 0, 255, 0, 51) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
        faces = b"".join(struct.pack("<B3i", 3, *face) for face in ((0, 1, 2), (0, 2, 3)))
        path.write_bytes(head.replace(b"ascii", b"binary_little_endian") + b"end_header\n" + points + faces)
    colors = read_mesh(path).vertex_colors
    assert colors is not None and torch.allclose(colors, torch.tensor([1.0, 0.0, 0.2]).expand(4, 3))


def test_an_obj_with_tabs_and_indents(folder):
    (folder / "a.mtl").write_text("newmtl m\n\tmap_Kd\tMy Tex.png\n")
    text = ("mtllib a.mtl\n" + TRIANGLE).replace(" ", "\t")
    (folder / "a.obj").write_text(text.replace("\nf", "\n  f"))
    mesh = read_mesh(folder / "a.obj")
    assert len(mesh.faces) == 1 and mesh.textures[0].mean((1, 2)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("indent", ["", " ", "\t"])
def test_an_obj_with_lines_that_go_on_in_the_next(folder, end, indent):
    text = "v 0 0 0\nv 1 0 \\\n0\nv 1 1 0\nv 0 1 0\nf 1 2\\\n 3\nf 1 \\\n3 4\n".replace(" 3\n", f"{indent or ' '}3\n")
    (folder / "a.obj").write_bytes((indent + text).replace("\n", end).encode())
    assert len(read_mesh(folder / "a.obj").faces) == 2


@pytest.mark.parametrize(
    ("kind", "row", "read"),
    [
        ("uint8", "255 0 51", True),
        ("float", "1 0 0.2", True),
        ("double", "1.0 0.0 0.2", True),
        ("double", "255 0 51", True),
        ("ushort", "65535 0 13107", True),
        ("int", "255 0 51", True),
        ("int", "255 0 70000", False),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
def test_colors_of_a_ply_by_other_names_in_other_numbers(tmp_path, caplog, kind, row, read, binary):
    path = ply(tmp_path / "a.ply", vertex="".join(f"property {kind} {name}\n" for name in "rgb"), row=row)
    if binary:
        head, _, _ = path.read_bytes().partition(b"end_header\n")
        code = {"uint8": "B", "float": "f", "double": "d", "ushort": "H", "int": "i"}[kind]
        color = [float(word) if code in "fd" else int(word) for word in row.split()]
        points = b"".join(struct.pack(f">3f3{code}", x, y, 0, *color) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
        faces = b"".join(struct.pack(">B3i", 3, *face) for face in ((0, 1, 2), (0, 2, 3)))
        path.write_bytes(head.replace(b"ascii", b"binary_big_endian") + b"end_header\n" + points + faces)
    colors = read_mesh(path).vertex_colors
    expected = torch.tensor([1.0, 0.0, 0.2]) if read else torch.full((3,), 0.8)  # that is gray
    assert colors is not None and torch.allclose(colors, expected.expand(4, 3))
    assert ("a.ply: its colors (r) are not read" in caplog.text) != read


def test_the_paint_of_zbrush(folder):
    paint = "#MRGB ffff0000ff00ff00\n#MRGB ff0000ff\n"
    (folder / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n" + paint + "f 1 2 3\n")
    mesh = read_mesh(folder / "a.obj")
    assert mesh.vertex_colors is not None
    assert torch.allclose(mesh.vertex_colors[mesh.vertices[:, 0] == 1], torch.tensor([0.0, 1, 0]))
    (folder / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n#MRGB ffff0000\nf 1 2 3\n")
    assert len(read_mesh(folder / "a.obj").faces) == 1


def test_an_obj_that_names_materials_but_no_library(folder, caplog):
    (folder / "a.obj").write_text(TRIANGLE if "usemtl" in TRIANGLE else "usemtl m\n" + TRIANGLE)
    read_mesh(folder / "a.obj")
    assert "no mtllib" in caplog.text


def test_material_files_of_old_windows(folder):
    Image.new("RGB", (4, 4), (255, 0, 0)).save(folder / "h\u00f6lzern.png")
    (folder / "a.mtl").write_bytes("newmtl m\nmap_Kd h\u00f6lzern.png\n".encode("cp1252"))
    (folder / "a.obj").write_text("mtllib a.mtl\n" + TRIANGLE)
    assert read_mesh(folder / "a.obj").textures[0].mean((1, 2)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("suffix", ["stl", "off"])
def test_formats_without_colors(tmp_path, suffix, caplog):
    caplog.set_level(logging.INFO, logger="sv3dgen")
    trimesh.creation.box((2, 3, 4)).export(tmp_path / f"a.{suffix}")
    mesh = read_mesh(tmp_path / f"a.{suffix}")
    assert is_closed(mesh.mesh) and np.ptp(mesh.vertices.numpy(), axis=0).tolist() == [2, 3, 4]
    assert "read without colors" in caplog.text


def looked_up(texels, uv, wrap):
    """Nearest texels of coordinates under a way of wrapping, one by one."""
    found = []
    for point in uv:
        at = []
        for value, way, size in zip(point, wrap, texels.shape[1::-1], strict=True):
            texel = int(np.floor(value * size))
            if way == "mirror":
                texel = texel % (2 * size)
                texel = min(texel, 2 * size - 1 - texel)
            at.append(int(np.clip(texel, 0, size - 1)) if way == "clamp" else texel % size)
        found.append(texels[at[1], at[0]])
    return np.stack(found)


@pytest.mark.parametrize("wrap", [("clamp", "repeat"), ("mirror", "clamp"), ("mirror", "mirror"), ("repeat", "clamp")])
def test_textures_that_do_not_repeat(wrap):
    rng = np.random.default_rng(0)
    texels, uv = rng.random((5, 8, 3)), rng.uniform(-2.4, 3.4, (500, 2))
    made, moved = as_repeating(texels, uv, wrap)
    assert np.array_equal(looked_up(made, moved, ("repeat", "repeat")), looked_up(texels, uv, wrap))


def test_alpha_of_vertices_cuts_where_it_crosses():
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float64)
    square = CutMesh(np.array([[0, 1, 2], [0, 2, 3]]), corners, np.zeros((4, 2)), np.array([0.0, 1, 1, 0]))
    cut = cut_away(square, np.ones((1, 1)), 0.25)
    points = cut.values[cut.faces]
    area = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])[:, 2].sum() / 2
    assert area == pytest.approx(0.75, abs=0.02) and points[..., 0].min() > 0.2


def test_alpha_that_repeats():
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float64)
    uv = corners[:, :2] * 3 - 1.25
    half = np.zeros((16, 16))
    half[:, :8] = 1
    cut = cut_away(CutMesh(np.array([[0, 1, 2], [0, 2, 3]]), corners, uv, np.ones(4)), half, 0.5)
    points = cut.values[cut.faces]
    area = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])[:, 2].sum() / 2
    assert area == pytest.approx(0.5, abs=0.02)


def test_shared_wild_objs(shared):
    folder = shared / "wild" / "meshes"
    if not folder.is_dir():
        pytest.skip("needs ../shared/wild")
    expected = np.asarray(Image.open(io.BytesIO((folder / "textures" / "My Tex.png").read_bytes())).convert("RGB"))
    for name in ("opts", "bsl", "absw"):
        texture = read_mesh(folder / f"{name}.obj").textures[0]
        assert np.array_equal((texture * 255).round().byte().movedim(0, 2).numpy(), expected)
