"""A cup painted with a pattern, and a block painted alike: what the pictures show is what comes out."""

import pytest
import torch

from sv3dgen.meshes.held_back import held_back_errors, mesh_depth
from sv3dgen.meshes.hollowing import Hollowing, hollowed_by_views, hollowed_from_below
from sv3dgen.meshes.isosurface import marching_cubes
from sv3dgen.meshes.openings import told
from tests.helpers.painted_blocks import GRID, TRUNCATION, block, box_distance, cup, in_one_color, views_of


def decided(true: torch.Tensor):
    views = views_of(true)
    solid = block()
    trial = Hollowing(solid, solid < 0, views, GRID, TRUNCATION)
    return hollowed_by_views(trial, solid, 0.04)


def test_a_painted_cup_becomes_hollow_with_walls_about_as_thick_as_they_are():
    volume, (opening,) = decided(cup())
    assert opening.hollow and opening.decided_by == "pixels"
    assert opening.wall == pytest.approx(0.06, abs=0.011)
    inside, true = volume < 0, cup() < 0
    assert (inside & true).sum() > 0.75 * (inside | true).sum()


def test_a_painted_block_stays_solid():
    volume, (opening,) = decided(block())
    assert not opening.hollow and opening.decided_by == "pixels"
    torch.testing.assert_close(volume, block())


def test_compartments_are_dug_and_what_stands_between_them_stays():
    """The partition stands higher than the rim, and the coarse shape has a lid a little below it."""
    partition = box_distance((0.03, 0.16, 0.3), center_y=0.14)
    true = torch.minimum(cup(), partition).clamp(-TRUNCATION, TRUNCATION)
    lid = box_distance((0.27, 0.18, 0.27), center_y=-0.04)
    as_is = torch.minimum(true, lid).clamp(-TRUNCATION, TRUNCATION)
    hull = torch.minimum(block(), partition) < 0
    trial = Hollowing(as_is, hull, views_of(true), GRID, TRUNCATION)
    volume, (opening,) = hollowed_by_views(trial, as_is, 0.04)
    assert opening.hollow and opening.decided_by == "pixels"
    inside, truly = volume < 0, true < 0
    assert (inside & truly).sum() > 0.68 * (inside | truly).sum()  # .55 with the lid
    assert (inside & truly)[30:34, 44:].sum() > 0.9 * truly[30:34, 44:].sum()  # of the partition


def test_a_bell_is_dug_from_below_and_what_has_no_basin_is_not_tried():
    true, lid = cup().flip(1), box_distance((0.27, 0.18, 0.27), center_y=0.04)
    as_is = torch.minimum(true, lid).clamp(-TRUNCATION, TRUNCATION)
    views = views_of(true, from_below=True)
    trial = Hollowing(as_is, block() < 0, views, GRID, TRUNCATION)
    volume, (opening,) = hollowed_from_below(trial, as_is, 0.04)
    assert opening.hollow and opening.below and "opening from below over" in told(opening)
    inside, truly = volume < 0, true < 0
    assert (inside & truly).sum() > 0.75 * (inside | truly).sum()
    flat, openings = hollowed_from_below(Hollowing(block(), block() < 0, views, GRID, TRUNCATION), block(), 0.04)
    assert not openings and flat.equal(block())


def test_what_is_plainly_solid_is_told_from_what_may_be_hollow():
    def asked(true: torch.Tensor, as_is: torch.Tensor, views=None):
        trial = Hollowing(as_is, block() < 0, views or views_of(true), GRID, TRUNCATION)
        return trial.plainly_solid(0.04)

    (opening,) = asked(block(), block()) or [None]
    assert not opening.hollow and opening.decided_by == "pixels" and opening.error_as_is < opening.error_hollow
    assert asked(cup(), block()) is None  # pixels speak for a cavity
    assert asked(block(), block(), in_one_color(views_of(block()))) is None  # and here they say nothing
    lid = box_distance((0.27, 0.18, 0.27), center_y=-0.04)
    sunken = torch.minimum(cup(), lid).clamp(-TRUNCATION, TRUNCATION)
    assert asked(cup(), sunken) is None  # a basin
    assert asked(cup(), sunken.flip(1)) is None  # or one below


