"""Holes in masks: those that the other photos contradict are filled, true ones stay."""

import torch
from sphere_on_box import sphere_on_box

from sv3dgen.sfm.agreed_masks import without_false_holes
from sv3dgen.views.cameras import look_at_origin


def test_a_hole_in_one_mask_is_filled() -> None:
    views = sphere_on_box()
    masks = views.masks.clone()
    masks[3, 26:32, 29:35] = False
    assert views.masks[3, 26:32, 29:35].all()
    filled, count = without_false_holes(masks, views.cameras)
    assert count == 1 and torch.equal(filled, views.masks)


def test_a_ring_keeps_its_hole() -> None:
    """A torus that stands upright, traced by its distance function."""
    cameras = look_at_origin(torch.full((16,), 10.0), torch.arange(16) * 22.5, distance=2.0, size_px=96)
    origins, directions = cameras.rays()
    t = torch.ones(directions.shape[:-1])
    for _ in range(60):
        x, y, z = (origins + t[..., None] * directions).unbind(-1)
        distance = torch.hypot(torch.hypot(x, y) - 0.35, z) - 0.1
        t = t + distance.clamp(min=-0.05)
    masks = distance < 1e-3
    front = masks[0]
    assert not front[48, 48] and front[48, 16:26].any()
    filled, count = without_false_holes(masks, cameras)
    assert count == 0 and torch.equal(filled, masks)
