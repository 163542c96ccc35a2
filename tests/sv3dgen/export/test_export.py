"""Decimation, unwrapping, baking, and the files that come out."""

import json
import struct
import subprocess
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
import trimesh

from sv3dgen.errors import InputError
from sv3dgen.export.bake import bake, fill_outside, locate_texels
from sv3dgen.export.decimate import decimate
from sv3dgen.export.exporter import Exporter
from sv3dgen.export.fit import fit_of_glb
from sv3dgen.export.gltf import write_glb
from sv3dgen.export.obj import write_obj
from sv3dgen.export.packing import hidden_faces
from sv3dgen.export.unwrap import GUTTER_PX, unwrap_by_projection, unwrap_by_xatlas
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.mesh import Mesh, face_normals
from sv3dgen.meshes.textured_mesh import with_texture
from sv3dgen.meshes.topology import from_numpy, is_closed
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import look_at_origin

SIZE_PX = 256
CONSTANT = {"type": "constant"}
SHORT_FILM: dict[str, Any] = {"turntable_frames": 2, "turntable_px": 32}


def sphere(subdivisions=4, radius=0.4) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return from_numpy(made.vertices, made.faces)


def torus() -> Mesh:
    made = trimesh.creation.torus(0.35, 0.12, major_sections=80, minor_sections=40)
    return from_numpy(made.vertices, made.faces)


def spring() -> Mesh:
    """A tube that winds up over itself, so that its top faces hide one another along the axis."""
    t = np.linspace(0, 6 * np.pi, 240)
    center = np.stack([0.3 * np.cos(t), 0.04 * t - 0.4, 0.3 * np.sin(t)], 1)
    out = np.stack([np.cos(t), 0 * t, np.sin(t)], 1)
    ring = [center + 0.05 * (np.cos(a) * out + np.sin(a) * np.array([0, 1.0, 0])) for a in np.arange(12) * np.pi / 6]
    index = np.arange(240 * 12).reshape(12, 240)
    a, b = index, np.roll(index, -1, axis=0)
    faces = np.concatenate(
        [np.stack([a[:, :-1], b[:, :-1], a[:, 1:]], -1), np.stack([b[:, :-1], b[:, 1:], a[:, 1:]], -1)]
    )
    return from_numpy(np.concatenate(ring), faces.reshape(-1, 3))


def pattern(points, normals):
    """A smooth color that differs everywhere."""
    return 0.5 + 0.4 * torch.stack([(5 * points[:, 0]).sin(), (4 * points[:, 1]).cos(), normals[:, 2]], dim=1)


@pytest.mark.parametrize("make", [sphere, torus])
@pytest.mark.parametrize("wanted", [500, 2000])
def test_decimation_reaches_the_number_and_stays_closed(make, wanted):
    mesh = make()
    fewer = decimate(mesh, wanted)
    assert abs(len(fewer.faces) - wanted) <= 0.02 * wanted
    assert is_closed(fewer)
    before, after = face_normals(mesh).norm(dim=1).sum(), face_normals(fewer).norm(dim=1).sum()
    assert float(after / before) == pytest.approx(1.0, abs=0.03)


def test_decimated_sphere_lies_on_the_sphere_and_no_face_turns_inward():
    fewer = decimate(sphere(5), 2000)
    centers = fewer.vertices[fewer.faces].mean(1)
    assert float((centers.norm(dim=1) - 0.4).abs().max()) < 0.004
    assert bool(((face_normals(fewer) * centers).sum(1) > 0).all())


def test_a_mesh_with_fewer_faces_is_returned_as_it_is():
    mesh = sphere(2)
    assert decimate(mesh, 10_000) is mesh


@pytest.mark.parametrize("make", [sphere, torus, spring])
def test_unwrapped_faces_share_no_texel_and_keep_their_orientation(make):
    mesh = make()
    layout = unwrap_by_projection(mesh, SIZE_PX)
    uv, uv_faces = layout.uv.double(), layout.uv_faces
    assert uv.min() >= 0 and uv.max() <= 1
    a, b, c = uv[uv_faces].unbind(1)
    (ux, uy), (vx, vy) = (b - a).unbind(1), (c - a).unbind(1)
    area = ux * vy - uy * vx
    assert float((area > 0).double().mean()) > 0.999
    heights = np.arange(len(uv_faces), dtype=np.float64)
    assert not hidden_faces(uv.numpy() * SIZE_PX, uv_faces.numpy(), heights, SIZE_PX).any()
    stretch = (area * SIZE_PX**2).sqrt() / face_normals(mesh).norm(dim=1).sqrt()
    low, middle = stretch.quantile(0.01), stretch.median()
    assert float(low / middle) > 0.4


