"""The mask of what no reference view has seen: closed forms on a sphere, and rays cast one by one."""

import pytest
import torch
import trimesh
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.meshes.mesh import Mesh, face_normals
from sv3dgen.renderers.unseen import UnseenMask, best_facing, in_sight, smoothstep
from sv3dgen.views.cameras import look_at_origin


def ring(count: int = 21, elevation_deg: float = 0.0):
    azimuths = torch.arange(count) * 360 / count
    return look_at_origin(torch.full((count,), elevation_deg), azimuths, distance=2.0, size_px=64)


def test_smoothstep_is_the_papers_cubic():
    values = torch.tensor([-1.0, 0.0, 0.125, 0.25, 0.5, 1.0])
    torch.testing.assert_close(smoothstep(values, 0.0, 0.5), torch.tensor([0.0, 0.0, 0.15625, 0.5, 1.0, 1.0]))
    assert smoothstep(values, 0.25, 0.25).tolist() == [0, 0, 0, 1, 1, 1]


def test_poles_of_a_sphere_are_unseen_and_its_equator_is_seen():
    normals = torch.tensor([[0.0, 1, 0], [0, -1, 0], [0, 0, 1], [1, 0, 0]])
    mask = UnseenMask(low=0.0, high=0.5)(0.3 * normals, normals, ring(24))
    assert mask.tolist() == [1, 1, 0, 0]
    floored = UnseenMask(low=0.1, high=0.5, floor=0.2)(0.3 * normals, normals, ring(24))
    torch.testing.assert_close(floored, torch.tensor([1, 1, 0.2, 0.2]))


def test_between_it_follows_the_angle():
    tilt = torch.deg2rad(torch.tensor(75.0))
    normal = torch.tensor([[0.0, tilt.sin(), tilt.cos()]])
    camera = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0)
    cosine = tilt.cos()  # of a point at the origin
    expected = 1 - (cosine / 0.5) ** 2 * (3 - 2 * cosine / 0.5)
    torch.testing.assert_close(UnseenMask()(torch.zeros(1, 3), normal, camera), expected[None])
    assert UnseenMask(low=0.2, high=0.2)(torch.zeros(1, 3), normal, camera).item() == 0  # .26 is over the limit


def test_the_best_camera_counts():
    points, normals = torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]])
    positions = torch.tensor([[0.0, 0, -2], [0, 1, 1], [3, 0, 0]])
    torch.testing.assert_close(best_facing(points, normals, positions), torch.tensor([0.5**0.5]))
    nobody = torch.zeros(3, 1, dtype=torch.bool)
    assert best_facing(points, normals, positions, nobody).item() == -1


def ball(radius: float) -> Mesh:
    sphere = trimesh.creation.icosphere(3, radius)
    return Mesh(torch.from_numpy(sphere.vertices).float(), torch.from_numpy(sphere.faces).long())


def two_balls() -> Mesh:
    """A small ball in front of a large one, as the first camera sees them."""
    large, small = ball(0.3), ball(0.12)
    vertices = torch.cat([large.vertices, small.vertices + torch.tensor([0.0, 0.0, 0.47])])
    return Mesh(vertices, torch.cat([large.faces, small.faces + len(large.vertices)]))


def cast(points: Tensor, origin: Tensor, mesh: Mesh, margin: float) -> Tensor:
    """Whether no triangle cuts the segment to each point before its last `margin`: all pairs, by signed volumes."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]].double() for corner in range(3))
    clear = []
    for point in points.double():
        ray = point - origin.double()
        inside = torch.stack(
            [torch.linalg.cross(first - origin, second - origin) @ ray for first, second in ((a, b), (b, c), (c, a))]
        )
        normal = torch.linalg.cross(b - a, c - a)
        share = ((a - origin) * normal).sum(1) / (normal @ ray)
        hit = ((inside > -1e-8).all(0) | (inside < 1e-8).all(0)) & (share > 0)
        clear.append(not (hit & ((1 - share) * ray.norm() > margin)).any())
    return torch.tensor(clear)


def test_occlusion_agrees_with_rays():
    mesh, cameras = two_balls(), ring(5, elevation_deg=12.0)
    generator = torch.Generator().manual_seed(0)
    picked = torch.randint(len(mesh.faces), (400,), generator=generator)
    points = mesh.vertices[mesh.faces[picked]].mean(1)
    seen = in_sight(points, cameras, mesh, depth_px=512)
    expected = torch.stack([cast(points, position, mesh, 0.01) for position in cameras.positions])
    normals = torch.nn.functional.normalize(face_normals(mesh)[picked], dim=1)
    facing = ((cameras.positions[:, None] - points) * normals).sum(
        -1
    ) > 0.15  # what a view only grazes is nearly unseen anyhow
    wrong = (seen != expected) & facing
    assert 0.05 < (facing & ~expected).float().mean()
    assert wrong.float().mean() < 0.005  # pixels next to outlines


def test_a_hidden_point_is_unseen_only_with_occlusion():
    mesh = two_balls()
    front = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=64)
    point, normal = torch.tensor([[0.0, 0.0, 0.3]]), torch.tensor([[0.0, 0.0, 1.0]])
    assert UnseenMask()(point, normal, front, mesh).item() == 0
    assert UnseenMask(occlusion=True)(point, normal, front, mesh).item() == 1
    from_aside = look_at_origin(torch.zeros(1), torch.tensor([60.0]), distance=2.0, size_px=64)
    assert UnseenMask(occlusion=True)(point, normal, from_aside, mesh).item() < 0.2


def test_points_out_of_the_frame_are_unseen():
    mesh = ball(0.3)
    camera = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, fov_deg=5.0, size_px=64)
    points = torch.tensor([[0.0, 0.0, 0.3], [0.2, 0.0, 0.22]])
    assert in_sight(points, camera, mesh, depth_px=64).tolist() == [[True, False]]


@pytest.mark.parametrize("numbers", [{"low": 0.6, "high": 0.5}, {"floor": 1.0}, {"high": 2.0}, {"depth_px": 0}])
def test_impossible_limits_are_refused(numbers):
    with pytest.raises(InputError, match="expected"):
        UnseenMask(**numbers)


def test_occlusion_needs_a_mesh():
    with pytest.raises(InputError, match="mesh renderer"):
        UnseenMask(occlusion=True)(torch.zeros(1, 3), torch.ones(1, 3), ring(3))
