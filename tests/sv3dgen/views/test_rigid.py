"""Rotations that are nearly ones: the nearest, as an SVD gives it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sv3dgen.views.rigid import nearest_rigid, why_not_rigid


def pose(seed=0):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    matrix[:3, 3] = (1.0, -2.0, 3e6)
    return matrix


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_rotation_is_that_of_the_svd(seed):
    matrix = pose(seed)
    matrix[:3, :3] += np.random.default_rng(seed).normal(0, 0.02, (3, 3))
    u, _, v = np.linalg.svd(matrix[:3, :3])
    found = nearest_rigid(tuple(map(tuple, matrix)))
    assert found is not None
    np.testing.assert_allclose(np.array(found[0])[:3, :3], u @ v, atol=1e-12)
    assert found[1] == pytest.approx(np.abs(u @ v - matrix[:3, :3]).max())
    assert np.array_equal(np.array(found[0])[:, 3], matrix[:, 3]) and why_not_rigid(found[0]) is None


@pytest.mark.parametrize("scale, off", [(1.02, 0.02), (3.0, 2.0)])
def test_a_scale_is_taken_out_and_told(scale, off):
    found = nearest_rigid(tuple(map(tuple, np.diag([scale, scale, scale, 1.0]))))
    assert found is not None and found[1] == pytest.approx(off)


@pytest.mark.parametrize(
    "matrix", [np.diag([-1.0, 1, 1, 1]), np.eye(4) * np.nan, np.diag([1.0, 1, 1, 2]), np.zeros((4, 4))]
)
def test_no_rotation_is_near(matrix):
    assert nearest_rigid(tuple(map(tuple, matrix))) is None
