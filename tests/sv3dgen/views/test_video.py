"""Videos keep their colors and sizes, HDR becomes sRGB, and what goes wrong in writing is told as what it is."""

import errno
import stat
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from ffmpeg_runs import ffmpeg

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


@pytest.mark.parametrize("height, width", [(64, 64), (63, 65)])
def test_videos_keep_colors_and_size(tmp_path, height, width):
    colors = torch.tensor([[200, 30, 60], [20, 180, 90], [128, 128, 128], [255, 255, 255], [0, 0, 0]])
    frames = colors.byte()[:, :, None, None].expand(-1, 3, height, width)
    write_video(tmp_path / "v.mp4", frames, fps=5)
    read = list(read_video(tmp_path / "v.mp4"))
    assert len(read) == 5 and read[0].size == (width + width % 2, height + height % 2)
    means = torch.tensor(np.array([np.array(frame)[..., :3].mean((0, 1)) for frame in read]))
    assert (means - colors).abs().max() < 4
    assert [file.name for file in tmp_path.iterdir()] == ["v.mp4"]


def test_videos_play_in_browsers(tmp_path):
    """H.264 in yuv420p, with the index in front so that it starts before it is loaded."""
    write_video(tmp_path / "v.mp4", torch.zeros(3, 3, 32, 32, dtype=torch.uint8))
    data = (tmp_path / "v.mp4").read_bytes()
    assert b"avc1" in data and data.index(b"moov") < data.index(b"mdat")
    # The AVC configuration: a profile that has no other chroma format than 4:2:0 (100 is High).
    assert data[data.index(b"avcC") + 5] == 100


def pq(nits):
    """SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    y = (nits / 10000) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


def hlg(nits):
    """ARIB STD-B67 for a display of 1000 cd/m2 (ITU-R BT.2100: gamma 1.2)."""
    light = (nits / 1000) ** (1 / 1.2)
    return (3 * light) ** 0.5 if light <= 1 / 12 else 0.17883277 * np.log(12 * light - 0.28466892) + 0.55991073


@pytest.mark.parametrize("code, transfer", [(pq, "smpte2084"), (hlg, "arib-std-b67")])
def test_hdr_becomes_srgb_with_diffuse_white_as_white(tmp_path, code, transfer):
    nits = np.array([0.0, 10, 50, 100, 203, 1000])
    luma = np.repeat([round(64 + 876 * code(n)) for n in nits], 32).astype("<u2")[None].repeat(32, 0)
    picture = luma.tobytes() + np.full((2, 16, luma.shape[1] // 2), 512, "<u2").tobytes()
    tags = f"log-level=none:lossless=1:colorprim=bt2020:colormatrix=bt2020nc:transfer={transfer}"
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{luma.shape[1]}x32", "-i", "-"]
    ffmpeg(*raw, "-c:v", "libx265", "-x265-params", tags, tmp_path / "a.mp4", input=2 * picture)
    read = np.asarray(next(read_video(tmp_path / "a.mp4")), float)[16, 16::32, :3]
    light = (nits / 203).clip(0, 1)
    expected = 255 * np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(read - expected[:, None]).max() <= 2
