"""A background of plain sheets, found where something covers a part of it."""

import numpy as np

from sv3dgen.cutout.background import fit_background, polynomial_terms, positions


def test_the_background_is_found_under_outliers():
    """A known plane and a known table, with a quarter of the border covered by something else."""
    x, y = np.moveaxis(positions(120, 90), -1, 0)
    wall = np.stack([150 + 20 * x, 160 + 10 * y, 170 - 15 * x], axis=-1)
    rgb = np.where(y[..., None] > 0.6, (90.0, 70, 50), wall).astype(np.float32)
    rgb[:80, :5] = (200, 0, 0)
    background = fit_background(rgb)
    assert len(background.sheets) == 2 and 0.75 < background.explained < 0.9
    points = positions(120, 90)
    upper = background.sheets[0].color(points[40, 50])
    assert np.abs(upper - wall[40, 50]).max() < 2
    assert np.abs(background.sheets[1].color(points[110, 50]) - (90, 70, 50)).max() < 2


def test_polynomial_terms():
    assert polynomial_terms(np.array([2.0, 3.0]), 6).tolist() == [1, 2, 3, 4, 6, 9]
