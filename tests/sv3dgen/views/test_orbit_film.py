"""Films as people have them: repeats, a second round, the way back, missing views, ten bits, HDR, phones."""

import numpy as np
import pytest
import torch
from ellipsoids import posed_views
from ffmpeg_runs import ffmpeg

from sv3dgen.errors import InputError
from sv3dgen.views.film_frames import one_turn
from sv3dgen.views.orbits import orbit_by_name
from sv3dgen.views.pose_check import check_poses
from sv3dgen.views.posed_views import read_views
from sv3dgen.views.turn_fit import Gaps
from sv3dgen.views.video import read_thumbnails, read_video, write_video

ORBIT = orbit_by_name("static", elevation_deg=20.0)


@pytest.fixture(scope="module")
def frames():
    """A turn on white, shaded by position in the picture so that all views differ; [21, 3, 128, 128]."""
    views = posed_views(ORBIT.cameras(size_px=128))
    return torch.where(views.images[:, 3:] > 0, views.images[:, :3], torch.full_like(views.images[:, 3:], 255))


def film(path, frames, fps=7):
    write_video(path, frames, fps=fps)
    return path


def azimuths(views):
    """In degrees from the last view on."""
    return (views.azimuth_deg - views.azimuth_deg[-1]).numpy() % 360


def close(a, b, atol_deg=0.1):
    return (np.abs((np.asarray(a) - np.asarray(b) + 180) % 360 - 180) < atol_deg).all()


@pytest.mark.parametrize("fps, stored", [(24, 4), (10, 1.5)])
def test_repeated_frames_are_dropped(frames, tmp_path, caplog, fps, stored):
    film(tmp_path / "a.mp4", frames, fps=round(fps / stored))
    ffmpeg("-i", tmp_path / "a.mp4", "-r", fps, tmp_path / "b.mp4")
    assert len(list(read_video(tmp_path / "b.mp4"))) > 26
    with caplog.at_level("INFO"):
        views = read_views(tmp_path / "b.mp4", orbit="static", elevation_deg=20)
    assert len(views) == 21 and "repeat the one before; 21 are taken" in caplog.text
    check_poses(views)


@pytest.mark.parametrize("frames_more", [0, 5])
def test_two_turns(frames, tmp_path, caplog, frames_more):
    whole = torch.cat([frames[len(frames) - frames_more :], frames, frames])
    with caplog.at_level("INFO"):
        views = read_views(film(tmp_path / "a.mp4", whole), orbit="static", elevation_deg=20)
    assert len(views) == 21 and "the last 21 of" in caplog.text
    assert close(azimuths(views), np.arange(1, 22) * 360 / 21)


def test_a_long_film_is_thinned(tmp_path, caplog):
    orbit = orbit_by_name("static", elevation_deg=20.0, frames=450)
    views = posed_views(orbit.cameras(size_px=48))
    long = torch.where(views.images[:, 3:] > 0, views.images[:, :3], torch.full_like(views.images[:, 3:], 255))
    with caplog.at_level("INFO"):
        read = read_views(film(tmp_path / "a.mp4", long, fps=30), orbit="static", elevation_deg=20, check_orbit=False)
    assert len(read) == 120 and "of which 120 are taken" in caplog.text and read.names[-1] == "a.mp4[449]"
    numbers = np.array([int(name[6:-1]) for name in read.names])
    assert np.abs((numbers + 1) * 360 / 450 - np.arange(1, 121) * 3).max() < 0.5


def test_a_turn_around_an_object_that_looks_alike_from_two_sides_is_one_turn(tmp_path):
    orbit = orbit_by_name("static", elevation_deg=20.0, frames=20)
    views = posed_views(orbit.cameras(size_px=128), parts=(((0.0, 0.0, 0.0), (0.2, 0.3, 0.45)),))
    twice = torch.where(views.images[:, 3:] > 0, views.images[:, :3], torch.full_like(views.images[:, 3:], 255))
    assert len(read_views(film(tmp_path / "a.mp4", twice), orbit="static", elevation_deg=20)) == 20


