"""Color next to an outline: means of shaded neighbors, and pictures over white without a dark rim."""

import torch
import trimesh

from sv3dgen.color import over_white
from sv3dgen.interfaces import Material, Shading, Surface, SurfaceParameters
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.renderers.mesh import MeshRasterizer
from sv3dgen.renderers.outlines import spread_to_outline
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.orbits import StaticOrbit

BRIGHT = 0.9


class Ball(Surface):
    def __init__(self) -> None:
        super().__init__()
        ball = trimesh.creation.icosphere(4, 0.5)
        self.vertices = torch.nn.Parameter(torch.from_numpy(ball.vertices).float())
        self.faces = torch.from_numpy(ball.faces).long()

    def isosurface(self) -> Mesh:
        return Mesh(self.vertices, self.faces)

    def features(self, points):
        return torch.zeros(len(points), 3)

    def start_from(self, mesh, texture):
        raise AssertionError("it is what it is")

    def trained(self):
        return SurfaceParameters(list(self.parameters()), [])


class Bright(Material):
    feature_dim, needs_normals = 3, False

    def forward(self, features, normals):
        rgb = torch.full_like(features, BRIGHT)
        return Shading(rgb, rgb, rgb[:, :1])

    def light(self) -> dict:
        return {}

    @classmethod
    def from_light(cls, light):
        raise AssertionError("nobody reads it back")


def test_neighbors_of_shaded_pixels_take_their_mean():
    shaded = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    shaded[0, 0, 2, 2] = shaded[0, 0, 0, 2] = True
    values = torch.full((1, 1, 5, 5), 7.0)  # what is not shaded means nothing
    values[0, 0, 2, 2], values[0, 0, 0, 2] = 1.0, 3.0
    spread = spread_to_outline(values, shaded)[0, 0]
    assert spread[2, 2] == 1 and spread[0, 2] == 3
    torch.testing.assert_close(spread[1, 1:4], torch.full((3,), 2.0))
    torch.testing.assert_close(spread[3, 1:4], torch.ones(3))
    assert not spread[4].any() and not spread[:, 0].any()


def test_a_true_render_over_white_has_no_rim_that_pulls_on_the_outline():
    ball, camera = Ball(), StaticOrbit()(0.0, 1, torch.Generator()).cameras(size_px=64)
    render = MeshRasterizer().eval()(ball, Bright(), camera)
    textured = TexturedMesh(
        ball.vertices.detach(), ball.faces, vertex_colors=torch.full_like(ball.vertices.detach(), BRIGHT)
    )
    rgba = render_textured(textured, camera)
    true = over_white(rgba[:, :3], rgba[:, 3:])

    def off_and_pull(rgb: torch.Tensor) -> tuple[float, float]:
        drawn = over_white(rgb, render.opacity)
        (gradient,) = torch.autograd.grad(0.5 * (drawn - true).square().sum(), ball.vertices, retain_graph=True)
        pull = (gradient * ball.vertices.detach()).sum().abs()
        return (drawn - true).abs().max().item(), pull.item()

    off, pull = off_and_pull(spread_to_outline(render.rgb, render.shaded))
    dark, shrinking = off_and_pull(render.rgb)
    assert off < 0.02 < 0.3 < dark
    assert pull < 0.01 * shrinking
