"""Which way is up, from cameras that were held level."""

import pytest
import torch

from sv3dgen.sfm.upright import upright
from sv3dgen.views.cameras import look_at_origin


def turned(seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    rotation = torch.eye(4, dtype=torch.float64)
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=random, dtype=torch.float64))
    rotation[:3, :3] = q * torch.sign(torch.det(q))
    return rotation


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("elevation_deg", [-20.0, 40.0, 70.0])
def test_any_rotation_of_an_orbit_is_undone(seed: int, elevation_deg: float) -> None:
    azimuth_deg = torch.arange(0.0, 360.0, 30.0)
    poses = look_at_origin(torch.full((12,), elevation_deg), azimuth_deg, distance=2.0).camera_to_world.double()
    moved = turned(seed) @ poses
    torch.testing.assert_close(upright(moved) @ moved, poses, atol=1e-5, rtol=0)


def test_alike_cameras_tell_by_their_own_up() -> None:
    poses = look_at_origin(torch.tensor([0.0, 10.0, 20.0]), torch.zeros(3), distance=2.0).camera_to_world.double()
    moved = turned(5) @ poses
    found = upright(moved) @ moved
    up = torch.nn.functional.normalize(found[:, :3, 1].mean(0), dim=0)
    assert up[1] > 0.99 and found[0, 2, 2] > 0.97  # the first looks from the front, tilted by the mean elevation
