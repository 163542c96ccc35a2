import pytest
import torch

from sv3dgen.meshes.depth_fusion import fuse_depth, largest_component, sizable_components, unseen_hollows
from sv3dgen.stereo.plane_sweep import StereoDepths
from sv3dgen.views.cameras import look_at_origin


def sphere_depths(radius: float):
    azimuth_deg = torch.arange(12) * 30.0
    cameras = look_at_origin(torch.zeros(12), azimuth_deg, distance=2.0, size_px=96)
    origins, directions = cameras.rays()
    half_b = (origins * directions).sum(-1)
    discriminant = half_b.square() - origins.square().sum(-1) + radius**2
    depth = torch.where(discriminant > 0, -half_b - discriminant.clamp(min=0).sqrt(), torch.inf)
    return cameras, depth


def test_sphere_comes_back_near_its_surface():
    cameras, depth = sphere_depths(0.4)
    angle = torch.linspace(0, 6.28, 50)
    for offset in (-0.02, 0.0, 0.02):
        radius = 0.4 + offset
        points = torch.stack([radius * angle.sin(), torch.zeros(50), radius * angle.cos()], dim=-1)
        fused, seen = fuse_depth(points, cameras, depth, truncation=0.05)
        assert seen.all()
        assert (fused - offset).abs().max() < 0.03  # distances along slanted rays are longer than true ones
        assert (fused.sign() == torch.sign(torch.tensor(offset))).all() or offset == 0


def test_what_no_view_sees_is_inside_and_what_all_see_through_is_outside():
    cameras, depth = sphere_depths(0.4)
    points = torch.tensor([[0.0, 0.0, 0.0], [0.55, 0.0, 0.0]])
    distance, seen = fuse_depth(points, cameras, depth, truncation=0.05)
    torch.testing.assert_close(distance, torch.tensor([-0.05, 0.05]))
    assert seen.tolist() == [False, True]


def cup(mouth: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Empty and seen cells of a cup in 16^3: its walls are seen, its inside is not but for the top layers."""
    seen = torch.ones(16, 16, 16, dtype=torch.bool)
    seen[4:12, 3:12, 4:12] = False
    empty = torch.zeros_like(seen)
    empty[:, 14:, :] = True
    empty[8 - mouth // 2 : 8 + mouth // 2, 12:14, 8 - mouth // 2 : 8 + mouth // 2] = True
    return empty, seen


def test_water_fills_a_cup_through_its_mouth_to_the_walls():
    empty, seen = cup(mouth=6)
    hollow = unseen_hollows(empty, seen, opening_cells=2)
    torch.testing.assert_close(hollow, ~seen)


def test_a_crevice_and_a_closed_body_stay_filled():
    empty, seen = cup(mouth=2)
    assert not unseen_hollows(empty, seen, opening_cells=2).any()
    assert not unseen_hollows(torch.zeros_like(empty), seen, opening_cells=2).any()


def test_water_does_not_rise():
    """A mouth in the floor lets nothing in."""
    empty, seen = cup(mouth=6)
    assert not unseen_hollows(empty.flip(1), seen.flip(1), opening_cells=2).any()


def test_an_opening_is_open_where_free_space_over_it_is_proven():
    empty, seen = cup(mouth=6)
    proven = torch.zeros_like(empty)
    assert not unseen_hollows(empty, seen, 2, proven).any()
    proven[5:8, 13, 5:11] = True  # over half of the mouth
    torch.testing.assert_close(unseen_hollows(empty, seen, 2, proven), ~seen)
    below = torch.zeros_like(empty)
    below[5:8, 1, 5:11] = True
    assert not unseen_hollows(empty, seen, 2, below).any()


def test_stereo_counts_with_its_confidence():
    cameras, depth = sphere_depths(0.4)
    point = torch.tensor([[0.42, 0.0, 0.0]])
    ones = torch.ones_like(depth)
    alone, _ = fuse_depth(point, cameras, depth, truncation=0.05)

    def fused(confidence: float, weight: float) -> float:
        stereo = StereoDepths(cameras, torch.where(depth.isfinite(), depth - 0.01, depth), confidence * ones)
        return float(fuse_depth(point, cameras, depth, truncation=0.05, stereo=stereo, stereo_weight=weight)[0])

    assert fused(0.2, 5.0) == fused(1.0, 0.0) == float(alone)  # not sure enough, and not asked
    shift = float(alone) - fused(1.0, 1.0)
    assert 0.002 < shift < 0.01 and float(alone) - fused(0.5, 2.0) == pytest.approx(shift, abs=1e-6)
    assert float(alone) - fused(1.0, 9.0) > 1.5 * shift


def test_largest_component_drops_the_rest():
    inside = torch.zeros(8, 8, 8, dtype=torch.bool)
    inside[1:4, 1:4, 1:4] = True
    inside[6, 6, 6] = True
    kept = largest_component(inside)
    assert kept.sum() == 27 and not kept[6, 6, 6]


def test_loose_parts_stay_and_crumbs_go():
    inside = torch.zeros(24, 24, 24, dtype=torch.bool)
    inside[1:11, 1:11, 1:11] = True  # 1000 cells
    inside[14:16, 14:16, 14:18] = True  # 16, loose
    inside[16, 16, 18] = True  # touches it at a corner
    inside[20, 20, 20] = True
    kept = sizable_components(inside)
    assert kept.sum() == 1017 and not kept[20, 20, 20] and kept[16, 16, 18]
    assert torch.equal(sizable_components(inside & ~kept), inside & ~kept)  # the biggest, however small
    assert not sizable_components(torch.zeros_like(inside)).any()


def test_a_small_part_stays_where_it_is_needed():
    inside = torch.zeros(24, 24, 24, dtype=torch.bool)
    inside[2:14, 2:14, 2:14] = True
    inside[20, 20, 20] = inside[20, 2, 20] = True
    asked = []

    def needed(labels, kept):
        asked.append(kept.tolist())
        return labels[20, 2, 20] == torch.arange(len(kept)).numpy()

    stays = sizable_components(inside, needed)
    assert stays[20, 2, 20] and not stays[20, 20, 20] and stays.sum() == 12**3 + 1
    assert asked == [[False, True, False, False]]
    assert sizable_components(inside).sum() == 12**3
