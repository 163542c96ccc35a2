"""The visual hull against a slow loop and against closed forms."""

import time

import pytest
import torch
from ellipsoids import FIGURE, inside, silhouettes, sine_orbit

from sv3dgen.views.cameras import project
from sv3dgen.views.normalize import enclosing_sphere, nearest_point, normalize_to_box, object_box
from sv3dgen.views.orbits import orbit_by_name
from sv3dgen.views.visual_hull import (
    dilated,
    drawn,
    explained,
    hull_bounds,
    missing_views,
    scene_box,
    visual_hull,
    voxel_centers,
)


def centers(resolution, box):
    steps = [
        box[0, axis] + (torch.arange(resolution) + 0.5) / resolution * (box[1] - box[0])[axis] for axis in range(3)
    ]
    return torch.stack(torch.meshgrid(*steps, indexing="ij"), dim=-1)


def slow_hull(masks, cameras, resolution, box, miss_votes):
    """The definition, voxel by voxel and view by view, in plain torch."""
    points = centers(resolution, box).reshape(-1, 3).float()
    at, depth = project(cameras, points)
    misses = torch.zeros(len(points), dtype=torch.int64)
    for view in range(len(cameras)):
        column, row = at[view].floor().long().unbind(-1)
        height, width = masks.shape[1:]
        framed = (depth[view] > 0) & (column >= 0) & (row >= 0) & (column < width) & (row < height)
        hit = framed & masks[view][row.clamp(0, height - 1), column.clamp(0, width - 1)]
        misses += ~hit
    return (misses <= miss_votes).reshape(resolution, resolution, resolution)


def test_equals_the_definition():
    cameras = sine_orbit().cameras(size_px=64)
    masks = silhouettes(cameras)
    box = torch.tensor([[-0.4, -0.5, -0.6], [0.5, 0.5, 0.55]], dtype=torch.float64)
    for miss_votes in (0, 3):
        hull = visual_hull(masks, cameras, resolution=24, aabb=box, miss_votes=miss_votes, dilate_px=0)
        expected = slow_hull(masks, cameras, 24, box, miss_votes)
        assert (hull != expected).sum() <= 3  # projections that rounding puts on the other side of a pixel's edge
        assert hull.sum() > 100


def test_one_count_of_missing_views_has_the_hull_of_every_number_of_votes():
    cameras = sine_orbit().cameras(size_px=64)
    masks = silhouettes(cameras)
    within = torch.rand(24, 24, 24, generator=torch.Generator().manual_seed(0)) < 0.7
    missing = missing_views(masks, cameras, resolution=24, most=5, within=within)
    for votes in range(6):
        hull = visual_hull(masks, cameras, resolution=24, miss_votes=votes)
        assert 0 < hull.sum() and torch.equal(missing <= votes, hull & within)
    assert missing.max() == 6
    # As many views as one likes, and as many of them that miss.
    pick = torch.arange(300) % len(cameras)
    many = missing_views(masks[pick], cameras[pick], resolution=8, most=300)
    assert many.max() == 300 and torch.equal(many == 0, visual_hull(masks, cameras, resolution=8))


def test_holds_the_object_and_little_more():
    cameras = sine_orbit().cameras(size_px=320)
    hull = visual_hull(silhouettes(cameras), cameras, resolution=64)
    truth = inside(centers(64, scene_box()).float())
    assert (hull | ~truth).all()
    assert hull.sum() < 1.5 * truth.sum()


def test_bounds_are_those_of_the_object():
    cameras = sine_orbit().cameras(size_px=320)
    bounds = hull_bounds(visual_hull(silhouettes(cameras, FIGURE[:1]), cameras))
    expected = torch.tensor([[-0.25, -0.4, -0.45], [0.25, 0.2, 0.45]], dtype=torch.float64)
    assert bounds is not None
    assert (bounds[0] <= expected[0]).all() and (bounds[1] >= expected[1]).all()
    assert (bounds - expected).abs().max() < 0.03
    assert hull_bounds(torch.zeros(4, 4, 4, dtype=torch.bool)) is None


