import pytest
import torch

from sv3dgen.data.view_batches import ViewBatches, near_object
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
