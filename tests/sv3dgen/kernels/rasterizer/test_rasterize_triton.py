"""The Triton rasterizer: the reference's picture, bit by bit."""

import pytest
import torch

from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from tests.sv3dgen.kernels.rasterizer.test_rasterize import bumpy_sphere, cameras, flat


def same(clip, faces, height, width, device):
    """Assert that both draw one picture; it is returned."""
    expected = rasterize(clip, faces, height, width, backend="torch")
    actual = rasterize(clip.to(device), faces.to(device), height, width, backend="triton")
    assert torch.equal(actual.face_index.cpu(), expected.face_index)
    assert torch.equal(actual.depth.cpu(), expected.depth)
    return expected


@pytest.mark.parametrize(("views", "subdivisions"), [(1, 2), (3, 1)])
def test_a_bumpy_sphere(views, subdivisions, triton_device):
    vertices, faces = bumpy_sphere(subdivisions)
    drawn = same(clip_positions(cameras(views, 50, 40), vertices), faces, 40, 50, triton_device)
    assert (drawn.face_index >= 0).float().mean() > 0.1


def test_random_triangles_of_all_sizes_that_hide_one_another(triton_device):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 3, 2, generator=generator) * 50 - 10  # px; partly outside of the frame
    corners[:30] = corners[:30, :1] + (corners[:30] - corners[:30, :1]) * 0.1
    corners = (corners * 2).round() / 2  # many centers exactly on edges and corners
    clip = flat(corners.reshape(-1, 2), 33, torch.randn(180, generator=generator) * 0.7)
    faces = torch.arange(180).reshape(60, 3)
    faces[::2] = faces[::2].flip(1)
    drawn = same(clip, faces, 33, 33, triton_device)
    assert len(drawn.face_index.unique()) > 15


def test_depths_of_both_signs_and_zeros_of_both_signs(triton_device):
    triangle = [[-8.0, -8.0], [24.0, -8.0], [-8.0, 24.0]]
    depths = [0.5, -0.25, -0.75, 0.0, -0.0, 1.0, 1e-30, -1e-30]
    clip = torch.cat([flat(triangle, 8, depth) for depth in depths], dim=1)
    faces = torch.arange(3 * len(depths)).reshape(-1, 3)
    assert same(clip, faces, 8, 8, triton_device).face_index.unique().tolist() == [2]
    for first, second in ((3, 4), (4, 3), (0, 1), (7, 3), (6, 4), (5, 0), (5, 5)):
        same(clip, faces[[first, second]], 8, 8, triton_device)


def test_what_cannot_be_drawn_is_left_out(triton_device):
    triangle, faces = flat([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]], 8), torch.tensor([[0, 1, 2]])
    for component, value in [(2, -1.1), (3, -1.0), (3, 0.0), (0, 1e6), (0, float("nan")), (2, 1.5)]:
        broken = triangle.clone()
        broken[0, 1, component] = value
        same(broken, faces, 8, 8, triton_device)
    same(triangle, faces[:0], 8, 8, triton_device)
    same(triangle, torch.tensor([[0, 1, 1]]), 8, 8, triton_device)
    same(triangle + torch.tensor([9.0, 0, 0, 0]), faces, 8, 8, triton_device)
    same(triangle, faces.int(), 8, 8, triton_device)
