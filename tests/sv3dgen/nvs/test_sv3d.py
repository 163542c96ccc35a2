"""system=sv3d_nvs and image=: a photo through a model of random weights, in the way a run does it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image, ImageDraw
from tiny_checkpoint import TINY, TINY_U, tensors, write_checkpoint

from sv3dgen.cli.command_line import register_resolvers
from sv3dgen.errors import InputError
from sv3dgen.nvs import sv3d as sv3d_nvs
from sv3dgen.nvs.elevation import ElevationEstimate
from sv3dgen.nvs.sv3d import Sv3dNvs
from sv3dgen.runs.run_folder import can_go_on, discard_unused
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.views.orbits import SV3D_FRAMES, DynamicOrbit
from sv3dgen.views.posed_views import read_views
from systems.run import Run
from systems.view_sources import recipe_or_reference

CONF = ROOT / "conf"
SIZE_PX = 32


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    config = replace(TINY, size_px=SIZE_PX)
    return write_checkpoint(tmp_path_factory.mktemp("p"), tensors(config), config)


@pytest.fixture(scope="module")
def weights_u(tmp_path_factory) -> Path:
    config = replace(TINY_U, size_px=SIZE_PX)
    return write_checkpoint(tmp_path_factory.mktemp("u"), tensors(config), config)


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    image = Image.new("RGBA", (120, 90))
    ImageDraw.Draw(image).ellipse((30, 10, 80, 70), fill=(200, 60, 30, 255))
    path = tmp_path_factory.mktemp("photo") / "ball.png"
    image.save(path)
    return path


def composed(photo: Path, weights: Path, *overrides: str) -> DictConfig:
    register_resolvers()
    settings = ["system=sv3d_nvs", f"image={photo}", f"weights={weights}", "nvs.steps=2", "logger=none", *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=settings)


@pytest.fixture(scope="module")
def finished(photo, weights, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    Run(composed(photo, weights), folder).execute()
    return folder


def test_a_run_leaves_views_film_and_cameras(finished):
    views = read_views(finished / "views")
    assert len(views) == TINY.frames and views.images.shape[-2:] == (SIZE_PX, SIZE_PX)
    assert (finished / "views" / "orbit.mp4").stat().st_size > 0
    card = json.loads((finished / "run.json").read_text())
    assert list(card["stages"]) == ["views"]
    assert card["licences"] == {"nvs weights": "unknown"}
    assert not (finished / "mesh").exists()


def test_the_last_view_is_the_photo(finished):
    picture = np.array(Image.open(finished / "views" / "input.png").convert("RGB")).astype(int)
    last = Image.open(finished / "views" / f"{TINY.frames - 1:03d}.png")
    white = Image.new("RGBA", last.size, "white")
    shown = np.array(Image.alpha_composite(white, last).convert("RGB")).astype(int)
    # What is nearly white in the photo is background in a view.
    assert np.abs(shown - picture).max() <= 255 - 247


def test_a_model_that_takes_poses_walks_the_paper_s_orbit(finished):
    views = read_views(finished / "views")
    assert float(views.elevation_deg[-1]) == pytest.approx(10, abs=1e-4)
    assert float(views.elevation_deg.max()) > 29 and float(views.elevation_deg.min()) < -29


def test_a_model_without_poses_walks_a_static_orbit_and_refuses_others(photo, weights_u, tmp_path):
    Run(composed(photo, weights_u), tmp_path).execute()
    assert torch.allclose(read_views(tmp_path / "views").elevation_deg, torch.tensor(10.0).double(), atol=1e-4)
    with pytest.raises(InputError, match="static"):
        Run(composed(photo, weights_u, "orbit=dynamic"), tmp_path / "dynamic").execute()


def test_a_photo_from_high_above_gets_a_static_orbit(weights):
    assert recipe_or_reference(
        None, Sv3dNvs(weights=str(weights)).abilities, 50.0, 0
    ).elevation_deg.unique().tolist() == [50.0]


def test_the_orbit_that_is_asked_for(weights):
    model = Sv3dNvs(weights=str(weights))
    dynamic = recipe_or_reference(DynamicOrbit(), model.abilities, 10.0, seed=3)
    assert torch.equal(dynamic.elevation_deg, DynamicOrbit()(10.0, 21, torch.Generator().manual_seed(3)).elevation_deg)


def test_views_that_are_there_are_not_made_again(photo, weights, finished, tmp_path, monkeypatch):
    config = composed(photo, weights, "system=sv3d_nerf", f"resume={tmp_path}")
    monkeypatch.setattr(Sv3dNvs, "model", property(lambda self: pytest.fail("loaded the model")))
    run = Run(config, tmp_path)
    run.begin()
    (tmp_path / "views").symlink_to(finished / "views")
    assert torch.equal(run._views().images, read_views(finished / "views").images)


def test_another_photo_in_the_same_folder_is_made_anew(photo, weights, finished, tmp_path):
    """As one of another seed is, which gives other views. Of seed 1 they have no plain border at this size."""
    shutil.copytree(finished / "views", tmp_path / "views")
    Run(composed(photo, weights, "seed=3"), tmp_path).execute()
    assert not torch.equal(read_views(tmp_path / "views").images, read_views(finished / "views").images)


def test_a_run_stopped_before_its_views_does_not_go_on_with_another_photo_s(photo, weights, finished, tmp_path):
    shutil.copytree(finished / "views", tmp_path / "views")
    Run(composed(photo, weights, f"resume={tmp_path}"), tmp_path).begin()
    assert can_go_on(tmp_path)
    Run(composed(photo, weights), tmp_path).begin()
    assert not can_go_on(tmp_path)


def test_a_run_stopped_while_its_views_are_made_can_not_be_taken_for_whole(photo, weights, finished, tmp_path):
    shutil.copytree(finished / "views", tmp_path / "views")
    run = Run(composed(photo, weights), tmp_path)
    run.nvs.views = lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run.execute()
    assert not can_go_on(tmp_path) and not (tmp_path / "views" / "transforms.json").exists()


def test_views_that_a_model_made_are_gone_on_with(photo, weights, finished, tmp_path, monkeypatch):
    """They may have taken hours: a refusal after them doesn't discard them, and a film that is missing is made."""
    folder = tmp_path / "run"
    shutil.copytree(finished / "views", folder / "views")
    (folder / "views" / "orbit.mp4").unlink()
    discard_unused(folder, tmp_path)
    assert can_go_on(folder)
    monkeypatch.setattr(Sv3dNvs, "model", property(lambda self: pytest.fail("loaded the model")))
    Run(composed(photo, weights, f"resume={folder}"), folder).execute()
    assert (folder / "views" / "orbit.mp4").stat().st_size > 0