def test_charts_lie_a_gutter_apart():
    mesh = torus()
    layout = unwrap_by_projection(mesh, SIZE_PX)
    chart = trimesh.graph.connected_component_labels(
        torch.cat([layout.uv_faces[:, :2], layout.uv_faces[:, 1:]]).numpy(), node_count=len(layout.uv)
    )
    texels = (layout.uv * SIZE_PX).numpy()
    for one in range(chart.max() + 1):
        distance = np.linalg.norm(texels[chart == one][:, None] - texels[chart != one][None], axis=2)
        assert distance.min() >= GUTTER_PX - 1


def test_many_charts_fit_a_small_texture_with_a_narrower_gutter():
    generator = torch.Generator().manual_seed(0)
    made = sphere(3)
    crumpled = Mesh(made.vertices + 0.03 * torch.randn(made.vertices.shape, generator=generator), made.faces)
    layout = unwrap_by_projection(crumpled, 64)
    assert layout.charts > 50 and layout.uv.min() >= 0 and layout.uv.max() <= 1


def test_unwrapping_twice_gives_the_same():
    first, second = (unwrap_by_projection(torus(), SIZE_PX) for _ in range(2))
    assert torch.equal(first.uv, second.uv) and torch.equal(first.uv_faces, second.uv_faces)


def test_xatlas_unwraps_in_time_or_not_at_all():
    mesh = sphere(3)
    layout = unwrap_by_xatlas(mesh, SIZE_PX, limit_s=60.0)
    assert layout is not None and len(layout.uv_faces) == len(mesh.faces) and layout.charts > 1
    assert unwrap_by_xatlas(mesh, SIZE_PX, limit_s=0.01) is None


def test_texels_lie_on_the_faces_they_show():
    mesh = sphere(4)
    layout = unwrap_by_projection(mesh, SIZE_PX)
    texels = locate_texels(mesh, layout, SIZE_PX)
    assert float((texels.points.norm(dim=1) - 0.4).abs().max()) < 0.002
    assert float((texels.normals - texels.points / 0.4).abs().max()) < 0.02
    # The center of a texel, put through its face's coordinates, is the point.
    covered = len(texels.points) / SIZE_PX**2
    assert 0.3 < covered < 1.0


def test_baked_texture_shows_the_field_up_to_the_seams():
    mesh = sphere(4)
    texture = bake(mesh, unwrap_by_projection(mesh, SIZE_PX), SIZE_PX, pattern)
    layout = unwrap_by_projection(mesh, SIZE_PX)
    corners = layout.uv[layout.uv_faces]
    shares = torch.rand(len(mesh.faces), 3, generator=torch.Generator().manual_seed(0))
    shares = (shares / shares.sum(1, keepdim=True))[..., None]
    uv, points = (shares * corners).sum(1), (shares * mesh.vertices[mesh.faces]).sum(1)
    grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], dim=-1)[None, None]
    seen = torch.nn.functional.grid_sample(texture[None], grid, align_corners=False)[0, :, 0].T
    expected = pattern(points, torch.nn.functional.normalize(points, dim=1))
    assert float((seen - expected).abs().max()) < 0.05
    assert float((seen - expected).abs().mean()) < 0.003


def test_padding_takes_the_nearest_color():
    texture = torch.zeros(5, 7, 3)
    inside = torch.zeros(5, 7, dtype=torch.bool)
    for column, value in ((0, 0.25), (6, 0.75)):
        inside[2, column], texture[2, column] = True, value
    filled = fill_outside(texture, inside)
    assert bool((filled[:, :3] == 0.25).all()) and bool((filled[:, 4:] == 0.75).all())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    exporter = Exporter(faces=2000, texture_px=SIZE_PX, turntable_frames=60, turntable_px=64)
    return folder, exporter.export(sphere(5), pattern, folder, CONSTANT)


def test_export_writes_what_it_reports(exported):
    folder, report = exported
    assert report.watertight and abs(report.faces - 2000) <= 40 and report.notes == ()
    assert set(report.seconds) == {"clean", "decimate", "unseen", "unwrap", "bake", "write", "turntable"}
    names = {str(path.relative_to(folder)) for path in report.files}
    assert names == {"mesh/mesh.glb", "mesh/mesh.obj", "mesh/mesh.mtl", "mesh/mesh.png", "light.json", "turntable.mp4"}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == names
    assert json.loads((folder / "light.json").read_text()) == CONSTANT


def test_written_glb_looks_like_the_field(exported):
    folder, _ = exported
    cameras = look_at_origin(torch.tensor([0.0, 20.0]), torch.tensor([0.0, 130.0]), distance=2.0, size_px=96)
    origins, directions = cameras.rays()
    along = -(origins * directions).sum(-1)
    squared = along.square() - (origins.square().sum(-1) - 0.4**2)
    points = origins + directions * (along - squared.clamp_min(0).sqrt())[..., None]
    colors = pattern(points.reshape(-1, 3), points.reshape(-1, 3) / 0.4).reshape(points.shape).movedim(-1, 1)
    alpha = (squared > 0).float()[:, None]
    assert fit_of_glb(folder / "mesh" / "mesh.glb", CONSTANT, cameras, colors, alpha).psnr.mean() > 30


