"""The files that people take away, each read back by other programs than the one that wrote it."""

import json
import struct
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from painted_box import FRONT, SIZE, box, painted_box, side_color

from sv3dgen.export.exporter import Exporter
from sv3dgen.export.formats import remove_others, write_formats
from sv3dgen.export.origin import Origin, public_command
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.topology import from_numpy, is_closed

ORIGIN = Origin('python launch.py image="a photo.png"', {"views": "CC0 <1.0>"})
SMALL: dict[str, Any] = {"texture_px": 64, "turntable_frames": 2, "turntable_px": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mesh")
    formats = ("glb", "obj", "ply", "stl", "3mf", "usdz")
    files = write_formats(folder, formats, painted_box(), size_mm=80.0, unlit=True, origin=ORIGIN)
    assert {path.name for path in files} == {path.name for path in folder.iterdir()}
    return folder


@pytest.mark.parametrize("form", ["stl", "3mf"])
def test_printed_files_are_closed_and_in_scale_in_two_readers(folder: Path, form: str) -> None:
    own = read_mesh(folder / f"mesh.{form}")
    assert is_closed(own.mesh)
    if form == "3mf":
        pytest.importorskip("lxml", reason="trimesh reads 3MF with lxml: pip install lxml; lib3mf's test is below")
    other = trimesh.load_mesh(folder / f"mesh.{form}")
    other.merge_vertices()
    assert other.is_watertight and other.is_winding_consistent
    assert other.volume == pytest.approx(40 * 80 * 20, rel=1e-5)
    used = own.vertices[own.faces.reshape(-1)].numpy()
    for low, high in ((used.min(0), used.max(0)), other.bounds):
        assert np.allclose(low, [-20, -10, 0], atol=1e-4) and np.allclose(high, [20, 10, 80], atol=1e-4)


def test_3mf_is_without_fault_to_the_consortiums_library(folder: Path) -> None:
    lib3mf = pytest.importorskip("lib3mf", reason="needs lib3mf: pip install lib3mf")
    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromFile(str(folder / "mesh.3mf"))
    assert reader.GetWarningCount() == 0 and model.GetUnit() == lib3mf.ModelUnit.MilliMeter
    objects = model.GetMeshObjects()
    assert objects.MoveNext()
    solid = objects.GetCurrentMeshObject()
    assert solid.IsManifoldAndOriented() and solid.GetTriangleCount() == len(box().faces)
    corners = np.array([list(corner.Coordinates) for corner in solid.GetVertices()])
    assert np.allclose(corners.min(0), [-20, -10, 0], atol=1e-4) and np.allclose(
        corners.max(0), [20, 10, 80], atol=1e-4
    )
    assert model.GetTexture2Ds().Count() == 1


def test_3mf_keeps_its_unit_and_its_licence(folder: Path) -> None:
    with zipfile.ZipFile(folder / "mesh.3mf") as archive:
        model = archive.read("3D/3dmodel.model").decode()
    assert 'unit="millimeter"' in model and '<metadata name="LicenseTerms">views: CC0 &lt;1.0&gt;</metadata>' in model


def test_ply_has_the_colors_of_the_vertices(folder: Path) -> None:
    read: Any = trimesh.load_mesh(folder / "mesh.ply", process=False)
    assert np.allclose(read.extents, SIZE, atol=1e-6) and read.is_watertight
    middle = np.linalg.norm(read.vertices - [0, 0, 0.5 * SIZE[2]], axis=1).argmin()
    assert np.allclose(read.visual.vertex_colors[middle, :3] / 255, FRONT, atol=0.02)


def test_usdz_content_begins_at_multiples_of_64_and_is_not_compressed(folder: Path) -> None:
    data = (folder / "mesh.usdz").read_bytes()
    with zipfile.ZipFile(folder / "mesh.usdz") as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == ["object.usda", "textures/albedo.png"]
    for entry in entries:
        names, extras = struct.unpack("<HH", data[entry.header_offset + 26 : entry.header_offset + 30])
        assert (entry.header_offset + 30 + names + extras) % 64 == 0 and entry.compress_type == zipfile.ZIP_STORED


def test_usdz_is_in_order_to_pixars_library(folder: Path) -> None:
    usd = pytest.importorskip("pxr.Usd", reason="needs usd-core: pip install usd-core")
    UsdGeom, UsdShade, UsdValidation = map(import_module, ("pxr.UsdGeom", "pxr.UsdShade", "pxr.UsdValidation"))

    stage = usd.Stage.Open(str(folder / "mesh.usdz"))
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    found = UsdValidation.ValidationContext(validators).Validate(stage)
    assert len(validators) > 10 and [error.GetMessage() for error in found] == []
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/object/mesh"))
    points = np.array(mesh.GetPointsAttr().Get())
    assert np.allclose(points.min(0), [-0.02, 0, -0.01], atol=1e-6)
    assert np.allclose(points.max(0), [0.02, 0.08, 0.01], atol=1e-6)
    assert set(mesh.GetFaceVertexCountsAttr().Get()) == {3}
    st = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st")
    assert st.GetInterpolation() == "faceVarying" and len(st.ComputeFlattened()) == 3 * len(box().faces)
    bound, _ = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()
    assert str(bound.GetPath()) == "/object/albedo"
    assert stage.GetRootLayer().customLayerData["command"] == ORIGIN.command


def tree_of(glb: Path) -> dict[str, Any]:
    data = glb.read_bytes()
    return json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]])


