"""Depths of a textured ball in closed form, and what confidence says of them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sv3dgen.stereo.carving import carved
from sv3dgen.stereo.plane_sweep import PlaneSweepStereo, StereoDepths
from sv3dgen.stereo.sweep_planes import hull_span, neighbors, plane_homographies
from sv3dgen.views.cameras import Cameras, look_at_origin, project
from sv3dgen.views.orbits import StaticOrbit
from sv3dgen.views.posed_views import PosedViews, views_of_orbit
from sv3dgen.views.visual_hull import voxel_centers

RADIUS = 0.4
BOX = torch.tensor([[-0.5] * 3, [0.5] * 3])
VIEWS = 21


def ball_depth(cameras: Cameras) -> Tensor:
    """Along each pixel's ray to the ball, infinite next to it."""
    origins, directions = cameras.rays()
    along = -(origins * directions).sum(-1)
    under = along.square() - origins.square().sum(-1) + RADIUS**2
    return torch.where(under > 0, along - under.clamp_min(0).sqrt(), torch.inf)


def ball_views(contrast: float = 0.3, size_px: int = 64) -> PosedViews:
    orbit = StaticOrbit()(10.0, VIEWS, torch.Generator().manual_seed(0))
    cameras = orbit.cameras(size_px=size_px)
    depth = ball_depth(cameras)
    origins, directions = cameras.rays()
    points = origins + torch.where(depth.isfinite(), depth, 0.0)[..., None] * directions
    x, y, z = (30 * points).unbind(-1)
    gray = 0.5 + contrast * torch.sin(x + 0.4 * y).mul(torch.cos(0.8 * z - 0.5 * y))
    images = torch.stack([gray, gray, gray, depth.isfinite().float()], 1)
    return views_of_orbit((images * 255).round().byte(), orbit, cameras)


def box_hull(cells: int = 32) -> Tensor:
    return torch.ones(cells, cells, cells, dtype=torch.bool)


def swept(views: PosedViews) -> StereoDepths | None:
    return PlaneSweepStereo(size_px=64, planes=64).depths(views, box_hull(), BOX)


@pytest.fixture(scope="module")
def ball() -> StereoDepths:
    found = swept(ball_views())
    assert found is not None
    return found


def test_a_textured_ball_is_found_where_it_is(ball: StereoDepths) -> None:
    truth = ball_depth(ball.cameras)
    seen = truth.isfinite()
    error = (ball.depth - truth).abs()[seen]
    assert error.median() < 0.01
    sure = ball.confidence[seen] > 0.5
    assert sure.float().mean() > 0.3
    assert (error[sure] < 0.03).float().mean() > 0.97
    assert (ball.confidence[~seen] == 0).all()


def test_confidence_has_to_be_earned(ball: StereoDepths) -> None:
    plain = swept(ball_views(contrast=0.0))
    assert plain is not None and plain.confidence.max() < 0.05
    assert ball.confidence.max() <= 1


def test_views_of_a_model_and_distrusted_ones_are_not_asked() -> None:
    views = ball_views()
    made = swept(replace(views, generated=(True,) * 10 + (False,) * 11))
    assert made is not None and made.confidence[:10].max() == 0 and made.confidence[14].max() > 0.5
    assert swept(replace(views, generated=(True,) * 19 + (False,) * 2)) is None
    assert swept(replace(views, trust=(0.5,) * VIEWS)) is None


def test_free_space_goes_and_the_ball_stays(ball: StereoDepths) -> None:
    hull = box_hull()
    kept = carved(hull, BOX, ball, margin=0.04)
    distance = voxel_centers(hull, BOX).norm(dim=-1).view(hull.shape)
    assert kept[distance < RADIUS].float().mean() > 0.995
    side = voxel_centers(hull, BOX)[:, 1].abs().view(hull.shape) < 0.15
    assert kept[side & (distance > RADIUS + 0.12)].float().mean() < 0.5  # where many views look through
    assert torch.equal(carved(hull, BOX, replace(ball, confidence=0 * ball.confidence), margin=0.04), hull)


def test_a_surface_that_others_are_sure_of_is_not_carved() -> None:
    cameras = look_at_origin(torch.zeros(4), torch.tensor([0.0, 90.0, 180.0, 270.0]), distance=2.0, size_px=16)
    hull, depth = box_hull(16), torch.full((4, 16, 16), 2.0)
    through = StereoDepths(cameras, depth + torch.tensor([0.4, 0, 0, 0])[:, None, None], torch.ones(4, 16, 16))
    alone = replace(through, confidence=torch.tensor([1.0, 0, 0, 0])[:, None, None].expand(4, 16, 16))
    middle = slice(7, 9), slice(7, 9), slice(7, 9)
    assert not carved(hull, BOX, alone, margin=0.1)[middle].any()
    assert carved(hull, BOX, through, margin=0.1)[middle].all()


def test_a_planes_homography_is_the_projection_of_its_points() -> None:
    cameras = look_at_origin(
        torch.tensor([0.0, 20.0, -15.0]), torch.tensor([0.0, 30.0, 75.0]), distance=2.0, size_px=64
    )
    z = torch.tensor([1.7, 2.2])
    found = plane_homographies(cameras, 0, torch.tensor([1, 2]), z)
    origins, directions = cameras.rays()
    pixel = torch.tensor([20.5, 40.5, 1.0])
    ray = directions[0, 40, 20]
    for plane, depth in enumerate(z):
        point = origins[0, 40, 20] + ray * depth / (ray @ cameras.forward[0])
        for source in (0, 1):
            there = found[plane, source] @ pixel
            expected, _ = project(cameras[source + 1 : source + 2], point[None])
            torch.testing.assert_close(there[:2] / there[2], expected[0, 0], atol=1e-3, rtol=0)


def test_rays_meet_the_hull_on_the_planes_that_they_cross_it() -> None:
    cameras = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=32)
    hull = torch.zeros(32, 32, 32, dtype=torch.bool)
    hull[:, :, 16:24] = True  # 0 < z < .25, so at depths 1.75 to 2
    z = torch.linspace(1.5, 2.5, 101)
    first, last = hull_span(hull, BOX, cameras, torch.ones(1, 32, 32, dtype=torch.bool), z)
    assert abs(int(first[0, 16, 16]) - 25) <= 2 and abs(int(last[0, 16, 16]) - 50) <= 2
    assert first[0, 0, 0] == 0 and last[0, 0, 0] == 100  # a corner, beyond the hull: all of them


def test_neighbors_are_the_nearest_that_are_asked() -> None:
    cameras = look_at_origin(torch.zeros(6), torch.tensor([0.0, 20.0, 40.0, 60.0, 180.0, 20.5]), distance=2.0)
    found = neighbors(cameras, 2, [True, True, False, True, True, True])
    assert found[1].tolist() == [0, 3]  # not 5, half a degree away; 2 is not asked
    assert len(found[2]) == 0 and len(found[4]) == 0
