import dataclasses
import math

import pytest
import torch
from torch import Tensor

from sv3dgen.kernels.rasterizer.rasterize import clip_positions
from sv3dgen.views.cameras import Cameras, look_at_origin
from sv3dgen.views.image_warp import ImageWarp

REACH = 0.3


def warp(views: int = 2, *, lie: float = 0.0, bend: float = 0.0, nodes: int = 5, dtype=torch.float64) -> ImageWarp:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.eye(3, dtype=dtype) + lie * torch.randn(views, 3, 3, generator=generator, dtype=dtype)
    matrix[:, 2, 2] = 1
    net = bend * torch.randn(views, nodes, nodes, 2, generator=generator, dtype=dtype)
    return ImageWarp(matrix, net, torch.full((views,), REACH, dtype=dtype))


def points(views: int = 2, count: int = 50) -> Tensor:
    return REACH * (2 * torch.rand(views, count, 2, generator=torch.Generator().manual_seed(1)).double() - 1)


def test_a_homography_moves_points_as_by_homogeneous_coordinates():
    bent, seen = warp(lie=0.01), points()
    homogeneous = torch.cat([seen, torch.ones_like(seen[..., :1])], -1)
    moved = torch.einsum("vij,vpj->vpi", bent.homography, homogeneous)
    assert torch.allclose(bent.true_points(seen), moved[..., :2] / moved[..., 2:])


def test_the_displacement_is_a_cubic_spline_of_its_net():
    bent, seen = warp(bend=0.01), points(count=5)
    expected = seen.clone()
    for v in range(2):
        for p in range(5):
            x, y = ((seen[v, p] / REACH + 1) * 2).tolist()
            for row in range(5):
                for col in range(5):
                    expected[v, p] += _bell(x - col) * _bell(y - row) * bent.displacement[v, row, col]
    assert torch.allclose(bent.true_points(seen), expected)


def _bell(x: float) -> float:
    x = abs(x)
    return 2 / 3 - x * x + x**3 / 2 if x < 1 else max(0.0, 2 - x) ** 3 / 6


def test_beyond_its_net_the_displacement_stays_as_it_is_at_the_border():
    bent = warp(bend=0.01)
    inside = torch.tensor([[[REACH, 0.1]], [[REACH, 0.1]]]).double()
    outside = torch.tensor([[[2 * REACH, 0.1]], [[2 * REACH, 0.1]]]).double()
    assert torch.allclose(bent.true_points(inside) - inside, bent.true_points(outside) - outside)


def test_seen_offsets_undo_true_points():
    bent, seen = warp(lie=0.005, bend=0.005), points()
    true = bent.true_points(seen)
    assert (true + bent.seen_offsets(true) - seen).abs().max() < 4e-4 * REACH
    assert (bent.true_points(seen) - seen).abs().max() > 0.01 * REACH


def test_gradients_are_those_of_differences():
    bent, seen = warp(views=1, lie=0.01, bend=0.01), points(views=1, count=4)

    def of_numbers(matrix: Tensor, net: Tensor, where: Tensor) -> Tensor:
        return ImageWarp(matrix, net, bent.reach).true_points(where)

    inputs = [part.clone().requires_grad_() for part in (bent.homography, bent.displacement, seen)]
    assert torch.autograd.gradcheck(of_numbers, inputs)


def test_gradients_of_offsets_are_about_those_of_differences():
    bent, true = warp(views=1, lie=0.005, bend=0.005), points(views=1)
    weight = torch.randn(1, 50, 2, generator=torch.Generator().manual_seed(3)).double()

    def total(net: Tensor) -> Tensor:
        return (weight * ImageWarp(bent.homography, net, bent.reach).seen_offsets(true)).sum()

    net = bent.displacement.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(net), net)
    step = 1e-5 * torch.randn(net.shape, generator=torch.Generator().manual_seed(4)).double()
    with torch.no_grad():
        difference = total(net + step) - total(net - step)
    assert float((gradient * 2 * step).sum()) == pytest.approx(float(difference), rel=0.05)


def cameras(**sizes: int) -> Cameras:
    return look_at_origin(torch.tensor([10.0, -20.0]), torch.tensor([30.0, 200.0]), distance=2.0, size_px=64)


def test_a_vertex_is_drawn_where_the_ray_to_it_starts():
    """The two ways to warp agree: the point that a pixel's ray hits is drawn at that pixel."""
    bent = dataclasses.replace(cameras(), warp=warp(lie=0.004, bend=0.004, dtype=torch.float32))
    pixels = torch.randint(8, 56, (2, 5, 7, 2), generator=torch.Generator().manual_seed(2))
    origins, directions = bent.rays(pixels)
    hit = (origins + 2.0 * directions).flatten(1, 2)
    for view in range(2):
        clip = clip_positions(bent[torch.tensor([view])], hit[view])[0]
        x = (clip[:, 0] / clip[:, 3] + 1) * 32 - 0.5
        y = (1 - clip[:, 1] / clip[:, 3]) * 32 - 0.5
        drawn = torch.stack([y, x], -1)
        assert torch.allclose(drawn, pixels[view].flatten(0, 1).float(), atol=1e-2)


def test_a_warp_is_the_same_at_every_size_and_for_every_crop():
    bent = dataclasses.replace(cameras(), warp=warp(lie=0.01, bend=0.01, dtype=torch.float32))
    large = bent.resized(128, 128)
    cropped = dataclasses.replace(large, center_px=large.center_px - torch.tensor([20.0, 10.0]))
    pixels = torch.full((2, 1, 1, 2), 40)
    _, expected = large.rays(pixels)
    _, of_crop = cropped.rays(pixels - torch.tensor([10, 20]))
    assert torch.allclose(of_crop, expected, atol=1e-6)
    # The middle between four pixels of the large frame is the center of one of the small frame.
    _, four = large.rays(torch.tensor([[[[40, 40], [40, 41]], [[41, 40], [41, 41]]]] * 2))
    _, one = bent.rays(torch.full((2, 1, 1, 2), 20))
    assert torch.allclose(four.mean((1, 2)), one[:, 0, 0], atol=1e-4)


def test_points_behind_a_camera_are_left_alone():
    bent = dataclasses.replace(cameras(), warp=warp(lie=0.01, bend=0.01, dtype=torch.float32))
    behind = bent.positions - 0.5 * bent.forward
    clip = clip_positions(bent, behind)
    assert torch.equal(clip[0, 0], clip_positions(cameras(), behind)[0, 0])
    assert math.isfinite(float(clip.sum()))
