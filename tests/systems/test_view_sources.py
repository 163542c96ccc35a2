"""Plain photos as a run's views: cameras are found once, and kept when the run goes on."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from systems import view_sources
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
    settings = {"matting": "auto", "seed": 3}
    for resume in (None, str(tmp_path), None):
        assert posed_photos(OmegaConf.create({**settings, "resume": resume}), photos, posed) == posed
    assert calls == [("photos", settings)] * 2  # a new run in the same folder looks again
