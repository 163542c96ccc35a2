"""The photo enters the 3D stages as it is, next to what a model made of it."""

import pytest
import torch
from PIL import Image
from stage_case import composed

from sv3dgen.views.resampling import downscale_rgba
from systems.view_sizes import photo_px
from systems.view_sources import beside_photo


def test_the_photo_takes_the_last_views_place_at_its_own_size(posed_views):
    photo = Image.new("RGBA", (160, 160), (200, 30, 30, 255))
    views = beside_photo(posed_views, photo, 32)
    assert views.images.shape == (12, 4, 160, 160) and views.own_px == (32,) * 11 + (160,)
    assert views.generated == (True,) * 11 + (False,)
    assert views.images[-1, :, 5, 5].tolist() == [200, 30, 30, 255]
    assert torch.equal(views.small[0], downscale_rgba(posed_views.images[0], 32, 32))
    torch.testing.assert_close(views.cameras.focal_px, posed_views.cameras.resized(160, 160).focal_px)


def test_without_the_photo_all_views_are_generated(posed_views):
    views = beside_photo(posed_views, None, 64)
    assert all(views.generated) and torch.equal(views.images, posed_views.images)


@pytest.mark.parametrize(("preset", "size_px"), [("draft", 160), ("cpu", 320), ("gpu", 576)])
def test_a_photo_is_kept_as_large_as_the_stages_look_at_it(preset, size_px):
    config = composed("image=x.png", f"preset={preset}")
    assert photo_px(config, 64) == size_px and photo_px(config, 1000) == 1000
