"""Kept views go to the first reader that asks for the same, once, and their log lines with them."""

import logging

import pytest

from sv3dgen.errors import InputError
from sv3dgen.views.kept_views import asked_for, held_lines, is_checked, keep, taken

log = logging.getLogger("sv3dgen.views.orbit_film")


def test_lines_come_when_the_views_are_taken(tmp_path, caplog):
    film = tmp_path / "a.mp4"
    film.write_bytes(b"film")
    views = object()
    with caplog.at_level("INFO"):
        with held_lines() as lines:
            log.warning("a line")
        assert caplog.text == ""
        keep(asked_for(film, fov_deg=30.0), views, lines, checked=True)
        assert taken(asked_for(film, fov_deg=30)) is views
        assert caplog.messages == ["a line"]
    assert is_checked(views) and not is_checked(views)
    assert taken(asked_for(film, fov_deg=30)) is None


def test_other_settings_and_a_changed_file_are_read_anew(tmp_path):
    film = tmp_path / "a.mp4"
    film.write_bytes(b"film")
    views = object()
    keep(asked_for(film, seed=0), views, [], checked=True)
    assert taken(asked_for(film, seed=1)) is None
    keep(asked_for(film, seed=0), views, [], checked=True)
    film.write_bytes(b"another film")
    assert taken(asked_for(film, seed=0)) is None
    assert not is_checked(views)
    keep(asked_for(film, seed=0), views, [], checked=False)
    assert taken(asked_for(film, seed=0)) is views and not is_checked(views)


def test_a_refusal_tells_its_lines_once(caplog):
    with caplog.at_level("INFO"), pytest.raises(InputError), held_lines():
        log.info("21 frames")
        raise InputError("refused")
    assert caplog.messages == ["21 frames"]
    with caplog.at_level("INFO"):
        log.info("as before")
    assert caplog.messages == ["21 frames", "as before"]
