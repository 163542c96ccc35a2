"""Views that are read before a run imports what it computes with are those that it would read, or refused as by it."""

import pytest
import torch
from ellipsoids import posed_views
from omegaconf import OmegaConf

import launch
from sv3dgen.cli import views_ahead
from sv3dgen.cli.command_line import checked_command
from sv3dgen.cli.views_ahead import read_ahead
from sv3dgen.errors import InputError
from sv3dgen.views import kept_views, pose_check
from sv3dgen.views import posed_views as posed_views_module
from sv3dgen.views.checked_views import read_checked
from sv3dgen.views.orbits import StaticOrbit, orbit_by_name
from sv3dgen.views.pose_check import check_poses
from sv3dgen.views.posed_views import read_views, write_views
from sv3dgen.views.video import write_video

RECIPE = {"_target_": "sv3dgen.views.orbits.StaticOrbit"}
ANGLES = {"fov_deg": 33.8, "distance": 2.0, "clockwise": False, "seed": 0}


def config(path, elevation_deg, orbit=RECIPE):
    return OmegaConf.create(
        {"views": str(path), "orbit": orbit, "elevation_deg": elevation_deg, "check_poses": True, **ANGLES}
    )


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A film, and a folder of its views."""
    folder = tmp_path_factory.mktemp("given")
    views = posed_views(orbit_by_name("static", elevation_deg=20.0).cameras(size_px=96))
    write_views(views, folder / "views")
    over_white = torch.where(views.images[:, 3:] > 0, views.images[:, :3], torch.full_like(views.images[:, 3:], 255))
    write_video(folder / "a.mp4", over_white)
    return folder


def test_a_run_takes_what_was_read(given, caplog, monkeypatch):
    film = given / "a.mp4"
    with caplog.at_level("INFO"):
        read_ahead(config(film, 20), 512)
    assert caplog.text == ""
    kept = kept_views._kept.views
    with caplog.at_level("INFO"):
        views = read_views(film, orbit=StaticOrbit(), elevation_deg=20, max_size_px=512, **ANGLES)
    assert views is kept and "21 frames, taken as one turn" in caplog.text
    monkeypatch.setattr(pose_check, "check_silhouettes", None)  # would fail if it were called
    check_poses(views)
    again = read_views(film, orbit=StaticOrbit(), elevation_deg=20, max_size_px=512, **ANGLES)
    assert again is not views and torch.equal(again.images, views.images)


def test_what_does_not_fit_is_refused(given):
    with pytest.raises(InputError, match="elevation_deg=50 does not fit"):
        read_ahead(config(given / "a.mp4", 50), 512)
    with pytest.raises(InputError, match=r"views: .*not on the declared orbit"):
        read_ahead(config(given / "views", 50.0), 512)


@pytest.mark.parametrize(("name", "orbit"), [("views", None), ("views", RECIPE), ("a.mp4", RECIPE)])
def test_a_run_reads_nothing_twice(given, monkeypatch, name, orbit):
    """Whatever it asks for, it asks in the same words."""
    settings = config(given / name, 20.0, orbit)
    read_ahead(settings, 512)
    kept = kept_views._kept.views
    for function in ("read_film", "_read_folder"):
        monkeypatch.setattr(posed_views_module, function, None)  # would fail if they were called
    assert read_checked(settings, given / name, 512) is kept


@pytest.mark.parametrize("there", [False, True])
def test_where_a_run_goes_on_views_are_left_to_it(given, monkeypatch, tmp_path, there):
    """An earlier result, which is gone once the run has begun, is not to outlast a refusal."""
    if there:
        (tmp_path / "result.json").touch()
    read = []
    monkeypatch.setattr(views_ahead, "read_ahead", lambda *_: read.append(1))
    monkeypatch.setattr("systems.view_sizes.read_px", lambda _: 512)
    monkeypatch.setattr(launch.ahead, "start", lambda *_: None)
    settings = config(given / "views", 20)
    settings.system = {"stages": ["coarse"]}
    settings.hydra = {"run": {"dir": str(tmp_path)}}
    launch.look_at_views(settings)
    assert bool(read) != there


def test_a_sweep_s_runs_begin_before_they_are_refused(given, monkeypatch, tmp_path):
    """So that each leaves its run.json and result.json: of a sweep, no config is given back to look at."""
    monkeypatch.chdir(tmp_path)
    film = [f"views={given / 'a.mp4'}", "orbit=static", "elevation_deg=20", "preset=draft"]
    assert checked_command(film, launch.ROOT).run.elevation_deg == 20
    assert checked_command(["-m", *film], launch.ROOT).run is None
    assert checked_command(["hydra.mode=MULTIRUN", *film], launch.ROOT).run is None
    assert checked_command(["--cfg", "job", *film], launch.ROOT).run is None


def test_what_is_compiled_ahead_is_in_the_run_s_log(given, monkeypatch, tmp_path, caplog):
    """Which is not there yet when it begins: its lines are held for it."""
    monkeypatch.setattr(views_ahead, "read_ahead", lambda *_: None)
    monkeypatch.setattr("systems.view_sizes.read_px", lambda _: 512)
    monkeypatch.setattr(launch, "settle_compile_cache", lambda: None)
    monkeypatch.setattr(launch, "compile_ahead", lambda _: launch.ahead.log.info("compiling 9 kernels"))
    monkeypatch.setattr(launch, "_LINES", [])
    settings = config(given / "views", 20)
    settings.system = {"stages": ["coarse"]}
    settings.hydra = {"run": {"dir": str(tmp_path / "new")}}
    launch.look_at_views(settings)
    assert caplog.messages == []
    assert [line.getMessage() for line in launch._LINES] == ["compiling 9 kernels"]
    with caplog.at_level("INFO"), pytest.raises(ValueError, match="HydraConfig was not set"):
        launch.work(settings)
    assert caplog.messages == ["compiling 9 kernels"] and launch._LINES == []