def test_parts_thinner_than_a_voxel_survive():
    cameras = sine_orbit().cameras(size_px=320)
    wire = (((0.0, 0.0, 0.0), (0.003, 0.5, 0.003)),)
    hull = visual_hull(silhouettes(cameras, wire), cameras, resolution=64)
    heights = hull.any(dim=2).any(dim=0).nonzero()[:, 0]
    assert heights.min() <= 13 and heights.max() >= 50 and len(heights) == heights.max() - heights.min() + 1


def test_votes_survive_a_wrong_view_and_carving_does_not():
    cameras = sine_orbit().cameras(size_px=160)
    masks = silhouettes(cameras)
    whole = visual_hull(masks, cameras, resolution=48)
    masks[4] = False
    assert not visual_hull(masks, cameras, resolution=48).any()
    assert (visual_hull(masks, cameras, resolution=48, miss_votes=1) | ~whole).all()


def test_a_mask_cut_by_the_border_says_nothing_about_what_is_outside():
    cameras = orbit_by_name("static", elevation_deg=10.0).cameras(fov_deg=20.0, size_px=160)
    ball = (((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),)
    hull = visual_hull(silhouettes(cameras, ball), cameras, resolution=32)
    assert (hull | ~inside(centers(32, scene_box()).float(), ball)).all()


def test_dilation_is_the_maximum_over_a_square():
    masks = torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(0)) > 0.95
    for radius in (0, 1, 3, 20):
        expected = torch.nn.functional.max_pool2d(
            torch.nn.functional.pad(masks.float(), [radius] * 4), 2 * radius + 1, stride=1
        )
        assert torch.equal(dilated(masks, radius), expected > 0)


def test_drawn_points_cover_the_pixels_around_them():
    cameras = sine_orbit().cameras(size_px=40)
    points = torch.tensor([[0.1, 0.2, -0.1], [30.0, 0.0, 0.0]])
    at, _ = project(cameras, points)
    pixels = drawn(points, cameras)
    for view in range(21):
        column, row = (at[view, 0] - 0.5).floor().int().tolist()
        assert pixels[view, row : row + 2, column : column + 2].all() and pixels[view].sum() == 4


def test_the_hull_explains_its_masks():
    cameras = sine_orbit().cameras(size_px=80)
    masks = silhouettes(cameras)
    hull = visual_hull(masks, cameras, resolution=96)
    assert explained(masks, cameras, voxel_centers(hull)).min() > 0.98


def test_lines_meet_in_their_point_whatever_one_stray_does():
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(9, 3, generator=generator, dtype=torch.float64), dim=-1)
    point = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    origins = point - 3 * directions
    origins[2] += torch.tensor([0.0, 2.0, 1.0])
    found = nearest_point(origins, directions)
    assert found is not None
    torch.testing.assert_close(found, point, atol=1e-2, rtol=0)
    assert nearest_point(origins, directions[:1].expand(9, 3)) is None


def test_an_object_in_place_is_left_alone_and_another_is_brought_there():
    cameras = sine_orbit().cameras(size_px=160)
    assert normalize_to_box(silhouettes(cameras), cameras) is None
    far = tuple((tuple(5 * x + 3 for x in center), tuple(5 * a for a in axes)) for center, axes in FIGURE)
    moved = cameras.camera_to_world.clone()
    moved[:, :3, 3] = 5 * moved[:, :3, 3] + 3
    cameras = type(cameras)(moved, cameras.focal_px, cameras.center_px, 160, 160)
    masks = silhouettes(cameras, far)
    sphere = enclosing_sphere(masks, cameras)
    assert sphere is not None and (sphere[0] - 3).norm() < 1.0 and 2 < sphere[1] < 8
    similarity = normalize_to_box(masks, cameras)
    assert similarity is not None
    assert similarity[0, 0].item() == pytest.approx(1 / (5 * 0.9), rel=0.06)  # z from -0.45 to 0.45
    box = object_box(masks, cameras)
    assert box is not None
    torch.testing.assert_close(similarity[:3, :3] @ box.mean(0) + similarity[:3, 3], torch.zeros(3).double())


def test_is_fast():
    cameras = sine_orbit().cameras(size_px=320)
    masks = silhouettes(cameras)
    visual_hull(masks, cameras, resolution=16)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        visual_hull(masks, cameras, resolution=128)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 2.0  # 0.1 s on two free cores; this guards against a slip of an order of magnitude
