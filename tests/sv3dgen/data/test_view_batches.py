import dataclasses

import pytest
import torch

from sv3dgen.data.view_batches import ViewBatches, near_object
from sv3dgen.data.view_shares import views_drawn, weight_of_views
from sv3dgen.errors import InputError


def batches(posed_views, **sampling) -> ViewBatches:
    made = ViewBatches(milestones=[[0, sampling]], seed=3)
    made.use(posed_views)
    return made


def test_a_step_gives_the_same_batch_whatever_came_before(posed_views):
    sampling = {"size_px": 64, "layout": "patches", "patches": 32, "patch_px": 2}
    first, second = batches(posed_views, **sampling), batches(posed_views, **sampling)
    for step in range(5):
        first.at(step)
    torch.testing.assert_close(first.at(7).rgb, second.at(7).rgb, atol=0, rtol=0)
    assert not torch.equal(first.at(7).rgb, first.at(8).rgb)


def test_patches_show_the_pixels_they_name(posed_views):
    batch = batches(posed_views, size_px=64, layout="patches", patches=50, patch_px=3).at(0)
    assert batch.rgb.shape == (50, 3, 3, 3) and batch.pixels.shape == (50, 3, 3, 2)
    for image in range(50):
        matrix = batch.cameras.camera_to_world[image]
        view = (posed_views.cameras.camera_to_world == matrix).all((1, 2)).nonzero().item()
        row, col = batch.pixels[image, 1, 2].tolist()
        torch.testing.assert_close(batch.alpha[image, 0, 1, 2], posed_views.rgba[view, 3, row, col])


def test_strided_frames_cover_every_pixel_over_time(posed_views):
    made = batches(posed_views, size_px=64, layout="strided", views=2, stride=2)
    offsets = {tuple(made.at(step).pixels[0, 0, 0].tolist()) for step in range(40)}
    assert offsets == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert made.at(0).rgb.shape == (2, 3, 32, 32)


def test_milestones_take_over_at_their_step(posed_views):
    made = ViewBatches(
        milestones=[
            [0, {"size_px": 32, "layout": "frames", "views": 99}],
            [10, {"size_px": 64, "layout": "frames", "views": 3}],
        ]
    )
    made.use(posed_views)
    assert made.at(9).rgb.shape == (12, 3, 32, 32)
    assert made.at(10).rgb.shape == (3, 3, 64, 64)


def test_milestones_need_a_beginning():
    with pytest.raises(InputError, match="step 0"):
        ViewBatches(milestones=[[5, {"size_px": 32, "layout": "frames"}]])


def test_near_object_reaches_as_far_as_asked():
    alpha = torch.zeros(1, 9, 9)
    alpha[0, 4, 4] = 1
    assert near_object(alpha, margin_px=2)[0].nonzero().amin(0).tolist() == [2, 2]
    assert near_object(alpha, margin_px=2).sum() == 25


def weighed(posed_views, **changes):
    """The posed views; all but the last are said to be generated."""
    return dataclasses.replace(posed_views, **{"generated": (True,) * 11 + (False,), **changes})


def test_weights_follow_trust_and_the_photos_share(posed_views):
    even = weight_of_views(posed_views, 0.25)
    torch.testing.assert_close(even, torch.full((12,), 1 / 12, dtype=torch.float64))
    weight = weight_of_views(weighed(posed_views, trust=(0.5,) + (1.0,) * 11), 0.25)
    assert float(weight.sum()) == pytest.approx(1) and float(weight[-1]) == pytest.approx(0.25)
    assert float(weight[1] / weight[0]) == pytest.approx(2)
    photos = weighed(posed_views, generated=(True,) + (False,) * 11)
    assert float(weight_of_views(photos, 0.25)[1:].sum()) == pytest.approx(11 / 12)
    with pytest.raises(InputError, match="`trust` is 0 in every view"):
        weight_of_views(weighed(posed_views, trust=(0.0,) * 12), 0.25)


