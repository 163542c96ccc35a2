"""Reading meshes: what files hold, and every way in which they are broken."""

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual import ColorVisuals, TextureVisuals
from trimesh.visual.material import PBRMaterial

from sv3dgen.color import linear_to_srgb
from sv3dgen.errors import InputError
from sv3dgen.meshes.files import fit_unit_box, read_mesh
from sv3dgen.meshes.topology import is_closed

ACCEPTED = ("mesh_degenerate_faces.glb", "mesh_untextured_cube.glb", "mesh_flipped_winding_cube.glb")


def textured_box(extent=1.0, color=(255, 0, 0)):
    box = trimesh.creation.box((extent,) * 3)
    picture = Image.new("RGB", (4, 2), color)
    picture.putpixel((0, 0), (0, 0, 255))  # upper left
    material = PBRMaterial(baseColorTexture=picture)
    box.visual = TextureVisuals(uv=np.full((8, 2), [0.125, 0.75]), material=material)
    return box


def test_glb_scene_is_merged_with_its_transforms(tmp_path):
    scene = trimesh.Scene()
    scene.add_geometry(textured_box(), transform=trimesh.transformations.translation_matrix([2.0, 0, 0]))
    scene.add_geometry(trimesh.creation.box((1, 1, 1)), transform=np.diag([-1.0, 1, 1, 1]))
    scene.export(tmp_path / "a.glb")
    mesh = read_mesh(tmp_path / "a.glb")
    assert len(mesh.faces) == 24 and is_closed(mesh.mesh)
    assert mesh.vertices.max(0).values.tolist() == [2.5, 0.5, 0.5]
    corners = mesh.vertices[mesh.faces]
    volume = (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert float(volume) == pytest.approx(2.0)  # the mirrored box still faces outwards


def test_texture_coordinates_run_upwards(tmp_path):
    textured_box().export(tmp_path / "a.glb")
    mesh = read_mesh(tmp_path / "a.glb")
    assert mesh.uv is not None
    assert mesh.uv[0].tolist() == pytest.approx([0.125, 0.75])
    assert mesh.textures[0][:, 0, 0].tolist() == [0, 0, 1]  # row 0 is the top, where v is near 1


def test_base_color_factor_is_linear_light(tmp_path):
    box = trimesh.creation.box()
    material = PBRMaterial(baseColorFactor=[0.5, 0.25, 1.0, 1.0])
    box.visual = TextureVisuals(material=material)
    box.export(tmp_path / "a.glb")
    color = read_mesh(tmp_path / "a.glb").textures[0][:, 0, 0]
    assert torch.allclose(color, linear_to_srgb(torch.tensor([0.5, 0.25, 1.0])), atol=0.01)


def test_ply_vertex_colors_are_srgb(tmp_path):
    box = trimesh.creation.box()
    box.visual = ColorVisuals(box, vertex_colors=np.tile([51, 102, 255, 255], (8, 1)).astype(np.uint8))
    box.export(tmp_path / "a.ply")
    mesh = read_mesh(tmp_path / "a.ply")
    assert mesh.vertex_colors is not None and mesh.face_texture is None
    assert torch.allclose(mesh.vertex_colors, torch.tensor([0.2, 0.4, 1.0]).expand(8, 3))


def test_obj_with_its_material_and_a_16_bit_texture(tmp_path):
    Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16)).save(tmp_path / "t.png")
    (tmp_path / "a.mtl").write_text("newmtl m\nKd 0 0 0\nmap_Kd t.png\n")
    lines = ["mtllib a.mtl", "usemtl m", "v 0 0 0", "v 1 0 0", "v 0 1 0", "vt 0 0", "vt 1 0", "vt 0 1", "f 1/1 2/2 3/3"]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    texture = read_mesh(tmp_path / "a.obj").textures[0]
    assert float(texture.mean()) == pytest.approx(0.5, abs=0.01)


def test_fit_unit_box(tmp_path):
    box = trimesh.creation.box((4.0, 2.0, 1.0))
    box.apply_translation([7, 8, 9])
    box.export(tmp_path / "a.ply")
    fitted = fit_unit_box(read_mesh(tmp_path / "a.ply")).vertices
    assert fitted.max(0).values.tolist() == pytest.approx([0.5, 0.25, 0.125])
    assert fitted.min(0).values.tolist() == pytest.approx([-0.5, -0.25, -0.125])


@pytest.mark.parametrize(
    "name, content, expected",
    [
        ("absent.glb", None, "no such file"),
        ("a.txt", b"v 0 0 0", "unknown mesh format"),
        ("a.glb", b"", "empty file"),
        ("a.glb", b"some text", "not a GLB file"),
        ("a.glb", b"glTF\x02\x00\x00\x00", "not a readable GLB mesh"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\n", "mesh"),
        ("a.ply", b"ply\nformat ascii 1.0\n", "mesh"),
    ],
)
def test_broken_files_are_named_in_one_line(tmp_path, name, content, expected):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_mesh(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_is_no_mesh(tmp_path):
    (tmp_path / "a.glb").mkdir()
    with pytest.raises(InputError, match="not a file"):
        read_mesh(tmp_path / "a.glb")


def test_shared_bad_meshes(shared):
    for path in sorted((shared / "bad_inputs").glob("mesh_*")):
        if path.name in ACCEPTED:
            assert len(read_mesh(path).faces) >= 12
            continue
        with pytest.raises(InputError) as caught:
            read_mesh(path)
        assert path.name in str(caught.value) and "\n" not in str(caught.value)
