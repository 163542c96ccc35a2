import math

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import ConvexHull

from sv3dgen.kernels.rasterizer.antialias import antialiased_coverage
from sv3dgen.kernels.rasterizer.edge_adjacency import edge_adjacency
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.views.cameras import look_at_origin, project

BACKENDS = ["torch", "numba"]


def cameras(views, size_px):
    return look_at_origin(torch.linspace(-30, 50, views), torch.linspace(20, 300, views), distance=2.0, size_px=size_px)


def tensors(mesh):
    return torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces)


def coverage(clip, faces, size_px, backend="numba", edges=None):
    edges = edges or edge_adjacency(faces)
    return antialiased_coverage(rasterize(clip, faces, size_px, size_px), clip, faces, edges, backend=backend)


def disc(radius_px, size_px, segments=600):
    """Clip positions and faces of a flat fan around the middle of the frame, without perspective."""
    angle = torch.linspace(0, 2 * math.pi, segments + 1)[:-1]
    rim = torch.stack([angle.cos(), angle.sin()], -1) * radius_px * 2 / size_px
    xy = torch.cat([torch.zeros(1, 2), rim])
    i = torch.arange(segments)
    faces = torch.stack([torch.zeros_like(i), i + 1, (i + 1) % segments + 1], -1)
    return torch.cat([xy, torch.zeros(len(xy), 1), torch.ones(len(xy), 1)], -1)[None], faces


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_half_plane_covers_pixels_up_to_its_edge(backend):
    # A vertical edge at x = 3.8 px: column 3 is covered, and lacks .2 px to the middle between it and the next.
    for edge_px, column, expected in [(3.8, 3, 0.8), (4.2, 4, 0.2)]:
        x = 2 * edge_px / 8 - 1
        clip = torch.tensor([[[-3.0, -3, 0, 1], [x, -3, 0, 1], [x, 3, 0, 1], [-3, 3, 0, 1]]])
        faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
        actual = coverage(clip, faces, 8, backend)
        torch.testing.assert_close(actual[0, :, column], torch.full((8,), expected))
        assert (actual[0, :, :column] == 1).all() and (actual[0, :, column + 1 :] == 0).all()
        # Upright and lying: the picture turns with the object.
        turned = clip[..., [1, 0, 2, 3]] * torch.tensor([1.0, -1.0, 1.0, 1.0])
        torch.testing.assert_close(coverage(turned, faces, 8, backend)[0], actual[0].T)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("radius_px", [5.3, 20.1, 27.5])
def test_the_area_of_a_disc_and_its_growth_which_is_the_perimeter(backend, radius_px):
    clip, faces = disc(radius_px, 64)
    totals, growths = [], []
    for offset in torch.rand(12, 2, generator=torch.Generator().manual_seed(0)) / 32:  # within a pixel
        scale = torch.ones((), requires_grad=True)
        scaled = clip * torch.stack([scale, scale, scale * 0, scale * 0 + 1])
        total = coverage(scaled + torch.cat([offset, torch.zeros(2)]), faces, 64, backend).sum()
        totals.append(total.item())
        growths.append(torch.autograd.grad(total, scale)[0].item())
    assert totals == pytest.approx([math.pi * radius_px**2] * 12, rel=0.01)
    # A single disc may have one row or column more or less on each of its sides.
    assert growths == pytest.approx([2 * math.pi * radius_px**2] * 12, rel=0.02 + 0.9 / radius_px)
    assert np.mean(growths) == pytest.approx(2 * math.pi * radius_px**2, rel=0.02)


# Faces from 8 px down to a third of a pixel wide.
@pytest.mark.parametrize(("subdivisions", "size_px"), [(3, 128), (5, 128), (6, 128), (6, 64)])
def test_the_silhouette_of_a_sphere_grows_like_the_circle_it_is(subdivisions, size_px):
    radius, distance = 0.4, 2.0
    vertices, faces = tensors(trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius))
    views = cameras(4, size_px)
    scale = torch.ones((), requires_grad=True)
    total = coverage(clip_positions(views, vertices * scale), faces, size_px).sum() / 4
    (growth,) = torch.autograd.grad(total, scale)
    focal, shrunk = views.focal_px[0, 0].item(), distance**2 - radius**2
    circle_px = focal * radius / math.sqrt(shrunk)
    circle_growth_px = focal * radius * distance**2 / shrunk**1.5
    assert total.item() == pytest.approx(math.pi * circle_px**2, rel=0.007)
    assert growth.item() == pytest.approx(2 * math.pi * circle_px * circle_growth_px, rel=0.02)