def test_different_views_are_drawn_as_often_as_their_weights_say():
    weight = torch.tensor([0.0, 0.05, 0.1, 0.15, 0.2, 0.5], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(6)
    for _ in range(3000):
        picked = views_drawn(weight, 3, generator)
        assert len(set(picked.tolist())) == 3
        counts[picked] += 1
    # The last can't be drawn more than once a step: the others share what is left.
    expected = torch.tensor([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    torch.testing.assert_close(counts / 3000, expected, atol=0.03, rtol=0)
    assert views_drawn(weight, 9, generator).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "sampling",
    [
        {"size_px": 64, "layout": "patches", "patches": 64, "patch_px": 2},
        {"size_px": 64, "layout": "frames", "views": 4, "crop_margin_px": 2},
        {"size_px": 64, "layout": "strided", "views": 4, "stride": 4},
    ],
)
def test_photos_get_their_share_and_bad_views_nothing(posed_views, sampling):
    views = weighed(posed_views, trust=(0.0,) + (1.0,) * 11)
    made = batches(views, **sampling)
    drawn = [made.at(step) for step in range(100)]
    index = torch.cat([batch.view_index for batch in drawn])
    counts = torch.bincount(index, minlength=12)
    assert counts[0] == 0 and counts[1:11].all()
    assert float(counts[11] / counts.sum()) == pytest.approx(0.25, abs=0.05)
    assert torch.equal(drawn[0].generated, drawn[0].view_index != 11)
    assert drawn[0].footprint_px is None


def test_a_small_view_is_drawn_so_that_squares_cover_its_pixels(posed_views):
    tiny = posed_views.resized(16)
    small = tuple(tiny.images[:11]) + (None,)
    views = weighed(posed_views, small=small)
    batch = batches(views, size_px=64, layout="patches", patches=64, patch_px=2).at(0)
    of_photo = batch.view_index == 11
    assert of_photo.any() and not of_photo.all()
    assert batch.footprint_px == tuple(1 if photo else 2 for photo in of_photo.tolist())
    for image in (~of_photo).nonzero()[:, 0].tolist():
        corner = batch.pixels[image, 0, 0]
        assert not (corner % 2).any()
        row, col = (corner // 2).tolist()
        own = views.small[batch.view_index[image]][:, row, col].float() / 255
        torch.testing.assert_close(batch.alpha[image, 0], own[3].expand(2, 2))
        torch.testing.assert_close(batch.rgb[image], own[:3, None, None].expand(3, 2, 2))
    # The four rays of a square surround the ray through the pixel of the view itself.
    image = int((~of_photo).nonzero()[0])
    pick = torch.tensor([image])
    _, four = batch.cameras[pick].rays(batch.pixels[pick])
    _, one = tiny.cameras[batch.view_index[pick]].rays(batch.pixels[pick][:, :1, :1] // 2)
    torch.testing.assert_close(
        torch.nn.functional.normalize(four.mean((1, 2)), dim=-1), one[:, 0, 0], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(("most_px", "footprint_px"), [(None, 3), (5, 3), (2, 2)])
def test_frames_of_small_views_begin_at_whole_pixels_of_theirs(posed_views, most_px, footprint_px):
    own = posed_views.resized(20)
    views = weighed(posed_views, small=tuple(own.images[:11]) + (None,))
    frames = {"layout": "frames", "views": 4, "crop_margin_px": 3, "footprint_px": most_px}
    batch = batches(views, size_px=64, **frames).at(0)
    assert sorted(batch.footprint_px) == [1] + 3 * [footprint_px]
    for image, side in enumerate(batch.footprint_px):
        if side > 1:
            height, width = (length // side * side for length in batch.alpha.shape[2:])
            blocks = batch.alpha[image, 0, :height, :width].unflatten(0, (-1, side)).unflatten(2, (-1, side))
            assert torch.equal(blocks.amax((1, 3)), blocks.amin((1, 3)))
            # All of the view's object is there, each of its pixels as often as the square has pixels.
            covered = batch.alpha[image].sum() / side**2
            torch.testing.assert_close(covered, own.rgba[batch.view_index[image], 3].sum())
