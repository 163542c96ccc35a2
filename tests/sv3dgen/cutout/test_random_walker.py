"""The random walker, against a dense solve."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from sv3dgen.cutout.random_walker import random_walker


def test_random_walker_minimizes_its_energy():
    """Against a dense solve of the same energy, written edge by edge."""
    generator = np.random.default_rng(0)
    rgb = generator.uniform(0, 255, (7, 9, 3))
    prior, sureness = generator.uniform(0, 1, (7, 9)), generator.uniform(0.1, 1, (7, 9))
    steps = [np.square(np.diff(rgb, axis=axis)).sum(-1) for axis in (0, 1)]
    contrast = 2 * max((steps[0].mean() + steps[1].mean()) / 2, 16)
    matrix = sparse.lil_matrix((63, 63))
    for row in range(7):
        for column in range(9):
            here = row * 9 + column
            matrix[here, here] += sureness[row, column]
            for other_row, other_column in ((row + 1, column), (row, column + 1)):
                if other_row < 7 and other_column < 9:
                    there = other_row * 9 + other_column
                    change = np.square(rgb[row, column] - rgb[other_row, other_column]).sum()
                    weight = 0.5 * np.exp(-change / contrast) + 1e-3
                    matrix[here, here] += weight
                    matrix[there, there] += weight
                    matrix[here, there] -= weight
                    matrix[there, here] -= weight
    expected = spsolve(matrix.tocsr(), (sureness * prior).ravel()).reshape(7, 9)
    assert np.abs(random_walker(rgb, prior, sureness) - expected).max() < 1e-3
