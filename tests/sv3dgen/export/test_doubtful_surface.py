import math

import pytest
import torch
import trimesh

from sv3dgen.export.doubtful_surface import doubts, faired, least_doubt, quieter
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.cameras import look_at_origin

RADIUS = 0.3


def ball() -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    return Mesh(torch.tensor(made.vertices).float(), torch.tensor(made.faces))


def waved(waves: int, height: float = 0.01) -> Mesh:
    """A ball with waves around its axis, fading to its poles."""
    mesh = ball()
    x, y, z = (mesh.vertices / RADIUS).unbind(1)
    bump = height * torch.cos(waves * torch.atan2(x, z)) * (1 - y**2) ** 2
    return Mesh(mesh.vertices * (1 + bump / RADIUS)[:, None], mesh.faces)


def height(mesh: Mesh) -> float:
    near_equator = mesh.vertices[:, 1].abs() < 0.05
    radius = mesh.vertices[near_equator].norm(dim=1)
    return float(radius.amax() - radius.amin()) / 2


def test_short_waves_go_where_there_is_doubt_and_stay_where_there_is_none():
    mesh = waved(24)  # .08 long
    assert height(faired(mesh, torch.ones(len(mesh.vertices)))) < 0.1 * height(mesh)
    assert faired(mesh, torch.zeros(len(mesh.vertices))) is mesh
    right = (mesh.vertices[:, 0] > 0).float()
    moved = (faired(mesh, right).vertices - mesh.vertices).norm(dim=1)
    assert moved[mesh.vertices[:, 0] > 0.1].max() > 0.008 and moved[mesh.vertices[:, 0] < -0.1].max() < 5e-4


def test_long_waves_and_the_size_stay():
    mesh = waved(3)  # .63 long
    smooth = faired(mesh, torch.ones(len(mesh.vertices)))
    assert height(smooth) > 0.6 * height(mesh)
    assert float(smooth.vertices.norm(dim=1).mean()) == pytest.approx(RADIUS, rel=0.03)


def test_doubt_is_where_views_are_far_from_what_they_see():
    mesh = ball()
    cameras = look_at_origin(torch.zeros(2), torch.tensor([0.0, 180.0]), distance=2.0, size_px=96)
    error = torch.zeros(2, 96, 96)
    error[0] = 0.15**2
    found = doubts(mesh, cameras, error)
    depth = mesh.vertices[:, 2]
    assert (found[depth > 0.1] == 1).all() and not found[depth < -0.1].any()
    # What both see, if it were the same place, counts by their mean.
    both = doubts(mesh, cameras[torch.tensor([0, 0])], torch.stack([error[0], error[1]]))
    mean = (0.15**2 / 2) ** 0.5
    t = (mean - 0.09) / 0.04
    assert float(both[depth > 0.1].mean()) == pytest.approx(t * t * (3 - 2 * t), abs=1e-3)


def test_surface_that_no_view_sees_takes_over_the_doubt_at_its_border():
    mesh = ball()
    camera = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=96)
    found = doubts(mesh, camera, torch.full((1, 96, 96), 0.15**2))
    assert found.min() > 0.9
    assert not doubts(mesh, camera, torch.full((1, 96, 96), 0.05**2)).any()
    assert math.isfinite(float(found.sum()))


def test_views_of_few_pixels_leave_the_shape_open():
    assert least_doubt(1.2 / 576) == least_doubt(1.2 / 320) == 0 < least_doubt(1.2 / 128) < least_doubt(1.2 / 64)
    assert least_doubt(1.2 / 64) > 0.9


def test_what_no_view_sees_may_be_kept():
    mesh = ball()
    cameras = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=64)
    errors = torch.ones(1, 64, 64)
    front, back = mesh.vertices[:, 2] > 0.15, mesh.vertices[:, 2] < -0.15
    assert doubts(mesh, cameras, errors)[back].min() > 0.9  # takes over its border's
    kept = doubts(mesh, cameras, errors, keep_unseen=True)
    assert kept[front].min() == 1 and kept[back].max() == 0
    least = doubts(mesh, cameras, 0 * errors, least=0.25, keep_unseen=True)
    assert least[front].min() == 0.25 and least[back].max() == 0


def test_streaks_of_doubtful_surface_go_and_patches_stay():
    mesh = ball()
    x, _, z = mesh.vertices.unbind(1)
    around = torch.atan2(x, z)

    def spread_after(waves: int, doubt: torch.Tensor) -> torch.Tensor:
        colors = (0.5 + 0.2 * torch.cos(waves * around))[:, None].expand(-1, 3)
        return (colors + quieter(mesh, doubt, colors))[:, 0] - 0.5

    equator = mesh.vertices[:, 1].abs() < 0.05
    right = (x > 0).float()
    streaks = spread_after(32, right)  # .06 long
    assert streaks[equator & (x > 0.05)].abs().max() < 0.03
    assert streaks[equator & (x < 0)].abs().max() > 0.19
    assert spread_after(4, right)[equator & (x > 0.05)].max() > 0.19  # .47 long