@pytest.mark.parametrize("at, kept", [((slice(4, 12), slice(4, 34)), False), ((slice(2, 9), slice(54, 74)), True)])
def test_a_mark_that_stands_still_is_no_part_of_the_object(frames, tmp_path, caplog, at, kept):
    marked = frames.clone()
    marked[:, :, *at] = torch.tensor([200, 30, 90], dtype=torch.uint8)[:, None, None]
    plain = read_views(film(tmp_path / "plain.mp4", frames), orbit="static", elevation_deg=20)
    with caplog.at_level("WARNING"):
        views = read_views(film(tmp_path / "a.mp4", marked), orbit="static", elevation_deg=20, check_orbit=not kept)
    assert bool(views.masks[:, *at].any()) == kept
    assert "stands still in all 21 frames" in caplog.text and ("; left out" in caplog.text) != kept
    beyond = torch.ones(128, 128, dtype=torch.bool)
    beyond[: at[0].stop + 3, max(0, at[1].start - 3) : at[1].stop + 3] = False
    assert (views.masks ^ plain.masks)[:, beyond].float().mean() < 0.002


def test_a_mark_that_touches_the_object_is_told(frames, tmp_path, caplog):
    marked = frames.clone()
    low = int((frames.float().mean(1) < 250).any(0).any(0).nonzero().min())  # the leftmost column of any view
    marked[:, :, 60:68, low - 8 : low + 4] = torch.tensor([0, 0, 200], dtype=torch.uint8)[:, None, None]
    with caplog.at_level("WARNING"):
        read_views(film(tmp_path / "a.mp4", marked), orbit="static", elevation_deg=20, check_orbit=False)
    assert "frames in which it touches the object" in caplog.text


