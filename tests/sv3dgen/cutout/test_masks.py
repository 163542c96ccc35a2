"""Medians and filled holes that are asked for in another way than scipy's."""

import numpy as np
import pytest
from scipy import ndimage

from sv3dgen.cutout.masks import median_of_nine, median_reaches, with_holes_filled


@pytest.mark.parametrize("size", [3, 5])
def test_medians_are_scipys_bit_by_bit(size):
    values = np.random.default_rng(0).integers(0, 30, (37, 41)).astype(np.float32)
    medians = ndimage.median_filter(values, size)
    for least in (0.0, 7.0, 14.0, 14.5, 29.0, 31.0):
        np.testing.assert_array_equal(median_reaches(values, size, least), medians >= least)
    where = values > 20
    np.testing.assert_array_equal(median_of_nine(values, where), ndimage.median_filter(values, 3)[where])


@pytest.mark.parametrize("share", [0.0, 0.4, 0.6, 1.0])
def test_filled_holes_are_scipys(share):
    mask = np.random.default_rng(0).random((37, 41)) < share
    np.testing.assert_array_equal(with_holes_filled(mask), ndimage.binary_fill_holes(mask))
