"""Plain photos as a run's views: cameras are found once, and kept when the run goes on."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from sphere_on_box import sphere_on_box

from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.views.posed_views import write_views
from systems import view_sources
from systems.shared_stages import SharedStages
from systems.view_sources import given_views, posed_photos


def test_poses_that_do_not_fit_are_refused_by_the_folders_name(tmp_path: Path) -> None:
    views = sphere_on_box()
    turned = views.images.rot90(2, (2, 3))
    write_views(replace(views, images=turned.contiguous()), tmp_path / "shot")
    settings = {"elevation_deg": 10, "fov_deg": 33.8, "distance": 2, "clockwise": False, "seed": 0, "orbit": None}
    config = OmegaConf.create(
        {**settings, "check_poses": True, "system": {"stages": []}, "views": str(tmp_path / "shot")}
    )
    with pytest.raises(InputError, match="shot: .*(do not stand upright|out of order)"):
        given_views(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_the_cameras_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def found(photos: Path, folder: Path, **settings: object) -> Path:
        calls.append((photos.name, settings))
        folder.mkdir(exist_ok=True)
        (folder / "transforms.json").touch()
        return folder

    monkeypatch.setattr(view_sources, "pose_photos", found)
    photos, posed = tmp_path / "photos", tmp_path / "posed"
    settings = {"matting": "auto"}
    for resume in (None, str(tmp_path), None):
        assert posed_photos(OmegaConf.create({**settings, "resume": resume}), photos, posed) == posed
    assert calls == [("photos", settings)] * 2  # a new run in the same folder looks again


def test_runs_of_a_sweep_find_the_cameras_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def found(photos: Path, folder: Path, **_: object) -> Path:
        calls.append(photos)
        (folder / "images").mkdir(parents=True)
        (folder / "images" / "000.png").write_bytes(b"picture")
        shutil.copy(views / "transforms.json", folder)
        return folder

    monkeypatch.setattr(view_sources, "pose_photos", found)
    views, photos = tmp_path / "views", tmp_path / "photos"
    write_views(sphere_on_box(), views)
    photos.mkdir()
    for index in range(2):
        (photos / f"{index}.jpg").write_bytes(b"photo %d" % index)
    config = OmegaConf.create({"matting": "auto", "resume": None})
    places = []
    for name in ("0", "1"):
        (tmp_path / name).mkdir()
        shared = SharedStages(tmp_path / "shared", RunCard.begin(tmp_path / name, config={}, seed=0))
        places.append(posed_photos(config, photos, tmp_path / name / "posed", shared))
        shutil.copy(views / "000.png", places[-1])
    assert places[0] == places[1] and len(calls) == 1 and not (tmp_path / "1" / "posed").exists()
