from itertools import pairwise

import pytest
import torch
from torch import nn

from geometry.hash_grid import HashGrid
from sv3dgen.interfaces import Field, FieldSample, Material, Shading
from sv3dgen.materials.constant import Constant
from sv3dgen.materials.sg import Sg
from sv3dgen.renderers.volume import LEAST_LIGHT, Volume
from sv3dgen.views.cameras import look_at_origin


class Ball(Field):
    """A ball of constant density around the origin, colored by direction."""

    def __init__(self, radius: float, density: float):
        super().__init__()
        self.radius, self.density = radius, nn.Parameter(torch.tensor(density))

    def features(self, points):
        return nn.functional.normalize(points, dim=-1) / 2 + 0.5

    def forward(self, points, with_normals=False):
        inside = (points.norm(dim=-1) < self.radius).float()
        normals = nn.functional.normalize(points, dim=-1) if with_normals else None
        return FieldSample(self.density * inside, self.features(points), normals)


class Plain(Material):
    feature_dim = 3

    def __init__(self, needs_normals: bool):
        super().__init__()
        self.needs_normals = needs_normals

    def forward(self, features, normals):
        return Shading(features, features, normals[:, :1].abs())

    def light(self):
        return {}

    @classmethod
    def from_light(cls, light):
        raise AssertionError("nobody reads it back")


def one_camera(size_px: int = 33):
    return look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=size_px)


def test_opacity_of_a_ball_is_beer_lambert():
    renderer = Volume(step_size=0.002).eval()
    render = renderer(Ball(0.3, 4.0), Plain(False), one_camera())
    center = render.opacity[0, 0, 16, 16]
    torch.testing.assert_close(center, 1 - torch.exp(torch.tensor(-4.0 * 0.6)), atol=5e-3, rtol=0)
    assert render.opacity[0, 0, 0, 0] == 0


def test_median_depth_of_an_opaque_ball_is_its_surface():
    renderer = Volume(step_size=0.002).eval()
    depth = renderer.depth(Ball(0.3, 2000.0), one_camera())
    torch.testing.assert_close(depth[0, 16, 16], torch.tensor(1.7), atol=4e-3, rtol=0)
    assert depth[0, 0, 0].isinf()


def test_depth_and_normals_of_an_opaque_ball():
    render = Volume(step_size=0.002).eval()(Ball(0.3, 2000.0), Plain(True), one_camera())
    torch.testing.assert_close(render.buffer("depth")[0, 0, 16, 16], torch.tensor(1.7), atol=4e-3, rtol=0)
    torch.testing.assert_close(render.buffer("normal")[0, :, 16, 16], torch.tensor([0.0, 0.0, 1.0]), atol=2e-2, rtol=0)
    assert render.buffer("inward_facing").mean() < 1e-3


def test_pixels_pick_from_the_frame():
    renderer, ball = Volume(step_size=0.01).eval(), Ball(0.3, 20.0)
    whole = renderer(ball, Plain(False), one_camera())
    rows, cols = torch.arange(5, 25, 4), torch.arange(3, 30, 5)
    pixels = torch.stack(torch.meshgrid(rows, cols, indexing="ij"), dim=-1)[None]
    part = renderer(ball, Plain(False), one_camera(), pixels)
    torch.testing.assert_close(part.rgb, whole.rgb[:, :, rows][:, :, :, cols])


def test_occupancy_keeps_what_is_there_and_never_leaves_the_hull():
    renderer = Volume(resolution=32, warmup_steps=0, update_every=1)
    hull = torch.zeros(64, 64, 64, dtype=torch.bool)
    hull[:32] = True
    renderer.start_from(hull)
    torch.manual_seed(0)
    for step in range(3):
        renderer.on_step(Ball(0.3, 50.0), step, step - 1)
    centers = (torch.arange(32) + 0.5) / 32 * 1.24 - 0.62
    distance = torch.stack(torch.meshgrid(centers, centers, centers, indexing="ij"), dim=-1).norm(dim=-1)
    assert renderer.occupied[:16][distance[:16] < 0.25].all()
    assert not renderer.occupied[distance > 0.36].any()
    assert not renderer.occupied[18:].any()


