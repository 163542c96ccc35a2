"""`python -m sv3dgen.render_dataset`: what it writes, that it goes on where it stopped, and what it refuses."""

import json

import numpy as np
import pytest
import torch
import trimesh
from trimesh.visual import ColorVisuals

from sv3dgen.commands.render_dataset import main
from sv3dgen.data.orbit_files import SAMPLES, read_index, read_orbit
from sv3dgen.data.orbit_rendering import draw_path, procedural_seeds
from sv3dgen.materials.spherical_gaussians import fibonacci_axes
from sv3dgen.materials.studio_light import creased_normals, random_light
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.seeding import generator
from sv3dgen.views.orbits import wrapped_deg

QUICK = ("--size-px", 32, "--supersample", 2, "--workers", 1)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def colored_box(path, extents=(1.0, 0.6, 0.4)):
    made = trimesh.creation.box(extents)
    made.visual = ColorVisuals(made, vertex_colors=np.tile([200, 100, 50, 255], (8, 1)).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    made.export(path)


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    """Two good meshes, one of them deeper down, and three that are not."""
    folder = tmp_path_factory.mktemp("meshes")
    colored_box(folder / "brick.ply")
    colored_box(folder / "more" / "pole.ply", (0.5, 3.0, 0.5))
    trimesh.creation.box((1, 1, 1)).export(folder / "gray.stl")
    trimesh.creation.box((1, 1, 1)).export(folder / "gray.obj")
    (folder / "torn.glb").write_bytes(b"glTF and no more")
    (folder / "none.ply").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def rendered(meshes, tmp_path_factory):
    out = tmp_path_factory.mktemp("orbits") / "set"
    assert run("--meshes", meshes, "--procedural", 2, "--split-test", 1, "--licence", "CC0", "--out", out, *QUICK) == 0
    return out


def test_layout(rendered):
    records = read_index(rendered)
    assert {(r.name, r.kind) for r in records} == {
        (name, kind)
        for name in ("brick", "more__pole", "procedural_00000000", "procedural_00000001")
        for kind in ("static", "dynamic")
    }
    assert {r.name for r in records if r.split == "test"} >= {"procedural_00000001"}
    assert {r.licence for r in records if r.name == "brick"} == {"CC0"}
    assert json.loads((rendered / "dataset.json").read_text())["size_px"] == 32
    for record in records:
        stem = record.stem(rendered)
        pictures = np.load(stem.with_suffix(".npy"), mmap_mode="r")
        assert pictures.shape == (SAMPLES, 32, 32, 4) and pictures.dtype == np.uint8
        again, angles = read_orbit(stem.with_suffix(".json"))
        assert again == record and angles.azimuth_deg[0] == 0
        alpha = pictures[..., 3]
        assert alpha.max() == 255 and alpha[:, [0, -1]].max() == 0 and alpha[:, :, [0, -1]].max() == 0


def test_pictures_are_of_the_cameras_told(rendered):
    """A pole from far: what is seen of it is as high as its distance says."""
    record = next(r for r in read_index(rendered) if r.name == "more__pole" and r.kind == "static")
    pictures = np.load(record.stem(rendered).with_suffix(".npy"))
    coverage = pictures[..., 3].astype(float).sum((1, 2)) / 255
    assert coverage.std() < 0.15 * coverage.mean()  # from all around the same
    _, angles = read_orbit(record.stem(rendered).with_suffix(".json"))
    tangent = np.tan(np.radians(record.fov_deg / 2))
    near = record.distance - 0.5 / 3 / 2  # of its front
    tall = np.cos(np.radians(angles.elevation_deg[0])) / near / (2 * tangent) * 32
    assert (pictures[0, :, 16, 3] / 255).sum() == pytest.approx(tall, abs=1.0)


def test_goes_on_where_it_stopped(rendered, meshes, tmp_path, capsys):
    common = ("--meshes", meshes, "--orbits", "static=1", *QUICK)
    assert run(*common, "--out", tmp_path) == 0
    first = capsys.readouterr().out
    assert "left out: " in first and "torn.glb" in first and "none.ply" in first and "gray.obj: no texture" in first
    old = (tmp_path / "brick" / "static_0.npy").read_bytes()
    assert old == (rendered / "brick" / "static_0.npy").read_bytes()  # whatever else was rendered
    (tmp_path / "brick" / "static_0.npy").write_bytes(b"half")
    kept = (tmp_path / "more__pole" / "static_0.npy").stat().st_mtime_ns
    assert run(*common, "--out", tmp_path) == 0
    assert (tmp_path / "brick" / "static_0.npy").read_bytes() == old
    assert (tmp_path / "more__pole" / "static_0.npy").stat().st_mtime_ns == kept
    assert "1 orbits are there already" in capsys.readouterr().out
    (tmp_path / "dataset.json").unlink()
    assert run("--out", tmp_path, "--index") == 0 and len(read_index(tmp_path)) == 2
    assert run(*common, "--out", tmp_path, "--size-px", 16) == 2
    assert "holds orbits of 32 px" in capsys.readouterr().err
    assert run(*common, "--out", tmp_path, "--distance", 3) == 2
    assert f"{tmp_path}: holds orbits of --distance auto, not 3; take another --out" in capsys.readouterr().err
    assert run(*common, "--out", tmp_path, "--untextured") == 2
    assert f"{tmp_path}: holds orbits of --untextured no, not yes; take another --out" in capsys.readouterr().err
    note = json.loads((tmp_path / "rendering.json").read_text())
    (tmp_path / "rendering.json").unlink()
    assert run(*common, "--out", tmp_path, "--test-names", "brick") == 2  # refused: nothing is written
    assert "in another split" in capsys.readouterr().err and not (tmp_path / "rendering.json").exists()
    (tmp_path / "rendering.json").write_text(json.dumps({name: note[name] for name in note if name != "untextured"}))
    assert run(*common, "--out", tmp_path) == 0 and json.loads((tmp_path / "rendering.json").read_text()) == note
    (tmp_path / "rendering.json").unlink()  # of orbits from before it was noted
    assert run(*common, "--out", tmp_path, "--sine-share", 0.5) == 0 and (tmp_path / "rendering.json").is_file()


def test_where_all_meshes_are_broken_their_reasons_are_told(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "torn.glb").write_bytes(b"glTF")
    assert run("--meshes", tmp_path / "in", "--out", tmp_path / "out", "--split-test", 1, *QUICK) == 2
    told = capsys.readouterr()
    assert "left out: " in told.out and "torn.glb" in told.out and "(it was to test with)" in told.out
    assert "no complete orbit in it" in told.err


def test_ctrl_c_within_a_kernels_call_is_no_broken_mesh(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise SystemError("returned a result with an exception set") from KeyboardInterrupt()

    monkeypatch.setattr("sv3dgen.data.orbit_rendering.render_object", interrupted)
    assert run("--procedural", 2, "--out", tmp_path / "out", *QUICK) == 130
    told = capsys.readouterr()
    assert "left out" not in told.out and "the same command goes on from here" in told.err


def test_several_processes_render_the_same(rendered, tmp_path):
    assert run("--procedural", 2, "--split-test", 1, "--out", tmp_path, *QUICK[:-1], 2) == 0
    for name in ("procedural_00000000", "procedural_00000001"):
        for file in ("static_0.npy", "dynamic_0.npy"):
            assert (tmp_path / name / file).read_bytes() == (rendered / name / file).read_bytes()


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ((), "nothing to render"),
        (("--meshes", "nowhere"), "nowhere: no such folder"),
        (("--procedural", 1, "--orbits", "helix=1"), "KIND"),
        (("--procedural", 1, "--orbits", "static=0"), "at least one"),
        (("--procedural", 1, "--size-px", 4), "--size-px 4"),
        (("--procedural", 1, "--distance", "near"), "--distance near"),
        (("--procedural", 1, "--split-test", "some"), "--split-test some"),
        (("--procedural", "many"), "invalid int"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, expected, tmp_path, capsys):
    assert run(*arguments, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and expected in error
    assert not (tmp_path / "out").exists()


def test_folders_without_meshes_are_refused(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert run("--meshes", tmp_path / "in", "--out", tmp_path / "out") == 2
    assert run("--out", tmp_path / "in", "--index") == 2
    assert "no meshes in it" in capsys.readouterr().err


def test_every_fourth_view_of_a_path_is_an_orbit():
    for kind, share in (("static", 0.0), ("dynamic", 0.0), ("dynamic", 1.0)):
        for seed in range(20):
            path = draw_path(kind, share, generator(seed, kind))
            assert len(path) == SAMPLES and path.azimuth_deg[0] == 0 and path.elevation_deg.abs().max() < 90
            for start in range(0, SAMPLES, 7):
                picked = (start + 4 * torch.arange(1, 22)) % SAMPLES
                azimuth = (path.azimuth_deg[picked] - path.azimuth_deg[start]) % 360
                assert (azimuth[:-1].diff() > 0).all() and azimuth[-1] == 0
                even = wrapped_deg(azimuth - torch.arange(1, 22, dtype=torch.float64) * 360 / 21)
                assert even.abs().max() <= (0.51 * 360 / 21 if kind == "dynamic" else 1e-9)
            if kind == "static":
                assert path.elevation_deg.unique().numel() == 1 and -5 <= path.elevation_deg[0] <= 30


def test_seeds_to_train_and_to_test_never_meet():
    train = {seed for first in (0, 50) for seed in procedural_seeds(first, 100, False)}
    assert not train & {seed for first in (0, 50) for seed in procedural_seeds(first, 100, True)}


def test_light_is_drawn_within_its_range():
    normals = fibonacci_axes(500)
    lights = [random_light(torch.Generator().manual_seed(seed)) for seed in range(60)]
    seen = torch.stack([light.irradiance(normals) for light in lights])
    assert 0.88 < seen.amax(1).min() and seen.amax(1).max() < 1.33 and seen.min() > 0.15
    even = (seen.amax(1) - seen.amin(1)) < 1e-4
    assert 1 <= int(even.sum()) < 25
    assert all(light.tint.max() == 1 and light.tint.min() > 0.85 for light in lights)


def test_normals_run_over_seams_but_not_over_edges():
    """Two squares that meet in an edge where the vertices are double, nearly flat and at a right angle."""
    for angle_deg, smooth in ((20.0, True), (90.0, False)):
        turn = np.radians(angle_deg)
        end = [1 + np.cos(turn), -np.sin(turn)]
        corners = [[0, 0, 0], [1, 0, 0], [1, 0, -1], [0, 0, -1], [1, 0, 0], [*end, 0], [*end, -1], [1, 0, -1]]
        faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
        normals = creased_normals(TexturedMesh(torch.tensor(corners, dtype=torch.float32), faces))
        assert torch.allclose(normals[1], normals[4], atol=1e-5) == smooth
        assert normals[0, 1] == pytest.approx(1.0)
