import torch
import trimesh
from torch import nn

from sv3dgen.interfaces import Surface, SurfaceParameters
from sv3dgen.materials.constant import Constant
from sv3dgen.materials.sg import Sg
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.renderers.mesh import MeshRasterizer, images_of
from sv3dgen.views.cameras import look_at_origin


class Ball(Surface):
    """A sphere whose radius learns, colored by position."""

    def __init__(self, radius: float):
        super().__init__()
        ball = trimesh.creation.icosphere(subdivisions=4)
        self.vertices, self.faces = torch.tensor(ball.vertices.tolist()), torch.tensor(ball.faces.tolist())
        self.radius = nn.Parameter(torch.tensor(radius))

    def features(self, points):
        return 4 * points

    def isosurface(self):
        return Mesh(self.radius * self.vertices, self.faces)

    def start_from(self, mesh, texture):
        raise AssertionError("it is what it is")

    def trained(self):
        return SurfaceParameters(list(self.parameters()), [])


def one_camera(size_px: int = 65):
    return look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=size_px)


def test_buffers_of_a_sphere_are_the_closed_form():
    render = MeshRasterizer().eval()(Ball(0.3), Constant(), one_camera())
    torch.testing.assert_close(render.buffer("depth")[0, 0, 32, 32], torch.tensor(1.7), atol=1e-3, rtol=0)
    torch.testing.assert_close(render.buffer("normal")[0, :, 32, 32], torch.tensor([0.0, 0.0, 1.0]), atol=2e-2, rtol=0)
    torch.testing.assert_close(render.rgb[0, 2, 32, 32], torch.sigmoid(torch.tensor(1.2)), atol=2e-3, rtol=0)
    # The outline of a ball seen from distance d has radius f r / sqrt(d^2 - r^2).
    radius_px = one_camera().focal_px[0, 0] * 0.3 / (4 - 0.09) ** 0.5
    torch.testing.assert_close(render.opacity.sum(), torch.pi * radius_px**2, rtol=5e-3, atol=0)


def test_the_mask_moves_the_radius():
    ball = Ball(0.3)
    MeshRasterizer()(ball, Constant(), one_camera()).opacity.sum().backward()
    focal = one_camera().focal_px[0, 0]
    slope = torch.pi * focal**2 * 2 * 0.3 * 4 / (4 - 0.09) ** 2  # d/dr of pi f^2 r^2 / (d^2 - r^2)
    torch.testing.assert_close(ball.radius.grad, slope, rtol=0.05, atol=0)


def test_depth_moves_the_radius():
    ball = Ball(0.3)
    render = MeshRasterizer()(ball, Constant(), one_camera())
    render.buffer("depth")[0, 0, 32, 32].backward()
    torch.testing.assert_close(ball.radius.grad, torch.tensor(-1.0), atol=1e-2, rtol=0)


def test_a_part_of_the_pixels_is_shaded_and_named_buffers_are_drawn():
    renderer = MeshRasterizer(shade_fraction=0.25).train()
    renderer.draw_only(["normal"])
    torch.manual_seed(0)
    render = renderer(Ball(0.3), Constant(), one_camera())
    covered = (render.opacity > 0.99).sum()
    assert 0.2 < render.shaded.sum() / covered < 0.3
    assert set(render.buffers) == {"normal"}
    assert (render.rgb.sum(1, keepdim=True)[~render.shaded] == 0).all()


def test_pixels_pick_from_the_frame():
    renderer, ball = MeshRasterizer().eval(), Ball(0.3)
    whole = renderer(ball, Constant(), one_camera())
    rows, cols = torch.arange(5, 60, 7), torch.arange(3, 60, 5)
    pixels = torch.stack(torch.meshgrid(rows, cols, indexing="ij"), dim=-1)[None]
    part = renderer(ball, Constant(), one_camera(), pixels)
    drawn, kept = ({"rgb": r.rgb, "opacity": r.opacity, **r.buffers} for r in (whole, part))
    for name, frame in drawn.items():
        torch.testing.assert_close(kept[name], frame[:, :, rows][:, :, :, cols])


def test_images_hold_values_where_they_belong():
    values = {"a": torch.tensor([[1.0], [2.0]]), "b": torch.tensor([[3.0, 4.0], [5.0, 6.0]])}
    where = (torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([2, 0]))
    images = images_of(values, where, (2, 2, 3))
    assert images["a"].shape == (2, 1, 2, 3) and images["b"].shape == (2, 2, 2, 3)
    assert images["a"][0, 0, 1, 2] == 1 and images["b"][1, :, 0, 0].tolist() == [5, 6]
    assert images["a"].sum() == 3


def test_only_a_light_that_learns_has_a_gradient():
    for material, learns in ((Constant(), False), (Sg(), True)):
        render = MeshRasterizer()(Ball(0.3), material, one_camera())
        assert render.buffer("irradiance").requires_grad is learns and render.rgb.requires_grad
