"""Texture lookup at rasterized pixels: the compiled kernel against the reference, and both against closed forms."""

import pytest
import torch

from sv3dgen.color import linear_to_srgb
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.kernels.rasterizer.texture import build_pyramid, shade
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.renderers.textured import appearance, render_textured
from sv3dgen.views.cameras import look_at_origin

CAMERA = look_at_origin(torch.tensor([25.0]), torch.tensor([35.0]), distance=2.0, size_px=48)


def square(texture, repeat=1.0, half=0.5, color=None):
    """Two triangles in the plane z = 0 that face +Z."""
    vertices = torch.tensor([[-half, -half, 0.0], [half, -half, 0.0], [half, half, 0.0], [-half, half, 0.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    uv = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]]) * repeat
    textures = () if texture is None else (texture,)
    face_texture = None if texture is None else torch.zeros(2, dtype=torch.int64)
    return TexturedMesh(vertices, faces, uv, faces, textures, face_texture, color)


def noise(height, width, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def shaded(mesh, backend, supersample=2):
    side = CAMERA.width_px * supersample
    clip = clip_positions(CAMERA, mesh.vertices)
    face_index = rasterize(clip, mesh.faces, side, side).face_index
    return shade(face_index, clip, mesh.faces, appearance(mesh), supersample, backend=backend)


@pytest.mark.parametrize("repeat", [0.3, 1.0, 7.5])
def test_compiled_equals_reference(repeat):
    mesh = square(noise(37, 20), repeat)
    assert torch.allclose(shaded(mesh, "numba"), shaded(mesh, "torch"), atol=2e-5)


def test_compiled_equals_reference_for_vertex_colors_and_mixed_meshes():
    mesh = square(noise(8, 8), color=noise(4, 3)[0])
    mixed = TexturedMesh(
        mesh.vertices, mesh.faces, mesh.uv, mesh.uv_faces, mesh.textures, torch.tensor([0, -1]), mesh.vertex_colors
    )
    assert torch.allclose(shaded(mixed, "numba"), shaded(mixed, "torch"), atol=2e-5)


def test_a_tint_is_multiplied_in_linear_light():
    texture, tint = noise(8, 8), noise(4, 3, seed=1)[0]
    plain = square(texture)
    tinted = TexturedMesh(
        plain.vertices, plain.faces, plain.uv, plain.uv_faces, plain.textures, plain.face_texture, vertex_tint=tint
    )
    found = shaded(tinted, "numba")
    assert torch.allclose(found, shaded(tinted, "torch"), atol=2e-5)
    white = square(torch.ones(3, 1, 1))
    ramp = TexturedMesh(white.vertices, white.faces, vertex_colors=linear_to_srgb(tint))
    product = shaded(plain, "torch", 1)[..., :3] * shaded(ramp, "torch", 1)[..., :3]
    assert torch.allclose(shaded(tinted, "torch", 1)[..., :3], product, atol=1e-5)


def test_a_color_ramp_is_seen_in_perspective():
    """A texture linear in u and v shows u and v of the point that each pixel's ray hits."""
    size = 64
    ramp = (torch.arange(size) + 0.5) / size
    linear = torch.stack([ramp.expand(size, size), ramp.flip(0)[:, None].expand(size, size), torch.zeros(size, size)])
    rgba = render_textured(square(linear_to_srgb(linear)), CAMERA, supersample=1)[0]
    origins, directions = CAMERA.rays()
    hit = (origins - directions * (origins[..., 2:] / directions[..., 2:]))[0]
    inside = (hit.abs().amax(-1) < 0.47) & (rgba[3] == 1)
    expected = linear_to_srgb(hit + 0.5)[..., :2].movedim(-1, 0)
    assert int(inside.sum()) > 300
    assert float((rgba[:2] - expected).abs()[:, inside].max()) < 0.01


def test_a_fine_checker_seen_from_afar_is_its_mean_in_linear_light():
    checker = (torch.arange(512)[:, None] + torch.arange(512)).remainder(2).float().expand(3, 512, 512)
    rgba = render_textured(square(checker, repeat=4.0), CAMERA)[0]
    inner = rgba[:3, 20:28, 20:28]
    assert float((inner - linear_to_srgb(torch.tensor(0.5))).abs().max()) < 0.01


def test_pyramid_ends_in_the_mean():
    texture = noise(16, 8)
    pyramid = build_pyramid((texture, noise(1, 1)))
    assert pyramid.shapes.shape == (2, 5, 3)
    assert torch.allclose(pyramid.level(0, 4)[:, 0, 0], texture.mean(dim=(1, 2)), atol=1e-6)
    assert torch.equal(pyramid.level(1, 4), noise(1, 1))


def test_alpha_is_the_covered_share_of_the_pixel():
    mesh = square(None)
    fine = render_textured(mesh, CAMERA, supersample=8)[0, 3]
    coarse = render_textured(mesh, CAMERA, supersample=2)[0, 3]
    assert float((fine - coarse).abs().max()) <= 0.3
    assert float(fine.sum() - coarse.sum()) == pytest.approx(0.0, abs=0.02 * float(fine.sum()))
    assert set((coarse * 4).unique().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}


def test_irradiance_multiplies_linear_light():
    mesh = square(torch.full((3, 2, 2), 0.8))
    half = render_textured(mesh, CAMERA, irradiance=torch.full((4,), 0.5))[0]
    linear = ((torch.tensor(0.8) + 0.055) / 1.055) ** 2.4
    covered = half[3] > 0
    assert float((half[:3, covered] - linear_to_srgb(0.5 * linear)).abs().max()) < 1e-4
    assert float(half[:3, ~covered].abs().max()) == 0.0
