import dataclasses

import pytest
import torch

from sv3dgen.views.cameras import look_at_origin
from sv3dgen.views.certainty import usual_pixel
from sv3dgen.views.posed_views import PosedViews


def test_a_pixel_is_as_wide_as_the_views_own_pictures_have_it():
    angles = torch.zeros(2), torch.tensor([90.0, 0.0])
    cameras = look_at_origin(*angles, distance=2.0, size_px=128)
    images = torch.zeros(2, 4, 128, 128, dtype=torch.uint8)
    views = PosedViews(images, cameras, ("0", "1"), ("train",) * 2, *angles, torch.eye(4))
    width = 2.0 / float(cameras.focal_px[0, 0])
    assert usual_pixel(views) == pytest.approx(width)
    small = torch.zeros(4, 32, 32, dtype=torch.uint8)
    assert usual_pixel(dataclasses.replace(views, small=(small, small))) == pytest.approx(4 * width)
