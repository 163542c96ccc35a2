"""Soft edges, against a mix that is known."""

import numpy as np

from sv3dgen.cutout.soft_edges import soft_cutout


def test_soft_cutout_undoes_a_known_mix():
    """Colors that are constant on both sides: alpha is where a pixel lies between them, its color the object's."""
    alpha = np.clip((np.arange(40) - 18.2) / 2.5, 0, 1)[None, :, None].repeat(30, 0)
    mixed = (alpha * (200, 40, 90) + (1 - alpha) * (20, 160, 220)).astype(np.float32)
    colors, found = soft_cutout(mixed, alpha[..., 0].astype(np.float32))
    assert np.abs(found - alpha[..., 0]).max() < 0.06
    assert np.abs(colors[found > 0.1] - (200, 40, 90)).max() < 25
