"""What the page offers in words, as settings that launch.py takes."""

import sys
from types import ModuleType

import pytest
from checkout import ROOT

from sv3dgen.app import choices
from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.errors import InputError


def test_all_that_is_offered_is_taken(views_folder, tmp_path):
    given = [f"views={views_folder}", f"hydra.run.dir={tmp_path}"]
    for quality, unseen in zip(["A first look", "Good: some minutes without a GPU"], choices.UNSEEN, strict=False):
        settings = choices.settings_of(
            quality, relightable=True, unseen=unseen, formats=list(choices.FORMATS), size_mm=80, seed=3
        )
        checked_arguments([*given, *settings, *choices.film_settings(10, 40, True), *choices.live_settings()], ROOT)


def test_a_run_can_be_looked_at_where_that_is_installed(monkeypatch):
    for module, told in ((ModuleType("viser"), ["viewer=true", "viewer_port=0"]), (None, [])):
        monkeypatch.setitem(sys.modules, "viser", module)
        assert choices.live_settings() == told


def test_what_is_not_offered_is_refused():
    quality = choices.qualities()[0]
    with pytest.raises(InputError):
        choices.settings_of(quality, unseen="x")
    with pytest.raises(InputError):
        choices.settings_of(quality, formats=["exe"])
    with pytest.raises(InputError):
        choices.settings_of(quality, seed=0.5)
    with pytest.raises(InputError):
        choices.settings_of("best=1")


def test_the_licence_of_the_weights_is_told(tmp_path):
    assert "Apache-2.0" in choices.licence_note(None)
    note = choices.licence_note(tmp_path / "sv3d_p.safetensors")
    assert "non-commercial" in note and "hosting" in note and str(tmp_path) not in note
