import pytest
import torch
import trimesh

from sv3dgen.export.bake import bake, locate_texels
from sv3dgen.export.exporter import Exporter
from sv3dgen.export.unseen_surface import continued_colors, seen_vertices, smoothed_unseen, unseen_share
from sv3dgen.export.unwrap import unwrap_by_projection
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.cameras import Cameras, look_at_origin

RADIUS, DISTANCE = 0.3, 2.0
LIGHT = {"model": "constant"}


def ball(subdivisions: int = 4) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=subdivisions, radius=RADIUS)
    return Mesh(torch.tensor(made.vertices).float(), torch.tensor(made.faces))


def front() -> Cameras:
    return look_at_origin(torch.zeros(1), torch.zeros(1), distance=DISTANCE, size_px=128)


def test_a_camera_sees_the_cap_of_a_ball():
    mesh = ball()
    seen = seen_vertices(mesh, front())
    height = mesh.vertices[:, 2] / RADIUS
    horizon = RADIUS / DISTANCE
    assert seen[height > horizon + 0.2].all() and not seen[height < horizon].any()
    # A zone's area is in proportion to its height.
    assert unseen_share(mesh, seen) == pytest.approx((1 + horizon) / 2 + 0.06, abs=0.04)
    around = look_at_origin(
        torch.tensor([0.0, 0.0, 0.0, 89.0, -89.0]), torch.arange(5) * 90.0, distance=2.0, size_px=128
    )
    assert unseen_share(mesh, seen_vertices(mesh, around)) < 0.1


def test_what_stands_behind_something_is_unseen():
    near, far = ball(), ball(3)
    both = Mesh(
        torch.cat([near.vertices, 0.5 * far.vertices - torch.tensor([0.0, 0.0, 0.6])]),
        torch.cat([near.faces, far.faces + len(near.vertices)]),
    )
    assert not seen_vertices(both, front())[len(near.vertices) :].any()


def test_only_unseen_bumps_are_smoothed():
    mesh = ball()
    noise = 1 + 0.01 * torch.randn(len(mesh.vertices), 1, generator=torch.Generator().manual_seed(0))
    rough = Mesh(mesh.vertices * noise, mesh.faces)
    seen = mesh.vertices[:, 2] > 0
    smooth = smoothed_unseen(rough, seen)
    assert torch.equal(smooth.vertices[seen], rough.vertices[seen])
    radius = smooth.vertices[~seen].norm(dim=1) / RADIUS
    assert radius.std() < 0.004 and radius.mean() == pytest.approx(1, abs=0.003)  # it does not shrink


def test_colors_of_a_hole_in_a_plane_are_harmonic():
    # On an even grid a linear function is harmonic, and its values at the border leave no other.
    side = 9
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    corner = (y * side + x)[:-1, :-1].reshape(-1)
    faces = torch.cat(
        [
            torch.stack([corner, corner + 1, corner + side], 1),
            torch.stack([corner + 1, corner + 1 + side, corner + side], 1),
        ]
    )
    plane = torch.stack([x, y, 0 * x], -1).reshape(-1, 3).float()
    island = plane + torch.tensor([100.0, 0, 0])
    mesh = Mesh(torch.cat([plane, island]), torch.cat([faces, faces + side**2]))
    seen = torch.zeros(2 * side**2, dtype=torch.bool)
    seen[: side**2] = ((x % (side - 1) == 0) | (y % (side - 1) == 0)).reshape(-1)
    linear = torch.stack([x / 10, y / 10, (x + y) / 20], -1).reshape(-1, 3)
    own = torch.rand(2 * side**2, 3, generator=torch.Generator().manual_seed(0))
    given = torch.where(seen[:, None], torch.cat([linear, linear]), own)
    filled = continued_colors(mesh, seen, given)
    assert torch.equal(filled[seen], given[seen])
    torch.testing.assert_close(filled[: side**2], linear, atol=2e-3, rtol=0)
    assert filled[side**2 :].std(0).max() < 0.01  # an island has one color: the mean of its own
    torch.testing.assert_close(filled[side**2 :].mean(0), own[side**2 :].mean(0), atol=0.02, rtol=0)


def speckles(points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Gray in front of z = 0, black and white behind."""
    noise = ((points * 1e4).floor().sum(1, keepdim=True) % 2).expand(-1, 3)
    return torch.where(points[:, 2:] > 0, 0.5, noise)


def test_speckles_that_no_view_has_seen_are_not_baked():
    mesh = ball()
    unwrap = unwrap_by_projection(mesh, 128)
    seen = mesh.vertices[:, 2] > 0.02
    texels = locate_texels(mesh, unwrap, 128)
    noisy, quiet = bake(mesh, unwrap, 128, speckles), bake(mesh, unwrap, 128, speckles, seen)
    behind = texels.points[:, 2] < -0.02
    rows, cols = texels.rows[behind], texels.cols[behind]
    assert noisy[:, rows, cols].std() > 0.4 and (quiet[:, rows, cols] - 0.5).abs().max() < 0.01
    assert torch.equal(bake(mesh, unwrap, 128, speckles, torch.ones_like(seen)), noisy)


def test_the_exported_mesh_is_quiet_where_it_is_unseen(tmp_path):
    def exported(name: str, quiet_unseen: bool = True, keep_unseen: bool = False):
        exporter = Exporter(faces=2000, texture_px=128, quiet_unseen=quiet_unseen, turntable_frames=2, turntable_px=32)
        report = exporter.export(ball(3), speckles, tmp_path / name, LIGHT, front(), keep_unseen=keep_unseen)
        return report, read_mesh(tmp_path / name / "mesh" / "mesh.glb").textures[0]

    report, quiet = exported("quiet")
    assert report.unseen_share == pytest.approx((1 + RADIUS / DISTANCE) / 2 + 0.06, abs=0.06) and report.watertight
    kept, switched_off = exported("kept", keep_unseen=True)[1], exported("off", quiet_unseen=False)[1]
    assert torch.equal(kept, switched_off) and kept.std() > 2 * quiet.std()
