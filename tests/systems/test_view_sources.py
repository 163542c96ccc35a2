"""Plain photos as a run's views: cameras are found once, and kept when the run goes on."""

import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from sphere_on_box import sphere_on_box

from sv3dgen.runs.run_folder import RunCard
from sv3dgen.views.posed_views import write_views
from systems import view_sources
from systems.shared_stages import SharedStages
from systems.view_sources import posed_photos


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