def test_obj_and_glb_are_the_same_object(exported):
    folder, report = exported
    glb, obj = read_mesh(folder / "mesh" / "mesh.glb"), read_mesh(folder / "mesh" / "mesh.obj")
    assert is_closed(glb.mesh) and is_closed(obj.mesh) and len(glb.faces) == len(obj.faces) == report.faces
    cameras = look_at_origin(torch.tensor([10.0]), torch.tensor([40.0]), distance=2.0, size_px=96)
    difference = (render_textured(glb, cameras) - render_textured(obj, cameras)).abs()
    assert float(difference.mean()) < 1e-3


def test_turntable_is_browser_h264(exported):
    folder, _ = exported
    film = folder / "turntable.mp4"
    said = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", film], capture_output=True, text=True).stderr
    assert "Video: h264" in said and "yuv420p" in said and "64x64" in said
    assert imageio_ffmpeg.count_frames_and_secs(str(film))[0] == 60


def test_exporting_twice_gives_the_same_bytes(exported, tmp_path):
    folder, _ = exported
    Exporter(faces=2000, texture_px=SIZE_PX, **SHORT_FILM).export(sphere(5), pattern, tmp_path, CONSTANT)
    for name in ("mesh/mesh.glb", "mesh/mesh.obj", "mesh/mesh.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_small_surface_is_kept_and_said_so(tmp_path):
    report = Exporter(faces=5000, texture_px=64, **SHORT_FILM).export(sphere(2), pattern, tmp_path, CONSTANT)
    assert report.faces == 320 and len(report.notes) == 1 and "export.faces=5000" in report.notes[0]


def test_xatlas_that_takes_too_long_falls_back(tmp_path):
    exporter = Exporter(faces=500, texture_px=64, unwrap="xatlas", unwrap_limit_s=0.01, **SHORT_FILM)
    report = exporter.export(sphere(3), pattern, tmp_path, CONSTANT)
    assert report.watertight and "xatlas" in report.notes[0]


@pytest.mark.parametrize(
    "key, value", [("faces", 3), ("turntable_frames", 1), ("texture_px", 10), ("unwrap_limit_s", 0.0)]
)
def test_impossible_numbers_are_refused_by_name(key, value):
    with pytest.raises(ValueError, match=f"export.{key}"):
        arguments: dict[str, Any] = {"faces": 1000, "texture_px": 256} | {key: value}
        Exporter(**arguments)


def test_shapes_that_cannot_be_written_are_told_in_one_line(tmp_path, monkeypatch):
    nothing = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    exporter = Exporter(faces=1000, texture_px=64)
    with pytest.raises(InputError, match="no faces"):
        exporter.export(nothing, pattern, tmp_path, CONSTANT)
    monkeypatch.setattr("sv3dgen.export.unwrap.pack", lambda *_: None)
    with pytest.raises(InputError, match=r"export.texture_px=64: too small for the \d+ charts"):
        exporter.export(sphere(3), pattern, tmp_path, CONSTANT)
    assert not any(tmp_path.iterdir())


def glb_of_sphere(path):
    mesh = sphere(2)
    layout = unwrap_by_projection(mesh, 64)
    write_glb(path, with_texture(mesh, layout.uv, layout.uv_faces, bake(mesh, layout, 64, pattern)))


def test_glb_layout(tmp_path):
    glb_of_sphere(tmp_path / "a.glb")
    data = (tmp_path / "a.glb").read_bytes()
    magic, version, length, json_length, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    tree = json.loads(data[20 : 20 + json_length])
    surface = tree["materials"][0]["pbrMetallicRoughness"]
    assert surface["metallicFactor"] == 0 and "baseColorTexture" in surface
    assert tree["asset"]["generator"].startswith("sv3dgen") and "extras" not in tree["asset"]
    low, high = tree["accessors"][0]["min"], tree["accessors"][0]["max"]
    assert low == pytest.approx([-0.4] * 3, abs=0.01) and high == pytest.approx([0.4] * 3, abs=0.01)


def test_obj_names_its_material_and_texture(tmp_path):
    mesh = sphere(1)
    layout = unwrap_by_projection(mesh, 64)
    paths = write_obj(
        tmp_path / "thing.obj", with_texture(mesh, layout.uv, layout.uv_faces, torch.full((3, 64, 64), 0.5))
    )
    assert [path.name for path in paths] == ["thing.obj", "thing.mtl", "thing.png"]
    assert "mtllib thing.mtl" in paths[0].read_text() and "map_Kd thing.png" in paths[1].read_text()
