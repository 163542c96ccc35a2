"""`python -m sv3dgen.render`: what it writes, and what it refuses."""

import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual import ColorVisuals

from sv3dgen.commands.render import main
from sv3dgen.meshes.files import read_mesh
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.posed_views import read_views


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "box.ply"
    made = trimesh.creation.box((1.0, 0.6, 0.4))
    made.visual = ColorVisuals(made, vertex_colors=np.tile([200, 100, 50, 255], (8, 1)).astype(np.uint8))
    made.export(path)
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_views_of_a_box(box, tmp_path, capsys):
    assert run(box, "--orbit", "sine30", "--out", tmp_path / "out", "--size-px", 64, "--frames", 6) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{i:03d}.png" for i in range(6)} | {"transforms.json", "orbit.mp4"}
    assert "6 views" in capsys.readouterr().out
    views = read_views(tmp_path / "out")
    assert views.azimuth_deg[-1] == pytest.approx(0.0, abs=1e-4) and views.elevation_deg[-1] == pytest.approx(10.0)
    border = torch.cat([views.images[:, 3, [0, -1]], views.images[:, 3, :, [0, -1]].transpose(1, 2)], dim=1)
    assert int(border.max()) == 0  # --distance auto keeps the object off the border ...
    assert float(views.masks.float().mean()) > 0.15  # ... and as large as it may be
    solid = views.images[:, :, 32, 32]
    assert solid.tolist() == [[200, 100, 50, 255]] * 6


def test_given_distance_and_seed_are_taken(box, tmp_path):
    common = ("--orbit", "dynamic", "--size", 32, "--frames", 3, "--distance", 2.5)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(box, *common, "--out", tmp_path / name, "--seed", seed) == 0
    a, b, c = (json.loads((tmp_path / name / "transforms.json").read_text()) for name in "abc")
    assert a == b != c
    position = np.array(a["frames"][0]["transform_matrix"])[:3, 3]
    assert np.linalg.norm(position) == pytest.approx(2.5, abs=1e-5)


def test_a_mesh_past_the_unit_box_is_said_so_and_normalized_on_wish(tmp_path, capsys):
    path = tmp_path / "large.ply"
    trimesh.creation.box((3.0, 3.0, 3.0)).export(path)
    common = (path, "--orbit", "static", "--size", 32, "--frames", 2)
    assert run(*common, "--out", tmp_path / "a") == 0
    assert "--normalize" in capsys.readouterr().out
    assert run(*common, "--out", tmp_path / "b", "--normalize") == 0
    assert "--normalize" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("--orbit", "loop"), "orbit=loop"),
        (("--orbit", "static", "--size-px", 3), "--size-px 3"),
        (("--orbit", "static", "--frames", "many"), "--frames"),
        (("--orbit", "static", "--distance", "far"), "--distance far"),
        (("--orbit", "static", "--fov-deg", "nan"), "--fov-deg"),
        (("--orbit", "sine30", "--elevation-deg", 40), "elevation_deg=40"),
        (("--orbit", "static", "--light", "none.json"), "none.json"),
        ((), "--orbit"),
    ],
)
def test_mistakes_are_answered_in_one_line(box, tmp_path, capsys, arguments, expected):
    assert run(box, "--out", tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_mesh_is_named(tmp_path, capsys):
    assert run(tmp_path / "no.glb", "--orbit", "static", "--out", tmp_path / "out") == 2
    assert "no.glb: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cc0_spot", "gso_SCHOOL_BUS"])
def test_silhouettes_agree_with_path_traced_views(shared, name):
    """The scans' own renders were made elsewhere, from the same meshes and cameras."""
    folder = shared / "orbits" / name
    transforms = json.loads((folder / "transforms.json").read_text())
    frames = transforms["frames"][::8]
    ones = torch.ones(len(frames), 2)
    poses = torch.tensor([frame["transform_matrix"] for frame in frames])
    cameras = Cameras(poses, ones * transforms["fl_x"], ones * transforms["cx"], transforms["w"], transforms["h"])
    drawn = render_textured(read_mesh(shared / "meshes" / "dev" / f"{name}.glb"), cameras)[:, 3] > 0.5
    given = np.stack([np.array(Image.open(folder / frame["file_path"]))[..., 3] for frame in frames])
    traced = torch.from_numpy(given) > 127
    assert float((drawn & traced).sum() / (drawn | traced).sum()) > 0.99


def test_old_names_of_options_are_taken_and_defaults_are_told(box, tmp_path, capsys):
    assert run(box, "--orbit", "static", "--out", tmp_path / "a", "--size", 16, "--frames", 2, "--elevation", 5) == 0
    assert "2 views of 16 px" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run("--help")
    told = " ".join(capsys.readouterr().out.split())
    for part in ("--size-px", "square pictures (default: 576)", "--elevation-deg", "sine30"):
        assert part in told