@pytest.mark.parametrize("name", ["sphere", "torus"])
def test_the_gradient_along_a_path_adds_up_to_the_difference_of_its_ends(name):
    size_px, half, steps = 80, 0.02, 16  # the path is 2 px long
    sphere = trimesh.creation.icosphere(subdivisions=5, radius=0.4)
    torus = trimesh.creation.torus(0.3, 0.12, major_sections=150, minor_sections=80)
    vertices, faces = tensors(sphere if name == "sphere" else torus)
    edges, views = edge_adjacency(faces), cameras(4, size_px)
    x, y = torch.meshgrid(torch.arange(size_px) / size_px, torch.arange(size_px) / size_px, indexing="xy")
    weight = x - 2 * y**2

    def weighted(shift):
        clip = clip_positions(views, vertices + shift)
        return (coverage(clip, faces, size_px, edges=edges) * weight).sum()

    differences, integrals = [], []
    for axis in torch.eye(3):
        differences.append((weighted(half * axis) - weighted(-half * axis)) / (2 * half))
        shifts = [((2 * i + 1) / steps - 1) * half * axis for i in range(steps)]
        gradients = [torch.autograd.grad(weighted(s), s)[0] @ axis for s in map(torch.Tensor.requires_grad_, shifts)]
        integrals.append(sum(gradients) / steps)
    differences, integrals = torch.stack(differences), torch.stack(integrals)
    assert (integrals - differences).norm() < 0.02 * differences.norm()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_area_of_a_cube_and_its_gradient_at_every_corner(backend):
    vertices, faces = tensors(trimesh.creation.box(extents=(0.5, 0.6, 0.4)))
    views = cameras(3, 120)
    for view in range(3):
        camera = views[torch.tensor([view])]
        moving = vertices.clone().requires_grad_()
        outline = project(camera, moving)[0][0]
        outline = outline[torch.from_numpy(ConvexHull(outline.detach().numpy()).vertices.astype(np.int64))]
        following = outline.roll(-1, 0)
        area = 0.5 * (outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]).sum().abs()
        total = coverage(clip_positions(camera, moving), faces, 120, backend).sum()
        (expected,) = torch.autograd.grad(area, moving)
        (actual,) = torch.autograd.grad(total, moving)
        assert total.item() == pytest.approx(area.item(), rel=0.005)
        assert (actual - expected).norm() < 0.05 * expected.norm()


def test_gradients_of_the_reference():
    vertices, faces = tensors(trimesh.creation.icosahedron())
    clip = clip_positions(cameras(1, 12), 0.35 * vertices)
    fragments, edges = rasterize(clip, faces, 12, 12), edge_adjacency(faces)

    def reference(positions):
        return antialiased_coverage(fragments, positions, faces, edges, backend="torch")

    assert torch.autograd.gradcheck(reference, (clip.double().requires_grad_(),))


def bordered(views):
    """A wavy sphere with a border, squeezed, in a frame that is not square: fragments, clip, faces, edges, weights."""
    vertices, faces = tensors(trimesh.creation.icosphere(subdivisions=4, radius=0.45))
    vertices = vertices * (1 + 0.2 * torch.sin(15 * vertices[:, :1]))
    open_faces = faces[vertices[faces][..., 2].amin(1) < 0.2]
    height, width = 50, 70
    clip = clip_positions(cameras(views, 64).resized(width, height), vertices) * torch.tensor([1.5, 1.5, 1.0, 1.0])
    weight = torch.randn(views, height, width, generator=torch.Generator().manual_seed(0))
    return rasterize(clip, open_faces, height, width), clip, open_faces, edge_adjacency(open_faces), weight


@pytest.mark.parametrize("views", [1, 2, 3])
def test_numba_equals_the_reference_in_value_and_gradient(views):
    fragments, clip, faces, edges, weight = bordered(views)
    results = []
    for backend in BACKENDS:
        leaf = (clip.double() if backend == "torch" else clip).detach().requires_grad_()
        value = antialiased_coverage(fragments, leaf, faces, edges, backend=backend)
        (value * weight).sum().backward()
        results.append((value.detach().float(), leaf.grad.float()))
    (expected, expected_gradient), (actual, actual_gradient) = results
    assert ((expected > 0) & (expected < 1)).sum() > 50 * views
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(actual_gradient, expected_gradient, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_edges_behind_the_camera_are_ignored_and_inner_edges_stay_whole(backend):
    vertices, faces = tensors(trimesh.creation.icosphere(subdivisions=2, radius=0.4))
    behind = torch.tensor([[0.0, 0, 5], [0.1, 0, 5], [0, 0.1, 1]])
    clip = clip_positions(cameras(1, 32), torch.cat([vertices, behind])).requires_grad_()
    faces = torch.cat([faces, torch.tensor([[0, 1, 2]]) + len(vertices)])
    actual = coverage(clip, faces, 32, backend)
    actual.sum().backward()
    assert clip.grad.isfinite().all()
    assert (clip.grad[0, len(vertices) :] == 0).all()
    # All that is not next to an uncovered pixel is exactly one.
    covered = (rasterize(clip, faces, 32, 32).face_index >= 0).float()
    inner = 1 - torch.nn.functional.max_pool2d(1 - covered, 3, stride=1, padding=1)
    assert (actual[inner == 1] == 1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_in_view(backend):
    clip, faces = disc(3.0, 16)
    far_away = clip + torch.tensor([5.0, 0, 0, 0])
    assert (coverage(far_away, faces, 16, backend) == 0).all()
    assert (coverage(clip, faces[:0], 16, backend) == 0).all()
