"""Films by their first bytes, before anything is read."""

import pytest

from sv3dgen.errors import InputError
from sv3dgen.views.precheck import precheck_views
from sv3dgen.views.video import read_video
from tests.sv3dgen.views.test_precheck import picture, refused


def test_videos(tmp_path):
    refused(tmp_path / "none.mp4", "none.mp4", "no such file")
    (tmp_path / "empty.mp4").write_bytes(b"")
    refused(tmp_path / "empty.mp4", "empty.mp4", "empty")
    (tmp_path / "text.mp4").write_text("not found")
    refused(tmp_path / "text.mp4", "text.mp4", "nor a video")
    (tmp_path / "views.zip").write_bytes(b"PK\x03\x04")
    refused(tmp_path / "views.zip", "views.zip", "nor a video (mp4, webm, avi, gif) but a ZIP archive; unpack it first")
    picture().save(tmp_path / "still.png")
    refused(tmp_path / "still.png", "still.png", "single picture")
    picture().save(tmp_path / "moving.gif", save_all=True, append_images=[picture(box=(0, 0, 9, 9))])
    precheck_views(tmp_path / "moving.gif")


def test_an_animated_avif_is_a_film(tmp_path):
    frames = [picture().convert("RGB").rotate(90 * k) for k in range(3)]
    frames[0].save(tmp_path / "a.avif", save_all=True, append_images=frames[1:])
    precheck_views(tmp_path / "a.avif")
    assert len(list(read_video(tmp_path / "a.avif"))) == 3
    frames[0].save(tmp_path / "still.avif")
    refused(tmp_path / "still.avif", "still.avif", "single picture")


def test_a_damaged_video_is_refused_when_read(tmp_path):
    (tmp_path / "cut.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(500))
    precheck_views(tmp_path / "cut.mp4")
    with pytest.raises(InputError, match="cut.mp4: damaged") as caught:
        list(read_video(tmp_path / "cut.mp4"))
    assert "\n" not in str(caught.value)
