import pytest
import torch
import trimesh

from sv3dgen.kernels.rasterizer.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.views.cameras import look_at_origin

BACKENDS = ["torch", "numba"]
HEIGHT, WIDTH = 30, 40


def scene(subdivisions=2, views=2):
    """A bumpy sphere in two views, and the pixels that see it: (face, view, row, col)."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.4)
    vertices = torch.tensor(sphere.vertices)
    vertices = vertices * (1 + 0.2 * torch.sin(15 * vertices[:, :1]))
    faces = torch.tensor(sphere.faces)
    elevation, azimuth = torch.linspace(-30, 50, views), torch.linspace(20, 300, views)
    cameras = look_at_origin(elevation, azimuth, distance=2.0, size_px=WIDTH).resized(WIDTH, HEIGHT)
    face_index = rasterize(clip_positions(cameras, vertices), faces, HEIGHT, WIDTH).face_index
    view, row, col = (face_index >= 0).nonzero().unbind(1)
    return vertices, faces, cameras, (face_index[view, row, col], view, row, col)


def small_problem():
    """Float64 inputs of a few triangles at random pixels, as barycentrics takes them."""
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(2, 7, 4, generator=generator, dtype=torch.float64)
    clip[..., 3] = 2 + clip[..., 3].abs()
    faces = torch.randint(0, 7, (20, 3), generator=generator)
    faces = faces[(faces != faces.roll(1, 1)).all(1)]
    view, row, col = (torch.randint(0, n, (9,), generator=generator) for n in (2, 5, 6))
    face = torch.randint(0, len(faces), (9,), generator=generator)
    return clip.requires_grad_(), faces, face, view, row, col, 5, 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_hits_lie_on_the_ray_and_in_the_face(backend):
    vertices, faces, cameras, (face, view, row, col) = scene()
    clip = clip_positions(cameras, vertices)
    weights = barycentrics(clip, faces, face, view, row, col, HEIGHT, WIDTH, backend=backend)
    hits = interpolate(vertices, faces, face, weights, backend=backend)
    origins, directions = (t.double()[view, row, col] for t in cameras.rays())
    assert torch.linalg.cross(hits - origins, directions).norm(dim=-1).max() < 2e-6
    assert weights.min() > -1e-2
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(face, dtype=torch.float64))


def test_a_moving_vertex_moves_the_hit_along_the_ray():
    vertices, faces, cameras, (face, view, row, col) = scene(subdivisions=1)
    origins, directions = (t.double()[view, row, col] for t in cameras.rays())
    generator = torch.Generator().manual_seed(1)
    velocity = torch.randn(vertices.shape, generator=generator, dtype=torch.float64)

    def ray_meets_plane(step):
        a, b, c = (vertices + step * velocity)[faces[face.long()]].unbind(1)
        normal = torch.linalg.cross(b - a, c - a)
        distance = ((a - origins) * normal).sum(-1) / (directions * normal).sum(-1)
        return origins + distance[:, None] * directions

    def hits(moved):
        weights = barycentrics(
            clip_positions(cameras, moved), faces, face, view, row, col, HEIGHT, WIDTH, backend="torch"
        )
        return interpolate(moved, faces, face, weights, backend="torch")

    _, motion = torch.autograd.functional.jvp(hits, vertices, velocity)
    expected = (ray_meets_plane(1e-6) - ray_meets_plane(-1e-6)) / 2e-6
    # The camera matrices are float32, hence the tolerance.
    assert ((motion - expected).norm(dim=-1) / (1 + expected.norm(dim=-1))).max() < 1e-4
    # A rolled motion in the image plane is impossible: what is left over lies on the ray.
    assert torch.linalg.cross(motion, directions).norm(dim=-1).max() < 1e-4 * expected.norm(dim=-1).max()


def test_gradients_of_the_reference():
    clip, faces, face, *rest = small_problem()
    assert torch.autograd.gradcheck(lambda c: barycentrics(c, faces, face, *rest, backend="torch"), (clip,))
    attributes = torch.rand(7, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, w: interpolate(a, faces, face, w, backend="torch"), (attributes, weights))


def test_numba_equals_the_reference_in_value_and_gradient():
    vertices, faces, cameras, (face, view, row, col) = scene(subdivisions=3)
    generator = torch.Generator().manual_seed(2)
    attributes = torch.rand(len(vertices), 5, generator=generator)
    weight_gradient = torch.randn(len(face), 3, generator=generator)
    value_gradient = torch.randn(len(face), 5, generator=generator)
    results = []
    for backend in BACKENDS:
        clip = clip_positions(cameras, vertices.float()).requires_grad_()
        leaf = attributes.clone().requires_grad_()
        # The reference runs in float64, or its own rounding would be what is measured.
        weights = barycentrics(
            clip.double() if backend == "torch" else clip, faces, face, view, row, col, HEIGHT, WIDTH, backend=backend
        ).float()
        values = interpolate(leaf, faces, face, weights, backend=backend)
        (values * value_gradient).sum().backward(retain_graph=True)
        from_values = clip.grad.clone()
        (weights * weight_gradient).sum().backward()
        results.append((weights, values, leaf.grad, from_values, clip.grad))
    for expected, actual in ((e.detach(), a.detach()) for e, a in zip(*results, strict=True)):
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_edge_on_triangles_give_finite_values_and_no_gradient(backend):
    clip = torch.tensor([[[0.0, 0, 0, 1], [1, 0, 0, 1], [2, 0, 0, 1]]], requires_grad=True)
    zero = torch.zeros(1, dtype=torch.int64)
    weights = barycentrics(clip, torch.tensor([[0, 1, 2]]), zero, zero, zero, zero, 1, 1, backend=backend)
    weights[0, 0].backward()
    torch.testing.assert_close(weights, torch.full((1, 3), 1 / 3))
    assert (clip.grad == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_pixels(backend):
    clip, faces, *_ = small_problem()
    none = torch.zeros(0, dtype=torch.int64)
    weights = barycentrics(clip, faces, none, none, none, none, 5, 6, backend=backend)
    interpolate(clip[0], faces, none, weights, backend=backend).sum().backward()
    assert weights.shape == (0, 3)
    assert (clip.grad == 0).all()
