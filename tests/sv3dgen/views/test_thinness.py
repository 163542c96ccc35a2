import pytest
import torch

from sv3dgen.views.cameras import look_at_origin
from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.thinness import thin_share
from sv3dgen.views.uncovered import needed_parts
from tests.helpers.plain_views import plain_views


def views(mask: torch.Tensor) -> PosedViews:
    cameras = look_at_origin(torch.zeros(2), torch.tensor([0.0, 90.0]), distance=2.0, size_px=len(mask))
    return plain_views(mask.float().expand(2, 4, *mask.shape), cameras)


def test_a_bar_counts_by_its_width():
    mask = torch.zeros(320, 320, dtype=torch.bool)
    mask[100:200, 100:200] = True
    assert thin_share(views(mask)) < 0.002
    mask[100:200, 220:223] = True  # 3 px, where .02 is 5
    assert thin_share(views(mask)) == pytest.approx(300 / 10300, rel=0.1)
    assert thin_share(views(mask), 0.005) < 0.01


def test_a_part_is_needed_where_two_views_show_what_nothing_else_covers():
    cameras = look_at_origin(torch.zeros(3), torch.tensor([0.0, 60.0, 120.0]), distance=2.0, size_px=64)
    uncovered = torch.zeros(3, 64, 64, dtype=torch.bool)
    uncovered[:2, 24:40, 24:40] = True
    near = torch.tensor([[0.0, 0.01 * n, 0.0] for n in range(4)])
    points = torch.cat([near, near + torch.tensor([0.0, 0.5, 0.0])])
    part = torch.tensor([0] * 4 + [2] * 4)
    assert needed_parts(points, part, 3, uncovered, cameras).tolist() == [True, False, False]
    uncovered[1] = False
    assert not needed_parts(points, part, 3, uncovered, cameras).any()
