"""What fades in or out of a film is left out, and the other views keep their places in the turn."""

import numpy as np
import pytest
import torch
from ellipsoids import posed_views

from sv3dgen.views.fades import Fade, fading_ends
from sv3dgen.views.film_frames import one_turn, thinned
from sv3dgen.views.orbits import StaticOrbit, orbit_by_name
from sv3dgen.views.posed_views import read_views
from sv3dgen.views.turn_fit import DeclaredTurn, Gaps, fitted_turn
from sv3dgen.views.video import write_video

ORBIT = orbit_by_name("static", elevation_deg=20.0)


@pytest.fixture(scope="module")
def frames():
    """A turn on white, as thumbnails of a film: levels, [21, 48, 48, 3]."""
    views = posed_views(ORBIT.cameras(size_px=48))
    white = torch.where(views.images[:, 3:] > 0, views.images[:, :3], torch.full_like(views.images[:, 3:], 255))
    return white.permute(0, 2, 3, 1).float().numpy()


def faded(frames, color):
    """Each of them paler than the next."""
    share = np.arange(1, len(frames) + 1)[:, None, None, None] / (len(frames) + 1)
    return (frames * share + color * (1 - share)).round()


@pytest.mark.parametrize("color", [255, 0])
def test_the_first_view_that_fades_in(frames, color):
    still = faded(np.repeat(frames[:1], 4, axis=0), color)
    assert fading_ends(np.concatenate([still, frames])) == (Fade(4), Fade())
    turn = one_turn(np.concatenate([frames, still[::-1]]))
    assert turn.frames == tuple(range(21)) and turn.lost == (0, 0) and not turn.doubts
    assert "4 that fade out are left out" in turn.notes[0]


@pytest.mark.parametrize(("first", "last"), [(4, 0), (0, 3), (3, 3)])
def test_views_that_fade_as_the_object_turns_are_missing_from_the_turn(frames, first, last):
    ramps = faded(frames[:first], 0), faded(frames[21 - last :][::-1], 0)[::-1]
    turn = one_turn(np.concatenate([ramps[0], frames[first : 21 - last], ramps[1]]))
    assert turn.frames == tuple(range(first, 21 - last)) and turn.lost == (first, last)
    gaps = Gaps.at_ends(len(turn.frames), *turn.lost)
    assert gaps.count == 21 and gaps.slots == turn.frames


def test_an_object_that_is_alike_from_all_around_keeps_its_places(frames):
    same = np.repeat(frames[:1], 21, axis=0)
    for color in (255, 0):
        turn = one_turn(np.concatenate([faded(same[:4], color), same[4:]]))
        assert len(turn.frames) == 17 and turn.lost == (4, 0)


def test_gaps_at_the_ends_of_a_turn_that_silhouettes_do_not_tell():
    cameras = ORBIT.cameras(size_px=48)
    masks = posed_views(cameras, parts=(((0.0, 0.0, 0.0), (0.3, 0.4, 0.3)),)).images[4:, 3].float() / 255
    turn = DeclaredTurn(recipe=StaticOrbit(), elevation_deg=20.0, fov_deg=33.8, distance=2.0, clockwise=False)
    found = fitted_turn("a.mp4", masks, np.ones(17), turn, Gaps.at_ends(17, 4))
    assert torch.allclose(found.azimuth_deg, ORBIT.azimuth_deg[4:])


@pytest.mark.parametrize(("orbit", "checked"), [("static", True), ("static", False), ("dynamic", False)])
def test_a_film_that_fades_in_as_it_turns(frames, tmp_path, orbit, checked):
    film = torch.from_numpy(np.concatenate([faded(frames[:4], 0), frames[4:]])).permute(0, 3, 1, 2).byte()
    write_video(tmp_path / "a.mp4", film)
    views = read_views(tmp_path / "a.mp4", orbit=orbit, elevation_deg=20, check_orbit=checked)
    assert len(views) == 17 and views.names[0] == "a.mp4[4]"
    whole = orbit_by_name(orbit, elevation_deg=20.0).azimuth_deg[4:]
    assert torch.allclose(views.azimuth_deg.double(), whole.double(), atol=1e-3)


def plate(count, first_deg):
    """One tone before black, lit from a side that turns to the front: levels, [count, 48, 48, 3]."""
    turned = np.radians(first_deg + np.arange(count) * 360 / count)
    x = np.abs(np.arange(48) - 23.5)
    cover = np.clip(18 * np.abs(np.cos(turned))[:, None] - x + 0.5, 0, 1)  # by column
    light = 40 + 160 * np.clip(np.cos(turned - np.radians(50)), 0, 1)
    pictures = np.zeros((count, 48, 48, 3))
    pictures[:, 6:42] = (light[:, None] * cover)[:, None, :, None]
    return pictures.round()


@pytest.mark.parametrize("first_deg", [-20, -40])
def test_a_plate_that_brightens_as_it_turns_is_kept_and_told(first_deg):
    turn = one_turn(plate(60, first_deg))
    assert turn.frames == tuple(range(60)) and turn.lost == (0, 0)
    assert "that fade in, or are lit otherwise, are taken" in turn.doubts[0]


def test_places_are_kept_where_a_long_film_is_thinned(frames):
    turn = one_turn(np.concatenate([faded(frames[:4], 0), frames[4:]]))
    assert thinned(turn, 9).lost == (2, 0) and thinned(turn, 17) is turn