def test_what_lies_next_to_a_tub_stays_solid():
    """A block whose right half is a tub with a sunken lid: pixels say nothing of what is inside its left half."""
    whole = box_distance((0.5, 0.2, 0.28)).clamp(-TRUNCATION, TRUNCATION)
    ticks = GRID.lower[0] + GRID.spacing * torch.arange(GRID.cells)
    right = ticks[:, None, None] - 0.02
    tub = torch.minimum(-box_distance((0.44, 0.2, 0.22), center_y=0.06), right)
    true = torch.maximum(whole, tub).clamp(-TRUNCATION, TRUNCATION)
    as_is = torch.maximum(whole, torch.minimum(-box_distance((0.44, 0.2, 0.22), center_y=0.33), right))
    as_is = as_is.clamp(-TRUNCATION, TRUNCATION)
    trial = Hollowing(as_is, whole < 0, views_of(true), GRID, TRUNCATION)
    volume, openings = hollowed_by_views(trial, as_is, 0.04)
    assert any(opening.hollow for opening in openings)
    solid = (true < 0) & (right < -0.08)
    assert (volume[solid] < 0).float().mean() > 0.99


def test_free_space_that_pixels_contradict_is_none():
    """Stereo has emptied a painted block down through its floor: where it did, the pictures show paint."""
    pierced = torch.maximum(block(), -box_distance((0.2, 0.3, 0.2))).clamp(-TRUNCATION, TRUNCATION)
    trial = Hollowing(block(), block() < 0, views_of(block()), GRID, TRUNCATION)
    volume, (opening,) = hollowed_by_views(trial, pierced, 0.04)
    assert not opening.hollow and opening.decided_by == "pixels"
    assert torch.equal(volume < 0, block() < 0)
    buried = torch.maximum(block(), -box_distance((0.2, 0.1, 0.2), center_y=-0.06)).clamp(-TRUNCATION, TRUNCATION)
    volume, (opening,) = hollowed_by_views(trial, buried, 0.04)
    assert not opening.hollow and torch.equal(volume < 0, block() < 0)  # under a deck that is seen
    trial = Hollowing(block(), block() < 0, views_of(pierced), GRID, TRUNCATION)
    volume, openings = hollowed_by_views(trial, pierced, 0.04)
    assert all(opening.hollow for opening in openings) and (volume > 0).sum() >= (pierced > 0).sum()


def test_a_foot_ring_is_not_tried_for_a_bell():
    ring = torch.maximum(block(), -box_distance((0.1, 0.1, 0.1), center_y=-0.25)).clamp(-TRUNCATION, TRUNCATION)
    trial = Hollowing(ring, block() < 0, views_of(ring), GRID, TRUNCATION)
    volume, openings = hollowed_from_below(trial, ring, 0.04)
    assert not openings and volume is ring


def test_where_pixels_cannot_tell_a_prior_decides():
    views = views_of(block())
    white = in_one_color(views)
    trial = Hollowing(block(), block() < 0, white, GRID, TRUNCATION)
    _, (opening,) = hollowed_by_views(trial, block(), 0.04)
    assert not opening.hollow and opening.decided_by == "prior"


def test_the_true_surface_carries_colors_over_and_a_wrong_one_does_not():
    views = views_of(block())
    asked = views.masks
    true = mesh_depth(marching_cubes(block(), GRID.lower, GRID.spacing), views.cameras)
    wrong = true + 0.08
    rgb = views.rgba[:, :3].contiguous()
    errors = [held_back_errors(depth, views.cameras, rgb, asked).nanmean() for depth in (true, wrong)]
    assert errors[0] < 0.05 and errors[1] > 3 * errors[0]
    assert held_back_errors(true, views.cameras, rgb, torch.zeros_like(asked)).isnan().all()
