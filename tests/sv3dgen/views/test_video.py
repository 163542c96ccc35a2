"""What goes wrong while a video is written is told as what it is."""

import errno
import stat
import wave
from pathlib import Path

import imageio_ffmpeg
import pytest
import torch

from sv3dgen.errors import InputError
from sv3dgen.views.video import read_video, write_video

FRAMES = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)


def ffmpeg_that_says(told: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\necho '{told}' >&2\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ("Error writing trailer: No space left on device", errno.ENOSPC),
        ("av_interleaved_write_frame(): Disk quota exceeded", errno.EDQUOT),
        ("Conversion failed!", None),
    ],
)
def test_a_full_disk_is_an_error_with_its_number(tmp_path, monkeypatch, told, number):
    ffmpeg_that_says(told, tmp_path, monkeypatch)
    with pytest.raises(OSError) as caught:
        write_video(tmp_path / "out" / "v.mp4", FRAMES)
    assert caught.value.errno == number
    assert "v.mp4" in str(caught.value)
    assert not any((tmp_path / "out").iterdir())


def test_ffmpeg_tells_of_a_full_disk(tmp_path, monkeypatch):
    """The real program, writing to a device that is always full."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    monkeypatch.setattr("sv3dgen.atomic.uuid.uuid4", lambda: type("Fixed", (), {"hex": "0" * 32}))
    (tmp_path / ".v.00000000.mp4").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        write_video(tmp_path / "v.mp4", FRAMES)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "v.mp4")


PAM = b"P7\nWIDTH 16\nHEIGHT 16\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + bytes(16 * 16 * 3)


@pytest.mark.parametrize("left", [10, len(PAM) - 5])
def test_a_stream_that_ends_within_a_frame_is_refused(tmp_path, monkeypatch, left):
    write_video(tmp_path / "v.mp4", FRAMES)
    (tmp_path / "stream").write_bytes(PAM + PAM[:left])
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/stream\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    with pytest.raises(InputError, match="v.mp4: damaged, .*breaks off"):
        list(read_video(tmp_path / "v.mp4"))


def test_containers_that_are_not_listed_are_not_opened(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.avi"), "wb") as sound:  # a RIFF, too
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1000))
    with pytest.raises(InputError, match="whitelist"):
        list(read_video(tmp_path / "a.avi"))
