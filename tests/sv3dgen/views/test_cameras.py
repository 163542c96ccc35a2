"""The project's axes, tested once."""

import math

import pytest
import torch

from sv3dgen.views.cameras import full_frame, look_at_origin, project


def angles(*degrees):
    return torch.tensor(degrees, dtype=torch.float64)


@pytest.mark.parametrize(
    "elevation, azimuth, position",
    [(0, 0, (0, 0, 2)), (0, 90, (2, 0, 0)), (90, 0, (0, 2, 0)), (0, 180, (0, 0, -2)), (30, 0, (0, 1, math.sqrt(3)))],
)
def test_a_camera_stands_where_its_angles_say(elevation, azimuth, position):
    cameras = look_at_origin(angles(elevation), angles(azimuth), distance=2.0)
    torch.testing.assert_close(cameras.positions[0], torch.tensor(position, dtype=torch.float32), atol=1e-6, rtol=0)
    towards_origin = -cameras.positions[0] / 2
    torch.testing.assert_close(cameras.forward[0], towards_origin, atol=1e-6, rtol=0)


def test_poses_are_rotations_with_y_up():
    cameras = look_at_origin(angles(-80, 0, 45, 90), angles(0, 100, 200, 300), distance=2.0)
    rotation = cameras.camera_to_world[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(4, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(4))
    assert (rotation[:, 1, 1] >= -1e-6).all()  # the image's up never points down
    assert (rotation[:, 1, 0].abs() < 1e-6).all()  # the horizon is level


def test_seen_from_the_front_right_is_plus_x_and_up_is_plus_y():
    cameras = look_at_origin(angles(0), angles(0), distance=2.0, size_px=100)
    at, depth = project(cameras, torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.5]]))
    assert at[0, 0].tolist() == [50.0, 50.0]
    assert at[0, 1, 0] > 50 and at[0, 2, 1] < 50
    torch.testing.assert_close(depth[0], torch.tensor([2.0, 2.0, 2.0, 1.5]))


def test_field_of_view_is_the_angle_between_the_frame_s_edges():
    cameras = look_at_origin(angles(0), angles(0), distance=2.0, fov_deg=33.8, size_px=64)
    edge = torch.tensor([[2 * math.tan(math.radians(16.9)), 0, 0]])
    assert project(cameras, edge)[0][0, 0, 0].item() == pytest.approx(64.0, abs=1e-4)


def test_rays_go_through_the_pixels_that_points_project_to():
    cameras = look_at_origin(angles(20, -40), angles(30, 250), distance=1.7, fov_deg=50.0, size_px=8)
    origins, directions = cameras.rays()
    at, _ = project(cameras, (origins + 1.3 * directions)[1].reshape(-1, 3))
    centers = full_frame(cameras)[1].reshape(-1, 2).flip(-1) + 0.5
    torch.testing.assert_close(at[1], centers, atol=1e-4, rtol=0)


def test_clip_space_agrees_with_projection():
    cameras = look_at_origin(angles(20), angles(30), distance=2.0, size_px=96)
    point = torch.tensor([0.1, -0.2, 0.3])
    clip = cameras.world_to_clip()[0] @ torch.cat([point, torch.ones(1)])
    x, y, depth = (clip[:3] / clip[3]).tolist()
    column, row = project(cameras, point[None])[0][0, 0].tolist()
    assert ((x + 1) * 48, (1 - y) * 48) == pytest.approx((column, row), abs=1e-3)
    assert -1 < depth < 1


def test_resizing_keeps_the_picture():
    cameras = look_at_origin(angles(20), angles(30), distance=2.0, size_px=96)
    point = torch.tensor([[0.1, -0.2, 0.3]])
    small = project(cameras.resized(48, 24), point)[0]
    torch.testing.assert_close(small, project(cameras, point)[0] * torch.tensor([0.5, 0.25]))
