"""A dent in the underside of a block: filled where its color is one, kept where its pattern shows it."""

import torch

from sv3dgen.meshes.dents import told_of_dents, without_dents
from tests.helpers.painted_blocks import GRID, TRUNCATION, block, box_distance, cup, in_one_color, views_of

# The silhouettes' hull stands a cell off.
HULL = box_distance((0.3 + GRID.spacing, 0.2 + GRID.spacing, 0.3 + GRID.spacing)) < 0


def dented() -> torch.Tensor:
    """.12 deep, from below."""
    return torch.maximum(block(), -box_distance((0.2, 0.12, 0.2), center_y=-0.2)).clamp(-TRUNCATION, TRUNCATION)


def test_a_dent_that_no_pixel_speaks_for_is_filled():
    views = in_one_color(views_of(block(), from_below=True))
    volume, share = without_dents(dented(), HULL, views, GRID, TRUNCATION)
    assert ((volume < 0) ^ (block() < 0)).sum() < 0.02 * (block() < 0).sum()
    assert 0.08 < share < 0.16  # .4 x .12 x .4 of .6 x .4 x .6
    assert "guess" in told_of_dents(share)


def test_a_dent_whose_pattern_is_seen_stays():
    volume, share = without_dents(dented(), HULL, views_of(dented(), from_below=True), GRID, TRUNCATION)
    assert share == 0 and volume.equal(dented())


def test_what_is_open_to_the_sky_is_no_dent():
    volume, share = without_dents(cup(), HULL, in_one_color(views_of(cup())), GRID, TRUNCATION)
    assert share == 0 and volume.equal(cup())


def test_without_views_that_tell_nothing_is_filled():
    views = in_one_color(views_of(block(), from_below=True))
    volume, share = without_dents(dented(), HULL, views[torch.tensor([0])], GRID, TRUNCATION)
    assert share == 0 and volume.equal(dented())