def test_the_same_seed_gives_the_same_views(photo, weights, finished, tmp_path):
    Run(composed(photo, weights), tmp_path).execute()
    assert torch.equal(read_views(tmp_path / "views").images, read_views(finished / "views").images)


@pytest.mark.parametrize("variant, kind", [("sv3d_u", "weights"), ("sv3d_p", "weights_u")])
def test_weights_of_another_variant_are_refused(variant, kind, request):
    model = Sv3dNvs(weights=str(request.getfixturevalue(kind)), variant=variant)
    with pytest.raises(InputError, match=f"nvs={variant}"):
        _ = model.model


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"weights": None, "variant": "sv3d_p"}, "nvs=sv3d_p: expected its weights"),
        ({"weights": "x", "steps": 0}, "nvs.steps=0"),
        ({"weights": "x", "device": "abacus"}, "device=abacus"),
    ],
)
def test_settings_that_cannot_be(settings, told):
    with pytest.raises(InputError, match=told):
        Sv3dNvs(**settings)


def test_the_elevation_is_estimated_where_it_is_asked_for(photo, weights, tmp_path, monkeypatch):
    found = ElevationEstimate(23.0, True, "", 1.0, 1.0)
    monkeypatch.setattr(sv3d_nvs, "estimate_elevation", lambda model, picture, seed: found)
    Run(composed(photo, weights, "elevation_deg=auto"), tmp_path).execute()
    assert float(read_views(tmp_path / "views").elevation_deg[-1]) == pytest.approx(23, abs=1e-4)
    assert json.loads((tmp_path / "run.json").read_text())["metrics"]["elevation_deg"] == 23.0


def test_the_sizes_agree_with_the_orbits():
    assert SV3DConfig().frames == SV3D_FRAMES