@pytest.mark.parametrize(
    "name, codec",
    [
        ("a.mov", ["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"]),
        ("a.mkv", ["-c:v", "ffv1", "-pix_fmt", "bgra"]),
        ("a.webm", ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-cpu-used", "8", "-deadline", "realtime"]),
    ],
)
def test_the_alpha_of_a_film_is_taken(tmp_path, name, codec):
    cameras = ORBIT.cameras(size_px=64)
    views = posed_views(cameras)
    hidden = torch.where(
        views.images[:, 3:] > 0, views.images, torch.tensor([90, 200, 40, 0], dtype=torch.uint8)[:, None, None]
    )
    noise = torch.randint(0, 255, hidden[:, :3].shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    hidden[:, :3] = torch.where(views.images[:, 3:] > 0, hidden[:, :3], noise)  # what nobody is to see can't be keyed
    pixels = hidden.permute(0, 2, 3, 1).contiguous().numpy().tobytes()
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "rgba", "-s", "64x64", "-r", 7, "-i", "-", *codec, tmp_path / name, input=pixels
    )
    masks = read_views(tmp_path / name, orbit="static", elevation_deg=20, check_orbit=False).masks
    assert float((masks & views.masks).sum() / (masks | views.masks).sum()) > 0.97


def test_an_alpha_that_cuts_nothing_out_is_none(frames, tmp_path):
    """Zero all over, as in uncompressed AVI of 32 bits; and opaque but for a pixel."""
    small = frames[:, :, ::2, ::2].permute(0, 2, 3, 1).contiguous()
    plain = white(ORBIT.cameras(size_px=64)).min(1).values < 247
    for level in (0, 254):
        alpha = torch.full_like(small[..., :1], 0 if level == 0 else 255)
        alpha[:, 5, 5] = level
        pixels = torch.cat([small.flip(-1), alpha], dim=-1).numpy().tobytes()
        raw = ["-f", "rawvideo", "-pix_fmt", "bgra", "-s", "64x64", "-r", 7, "-i", "-"]
        ffmpeg(*raw, "-c:v", "rawvideo", tmp_path / "a.avi", input=pixels)
        masks = read_views(tmp_path / "a.avi", orbit="static", elevation_deg=20, check_orbit=False).masks
        assert float((masks & plain).sum() / (masks | plain).sum()) > 0.9


@pytest.mark.parametrize("name", ["a.ts", "a.flv", "a.wmv", "a.mpg", "a.y4m", "a.m2ts"])
def test_containers_of_other_kinds(frames, tmp_path, name):
    film(tmp_path / "a.mp4", frames[:, :, ::2, ::2], fps=25)
    ffmpeg("-i", tmp_path / "a.mp4", "-q:v", 2, tmp_path / name)
    assert len(list(read_video(tmp_path / name))) >= 20


def test_plain_frames_at_the_ends_are_left_out(frames, tmp_path, caplog):
    dark, bright = torch.full_like(frames[:3], 20), torch.full_like(frames[:2], 255)
    with caplog.at_level("INFO"):
        views = read_views(
            film(tmp_path / "a.mp4", torch.cat([dark, frames, bright])), orbit="static", elevation_deg=20
        )
    assert len(views) == 21 and "3 plain frames at the beginning and 2 at the end" in caplog.text


def test_the_first_view_again_at_the_end(frames, tmp_path, caplog):
    with caplog.at_level("INFO"):
        path = film(tmp_path / "a.mp4", torch.cat([frames[-1:], frames]))
        views = read_views(path, orbit="static", elevation_deg=20)
    assert "the first view stands at the end again" in caplog.text
    assert close(views.azimuth_deg, ORBIT.azimuth_deg) and views.names[0] == "a.mp4[1]"


@pytest.mark.parametrize("last", [0, 1])
def test_forward_and_back(frames, tmp_path, caplog, last):
    back = frames.flip(0)[1 : 21 - last]
    with caplog.at_level("INFO"):
        views = read_views(film(tmp_path / "a.mp4", torch.cat([frames, back])), orbit="static", elevation_deg=20)
    assert len(views) == 21 and "plays forward and back" in caplog.text
    check_poses(views)


def test_a_smooth_turn_keeps_all_frames():
    """Neither a slow turn, nor a still picture, nor one that looks alike every half turn loses a frame."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    noise = np.random.default_rng(0).normal(0, 0.2, (60, 8, 8, 3))
    for turns in (1, 2, 0):
        turn = np.stack([np.cos(turns * angles), np.sin(turns * angles), 0 * angles], axis=-1)
        thumbnails = (100 * turn[:, None, None] + noise + 128).astype(np.float32)
        assert one_turn(thumbnails).frames == tuple(range(60))


@pytest.mark.parametrize("kept, words", [(range(11), "189 degrees"), ([*range(5), *range(8, 21)], "3 after frame 4")])
def test_parts_of_a_turn_are_placed_by_the_silhouettes(frames, tmp_path, caplog, kept, words):
    kept = list(kept)
    views = read_views(film(tmp_path / "a.mp4", frames[kept]), orbit="static", elevation_deg=20)
    assert words in caplog.text and "the views are placed so" in caplog.text
    true = ORBIT.azimuth_deg[kept]
    assert close(azimuths(views), (true - true[-1]) % 360, 1.0)
    check_poses(views)


def test_gaps_in_figures():
    gaps = Gaps((0, 2, 0, 1))  # frames 0 1 _ _ 2 3, and one before the first
    assert gaps.count == 7 and gaps.slots == (1, 2, 5, 6)


def test_a_wrong_elevation_is_refused_with_the_one_that_fits(frames, tmp_path):
    path = film(tmp_path / "a.mp4", frames)
    with pytest.raises(InputError, match="a.mp4: elevation_deg=-10 does not fit") as caught:
        read_views(path, orbit="static", elevation_deg=-10)
    assert abs(float(str(caught.value).split("they fit about ")[1].split(";")[0]) - 20) <= 3
    assert len(read_views(path, orbit="static", elevation_deg=-10, check_orbit=False)) == 21


@pytest.mark.parametrize("orbit, elevation_deg", [("static", 35.0), ("sine30", 12.0)])
def test_an_elevation_that_is_found(tmp_path, caplog, orbit, elevation_deg):
    true = orbit_by_name(orbit, elevation_deg=elevation_deg)
    images = posed_views(true.cameras(size_px=128)).images
    path = film(tmp_path / "a.mp4", torch.where(images[:, 3:] > 0, images[:, :3], torch.full_like(images[:, 3:], 255)))
    with caplog.at_level("INFO"):
        views = read_views(path, orbit=orbit, elevation_deg="auto")
    assert float(views.elevation_deg[-1]) == pytest.approx(elevation_deg, abs=3)
    assert "estimated" in caplog.text


def test_an_elevation_that_can_t_be_told(tmp_path, caplog):
    ball = posed_views(ORBIT.cameras(size_px=96), parts=(((0.0, 0.0, 0.0), (0.4, 0.4, 0.4)),)).images
    path = film(tmp_path / "a.mp4", torch.where(ball[:, 3:] > 0, ball[:, :3], torch.full_like(ball[:, 3:], 255)))
    assert float(read_views(path, orbit="static", elevation_deg="auto").elevation_deg[-1]) == 10
    assert "a guess" in caplog.text
    with pytest.raises(InputError, match="elevation_deg=auto"):
        read_views(path, orbit="dynamic", elevation_deg="auto")


@pytest.mark.parametrize("clockwise", [True, False])
def test_a_wrong_direction_is_refused_by_its_key(frames, tmp_path, clockwise):
    path = film(tmp_path / "a.mp4", frames if clockwise else frames.flip(0))
    said, expected = f"clockwise={clockwise}".lower(), f"expected clockwise={not clockwise}".lower()
    with pytest.raises(InputError, match=f"{said} does not fit.*{expected}"):
        read_views(path, orbit="static", elevation_deg=20, clockwise=clockwise)


@pytest.mark.parametrize(
    "codec, pixels", [("libx265", "yuv420p10le"), ("prores_ks", "yuv422p10le"), ("ffv1", "gray10le")]
)
def test_more_than_eight_bits_and_gray(frames, tmp_path, codec, pixels):
    path = tmp_path / "b.mov" if codec == "prores_ks" else tmp_path / "b.mkv"
    ffmpeg("-i", film(tmp_path / "a.mp4", frames), "-c:v", codec, "-pix_fmt", pixels, path)
    read = list(read_video(path))
    assert len(read) == 21 and read[0].mode == "RGBA"
    difference = np.asarray(read[3].convert("RGB"), float).transpose(2, 0, 1) - frames[3].numpy()
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("upright", [True, False])
def test_a_phone_s_film(tmp_path, upright, caplog):
    """Stored lying with a rotation to be applied, or as it is; the field of view is that of the longer side."""
    wide = torch.nn.functional.pad(white(ORBIT.cameras(size_px=128)), (32, 32), value=255)
    film(tmp_path / "a.mp4", wide)
    path = tmp_path / "a.mp4"
    if upright:
        film(tmp_path / "lying.mp4", wide.rot90(1, (2, 3)).contiguous())
        path = tmp_path / "b.mp4"
        ffmpeg("-display_rotation", 270, "-i", tmp_path / "lying.mp4", "-c", "copy", path)
        path = path if next(read_video(path)).size == (192, 128) else tmp_path / "a.mp4"
    fov_deg = 2 * np.degrees(np.arctan(1.5 * np.tan(np.radians(33.8 / 2))))
    with caplog.at_level("INFO"):
        views = read_views(path, orbit="static", elevation_deg=20, fov_deg=fov_deg)
    assert views.images.shape == (21, 4, 128, 192) and "longer side of its 192x128" in caplog.text
    assert float(views.cameras.focal_px[0, 0]) == pytest.approx(float(ORBIT.cameras(size_px=128).focal_px[0, 0]))
    check_poses(views)


def white(cameras):
    images = posed_views(cameras).images
    return torch.where(images[:, 3:] > 0, images[:, :3], torch.full_like(images[:, 3:], 255))


def test_oblong_pixels_are_made_square(frames, tmp_path):
    film(tmp_path / "a.mp4", frames)
    ffmpeg("-i", tmp_path / "a.mp4", "-vf", "scale=96:128,setsar=4/3", tmp_path / "b.mp4")
    assert next(read_video(tmp_path / "b.mp4")).size == (128, 128)
    assert read_thumbnails(tmp_path / "b.mp4").shape == (21, 48, 48, 3)
