"""Mitsuba's recipes at toy size (extra `peers`), and the table that they are put in."""

import numpy as np
import pytest
import torch

from sv3dgen.bench import __main__ as command
from sv3dgen.bench import peer
from sv3dgen.bench.vertex_color_glb import write_vertex_colors
from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.textured_mesh import TexturedMesh


@pytest.fixture(scope="module")
def mi():
    pytest.importorskip("mitsuba", reason="extra peers")
    pytest.importorskip("cholespy", reason="extra peers")
    from sv3dgen.bench.mitsuba_start import start_mitsuba

    try:
        start_mitsuba()
    except InputError as error:
        pytest.skip(str(error))


def test_vertex_colors_come_back_from_a_glb(tmp_path):
    colors = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    write_vertex_colors(tmp_path / "a.glb", TexturedMesh(torch.eye(4)[:, :3], faces, vertex_colors=colors))
    found = read_mesh(tmp_path / "a.glb")
    torch.testing.assert_close(found.vertices, torch.eye(4)[:, :3].double(), check_dtype=False)
    torch.testing.assert_close(found.vertex_colors, colors, atol=1e-5, rtol=0)
    assert torch.equal(found.faces, faces)


@pytest.fixture
def march(mi):
    """Rays along x, y, z and a diagonal through the middle of a cube; what a grid of eight shows there, by name."""
    import drjit
    import mitsuba

    from sv3dgen.bench.mitsuba_field import march
    from sv3dgen.bench.mitsuba_rays import Rays

    ways = np.concatenate([np.eye(3), np.full((1, 3), 3**-0.5)]).astype(np.float32)
    columns = [mitsuba.Float(np.ascontiguousarray(column)) for column in ways.T]
    half = mitsuba.Float([0.5, 0.5, 0.5, 0.5 * 3**0.5])
    direction, rest = mitsuba.Vector3f(*columns), (mitsuba.Color3f(0), mitsuba.Float(0))
    rays = Rays(mitsuba.Point3f(0.5 - direction * half), direction, drjit.zeros(mitsuba.Float, 4), 2 * half, *rest)

    def shown(grid, pull=None):
        tensor = mitsuba.TensorXf(grid)
        if pull is not None:
            drjit.enable_grad(tensor)
        field = mitsuba.Texture3f(tensor, use_accel=False, migrate=False)
        given = field, rays, drjit.full(mitsuba.Float, 0.5, 4), mitsuba.Float(1 / 64)
        color, opacity = march(*given)
        if pull is None:
            return np.concatenate([np.array(color), np.array(opacity)[None]]).astype(np.float64)
        pulls = mitsuba.Color3f(*(mitsuba.Float(row) for row in pull[:3])), mitsuba.Float(pull[3])
        march(*given, (color, opacity), pulls)
        return np.array(drjit.grad(tensor)).astype(np.float64)

    return shown


def test_an_even_fog_is_as_opaque_as_its_length_says(march):
    grid = np.zeros((2, 2, 2, 4), np.float32)
    grid[...] = 0.02, 0.2, 0.4, 0.6  # of extinction 2
    opacity = 1 - np.exp(-2 * np.array([1, 1, 1, 3**0.5]))
    np.testing.assert_allclose(march(grid), np.outer([0.2, 0.4, 0.6, 1.0], opacity), atol=0.01)
    grid[..., 0] = -1
    assert np.abs(march(grid)).max() == 0


def test_a_replayed_march_has_the_gradient_of_the_first(march):
    random = np.random.default_rng(0)
    grid = random.uniform(0.01, 0.03, (2, 2, 2, 4)).astype(np.float32)
    grid[..., 1:] *= 20
    pull = random.normal(size=(4, 4)).astype(np.float32)
    found, step = march(grid, pull), np.array([1e-3, 1e-2, 1e-2, 1e-2], np.float32)
    for place in [(0, 0, 0, 0), (1, 0, 1, 0), (0, 1, 1, 1), (1, 1, 0, 3)]:
        change = np.zeros_like(grid)
        change[place] = step[place[3]]
        slope = ((march(grid + change) - march(grid - change)) * pull).sum() / (2 * step[place[3]])
        assert found[place] == pytest.approx(slope, rel=0.02, abs=1e-3)


def test_a_field_becomes_the_shape_that_the_views_show(mi, posed_views):
    from sv3dgen.bench.mitsuba_field import Stage, fit_field, mesh_of_field
    from sv3dgen.bench.peer_fit import overlap

    stages = Stage(8, 0.3, rays=2048), Stage(24, 0.7, rays=2048, last_rate=0.01)
    grid, cube, steps = fit_field(posed_views, 1.0, stages, from_hull=True)
    assert steps >= 2 and grid.shape == (24, 24, 24, 4)
    assert overlap(mesh_of_field(grid, cube, 20.0), posed_views) > 0.8


@pytest.mark.thorough  # LLVM 15 ends the whole process
def test_large_steps_bring_a_hull_nearer_to_the_views(mi, posed_views):
    from sv3dgen.bench.mitsuba_surface import Stage, fit_surface, hull_mesh
    from sv3dgen.bench.peer_fit import overlap

    mesh, steps = fit_surface(posed_views, 8.0, (Stage(20, 0.6, 1e-2, 2e-3, 64), Stage(30, 0.2, 3e-3, 1e-3, 64)))
    assert steps > 3 and mesh.vertex_colors is not None and 0 <= mesh.vertex_colors.min() <= mesh.vertex_colors.max()
    hull = hull_mesh(posed_views, 20)
    gray = TexturedMesh(hull.vertices, hull.faces, vertex_colors=torch.full_like(hull.vertices, 0.5))
    assert overlap(mesh, posed_views) > overlap(gray, posed_views)


def test_every_way_has_its_row_and_failures_are_told(monkeypatch, views_folder, tmp_path, capsys):
    asked = []

    def run_and_score(way, views, truth, run, budget, settings):
        asked.append((way, budget))
        if way == "field":
            raise InputError("no LLVM")
        return {"chamfer": 0.004, "psnr": 30.0, "seconds": 61.0, "fit_seconds": 60.0}

    (tmp_path / f"{views_folder.name}.glb").touch()
    monkeypatch.setattr(peer, "check_mitsuba", lambda: None)
    monkeypatch.setattr(peer, "_run_and_score", run_and_score)
    arguments = ["peer", "--views", str(views_folder), "--meshes", str(tmp_path)]
    assert command.main([*arguments, "--set", "preset=cpu"]) == 0
    assert asked == [("ours", None), ("field", 61.0), ("field_from_hull", 61.0), ("large_steps", 61.0)]
    table = capsys.readouterr().out
    assert "| sv3dgen | 0.0040 |" in table and "failed: no LLVM" in table and "preset=cpu" in table
    assert command.main([*arguments, "--ways", "field", "ours", "--seconds", "5"]) == 0
    assert asked[4:] == [("ours", 5.0), ("field", 5.0)]
    capsys.readouterr()
    for wrong, words in (
        (["--ways", "nerf"], "expected some of ours"),
        (["--ways", "field"], "expected --seconds"),
        (["--seconds", "0"], "more than 0"),
        (["--meshes", str(views_folder.parent)], "no meshes in it"),
    ):
        assert command.main([*arguments, *wrong]) == 2
        told = capsys.readouterr().err
        assert words in told and told.count("\n") == 1