@pytest.mark.parametrize("steps, fewer", [(1200, 1200), (1200, 600), (1001, 500), (1200, 599)])
def test_a_stage_that_leaves_out_places_of_its_schedules_looks_as_often(steps, fewer, monkeypatch):
    renderer, ball, looks = Volume(resolution=8), Ball(0.3, 50.0), []
    monkeypatch.setattr(ball, "forward", lambda at: looks.append(1) or FieldSample(at.new_zeros(len(at)), at, None))
    places = [-1] + [round(step * steps / fewer) for step in range(fewer)]
    for before, step in pairwise(places):
        renderer.on_step(ball, step, before)
    assert len(looks) == len(range(256, steps, 16))


def test_gradient_reaches_the_density():
    ball = Ball(0.3, 2.0)
    renderer = Volume(step_size=0.01)
    torch.manual_seed(0)
    opacity = renderer(ball, Plain(False), one_camera()).opacity.sum()
    (slope,) = torch.autograd.grad(opacity, ball.density)
    with torch.no_grad():
        ball.density += 1e-2
        torch.manual_seed(0)
        more = renderer(ball, Plain(False), one_camera()).opacity.sum()
    torch.testing.assert_close(slope, (more - opacity) / 1e-2, rtol=2e-2, atol=0)


def test_a_picture_leaves_out_what_no_light_reaches_and_shows_the_rest():
    torch.manual_seed(0)
    balls = Ball(0.3, 2000.0), Ball(0.3, 1.5)  # of which the first hides its own inside
    for ball in balls:
        whole, pruned = (Volume(step_size=0.004, prune_samples=choice).eval() for choice in (False, True))
        expected, found = (renderer(ball, Plain(True), one_camera()) for renderer in (whole, pruned))
        torch.testing.assert_close(found.rgb, expected.rgb, atol=2 * LEAST_LIGHT, rtol=0)
        torch.testing.assert_close(found.opacity, expected.opacity, atol=2 * LEAST_LIGHT, rtol=0)
        assert pruned.num_samples < whole.num_samples


def test_only_a_light_that_learns_has_a_gradient():
    torch.manual_seed(0)
    for material, learns in ((Constant(), False), (Sg(), True)):
        render = Volume(step_size=0.01)(Ball(0.3, 4.0), material, one_camera())
        assert render.buffer("irradiance").requires_grad is learns and render.opacity.requires_grad


def test_samples_stand_as_far_apart_as_the_views_pixels_while_training():
    torch.manual_seed(0)
    counts = []
    for least_step_px, pixel in ((0.0, 0.036), (0.5, 0.036), (0.5, 0.01)):
        renderer = Volume(step_size=0.009, least_step_px=least_step_px, prune_samples=False)
        renderer.start_from(torch.ones(8, 8, 8, dtype=torch.bool), pixel)
        renderer(Ball(0.3, 2.0), Plain(False), one_camera())
        training = renderer.num_samples
        renderer.eval()(Ball(0.3, 2.0), Plain(False), one_camera())
        counts.append((training, renderer.num_samples))
    (fine, picture), (coarse, same), (again, _) = counts
    assert coarse == pytest.approx(fine / 2, rel=0.02) and again == pytest.approx(fine, rel=0.02)
    renderer.start_from(torch.ones(8, 8, 8, dtype=torch.bool), 1.0)  # views of a few pixels
    assert renderer.sample_spacing(Ball(0.3, 2.0)) == 2 * renderer.radius / renderer.resolution
    assert same == picture == pytest.approx(fine, rel=0.02)  # a picture has them where they always are


def test_samples_stand_as_far_apart_as_the_fields_cells_tell_while_levels_open():
    field = HashGrid(levels=4, base_resolution=16, growth=2.0, levels_open=[[0, 1], [3, 4]], log2_table_size=12)
    renderer = Volume(step_size=0.009, least_step_cells=0.5)
    steps = []
    for step in range(4):
        field.on_step(step)
        steps.append(renderer.sample_spacing(field))
    # Cells of 1.24 / 16, 32, 64 and 128; half of the first is more than a cell of the occupancy grid, 1.24 / 64.
    assert steps == pytest.approx([1.24 / 64, 1.24 / 64, 0.62 / 64, 0.009])
    assert Volume(step_size=0.009).sample_spacing(field) == 0.009