def test_glb_has_names_its_origin_and_no_light_to_be_added(folder: Path) -> None:
    tree = tree_of(folder / "mesh.glb")
    assert tree["asset"]["extras"] == {"command": ORIGIN.command, "licences": {"views": "CC0 <1.0>"}}
    assert tree["asset"]["generator"].startswith("sv3dgen")
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"] == list(tree["materials"][0]["extensions"])
    assert "extensionsRequired" not in tree
    for kind in ("nodes", "meshes", "materials", "images", "textures", "scenes"):
        assert all(entry["name"] for entry in tree[kind])


@pytest.mark.parametrize(
    "shading, kind, unlit",
    [("auto", "constant", True), ("auto", "sg", False), ("lit", "constant", False), ("unlit", "sg", True)],
)
def test_shading_says_whether_viewers_add_light(tmp_path: Path, shading: Any, kind: str, unlit: bool) -> None:
    light: dict[str, Any] = {"type": kind, "form": "product", "tone_map": "none"}
    light["lobes"] = [{"axis": [0, 1, 0], "sharpness": 1.0, "amplitude": 1.0}] if kind == "sg" else []
    Exporter(faces=100, shading=shading, formats=[], **SMALL).export(box(), side_color, tmp_path, light)
    assert ("extensionsUsed" in tree_of(tmp_path / "mesh" / "mesh.glb")) == unlit
    assert not (tmp_path / "mesh" / "mesh.obj").exists()


def test_levels_of_detail_are_decimated_and_baked_anew(tmp_path: Path) -> None:
    made = trimesh.creation.icosphere(subdivisions=4, radius=0.4)

    def color(points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        return 0.5 + 0.5 * points

    exporter = Exporter(faces=3000, lods=[1000, 200, 9000], formats=["glb"], **SMALL)
    report = exporter.export(
        from_numpy(made.vertices, made.faces), color, tmp_path, {"type": "constant"}, origin=ORIGIN
    )
    counts = {faces: len(read_mesh(tmp_path / "mesh" / f"lod_{faces}.glb").faces) for faces in (1000, 200, 9000)}
    assert counts[1000] == pytest.approx(1000, rel=0.02) and counts[200] == pytest.approx(200, rel=0.02)
    assert counts[9000] == 5120 and any("export.lods=9000" in note for note in report.notes)
    assert set(report.files) == {path for path in tmp_path.rglob("*") if path.is_file()}
    coarse = read_mesh(tmp_path / "mesh" / "lod_200.glb")
    assert is_closed(coarse.mesh) and coarse.textures[0].shape == (3, 64, 64)
    assert tree_of(tmp_path / "mesh" / "lod_200.glb")["asset"]["extras"]["licences"] == {"views": "CC0 <1.0>"}


def test_a_command_that_leaves_the_machine_names_no_folders() -> None:
    told = public_command(
        ["image=/home/someone/a photo.png", "seed=1", "name=secret", "hydra.run.dir=/tmp/x", "share=/tmp/y", "+a/b@c=d"]
    )
    assert told == "python launch.py 'image=a photo.png' seed=1 +a/b@c=d"


def test_files_that_an_export_does_not_write_again_are_removed(tmp_path: Path) -> None:
    """Those of ours alone."""
    left = ("mesh.obj", "mesh.mtl", "mesh.png", "mesh.stl", "lod_500.glb", "lod_900.glb", "lod_best.glb", "notes.png")
    for name in ("mesh.glb", *left):
        (tmp_path / name).touch()
    remove_others(tmp_path, ["stl"], [900])
    kept = {"mesh.glb", "mesh.stl", "lod_900.glb", "lod_best.glb", "notes.png"}
    assert {path.name for path in tmp_path.iterdir()} == kept
    remove_others(tmp_path / "missing", ["glb"], [])
