import dataclasses

import torch
import trimesh

from sv3dgen.export.photo_outline import with_outlines, with_photo_outlines
from sv3dgen.kernels.rasterizer.antialias import antialiased_coverage
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.cameras import Cameras, look_at_origin
from sv3dgen.views.posed_views import PosedViews


def ellipsoid(*radii: float) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=3)
    return Mesh(torch.tensor(made.vertices).float() * torch.tensor(radii), torch.tensor(made.faces))


def coverage(mesh: Mesh, cameras: Cameras) -> torch.Tensor:
    clip = clip_positions(cameras, mesh.vertices)
    drawn = rasterize(clip, mesh.faces, cameras.height_px, cameras.width_px)
    return antialiased_coverage(drawn, clip, mesh.faces, mesh.edges)


CAMERAS = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=96)


def test_the_mesh_takes_the_outline_and_keeps_its_depths():
    alpha = coverage(ellipsoid(0.33, 0.28, 0.3), CAMERAS)
    ball = ellipsoid(0.3, 0.3, 0.3)
    moved = with_outlines(ball, CAMERAS, alpha)
    before, after = ((coverage(mesh, CAMERAS) - alpha).abs().sum() for mesh in (ball, moved))
    assert after < 0.1 * before
    # From the side, nothing that could be said of it has changed much: the ball's height has, not its depth.
    assert (moved.vertices - ball.vertices)[:, 2].abs().max() < 0.012
    assert moved.vertices[:, 0].max() > 0.325 and moved.vertices[:, 1].max() < 0.285


def test_an_outline_that_is_met_moves_nothing():
    ball = ellipsoid(0.3, 0.3, 0.3)
    assert torch.equal(with_outlines(ball, CAMERAS, coverage(ball, CAMERAS)).vertices, ball.vertices)


def test_only_photos_among_generated_views_have_a_say():
    cameras = look_at_origin(torch.zeros(2), torch.tensor([90.0, 0.0]), distance=2.0, size_px=96)
    alpha = coverage(ellipsoid(0.33, 0.28, 0.3), cameras)
    images = (alpha[:, None].expand(-1, 4, -1, -1) * 255).round().byte()
    angles = torch.zeros(2), torch.tensor([90.0, 0.0])
    views = PosedViews(images, cameras, ("0", "1"), ("train",) * 2, *angles, torch.eye(4))
    ball = ellipsoid(0.3, 0.3, 0.3)
    for silent in (views, dataclasses.replace(views, generated=(True, True))):
        assert with_photo_outlines(ball, silent) is ball
    distrusted = dataclasses.replace(views, generated=(True, False), trust=(1.0, 0.0))
    assert with_photo_outlines(ball, distrusted) is ball
    told = with_photo_outlines(ball, dataclasses.replace(views, generated=(True, False)))
    off = ((coverage(told, cameras) - alpha).abs().sum((1, 2)) / alpha.sum((1, 2))).tolist()
    assert off[1] < 0.01
