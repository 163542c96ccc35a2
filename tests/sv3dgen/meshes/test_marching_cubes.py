"""The zero level of a volume, by either package."""

import math

import numpy as np
import pytest
import torch

from sv3dgen.meshes.marching_cubes import by_pymcubes, by_scikit_image

WAYS = {"mcubes": by_pymcubes, "skimage": by_scikit_image}


@pytest.fixture(params=WAYS)
def march(request):
    pytest.importorskip(request.param, reason=f"needs {request.param}, which only some versions of Python get")
    return WAYS[request.param]


def test_a_sphere_comes_out_closed_round_and_facing_outwards(march):
    grid = np.stack(np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij"), axis=-1)
    vertices, faces = march(np.linalg.norm(grid - 11.3, axis=-1) - 7)
    assert faces.dtype == np.int64
    assert np.abs(np.linalg.norm(vertices - 11.3, axis=-1) - 7).max() < 0.05
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    a, b, c = torch.from_numpy(vertices[faces]).unbind(1)
    volume = float((a * torch.linalg.cross(b, c)).sum()) / 6
    assert volume == pytest.approx(4 / 3 * math.pi * 7**3, rel=0.02)


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_a_volume_without_a_zero_level_gives_nothing(march, value):
    vertices, faces = march(np.full((4, 4, 4), value))
    assert vertices.shape == (0, 3) and faces.shape == (0, 3)
