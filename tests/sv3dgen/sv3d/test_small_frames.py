"""Small frames on white to views with a matte."""

import numpy as np
import pytest
import torch

from sv3dgen.sv3d.picture import posed_views
from sv3dgen.sv3d.small_frames import matted
from sv3dgen.views.orbits import StaticOrbit

SIZE, RADIUS, ENLARGED_PX = 64, 20.3, 256
COLOR = np.array([200, 60, 40])


def disc(noise: float = 0.0) -> np.ndarray:
    """Averaged over each pixel, on white that is not quite white."""
    fine = (np.arange(SIZE * 8) + 0.5) / 8 - SIZE / 2
    inside = (fine[:, None] ** 2 + fine[None] ** 2 < RADIUS**2).astype(float)
    alpha = inside.reshape(SIZE, 8, SIZE, 8).mean((1, 3))[..., None]
    rgb = COLOR * alpha + 255 * (1 - alpha)
    return (rgb + noise * np.random.default_rng(0).normal(size=rgb.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_disc_keeps_its_area_and_its_color(noise: float) -> None:
    rgba = matted(disc(noise), ENLARGED_PX).astype(float)
    assert rgba.shape == (ENLARGED_PX, ENLARGED_PX, 4)
    area = rgba[..., 3].sum() / 255 * (SIZE / ENLARGED_PX) ** 2
    assert area == pytest.approx(np.pi * RADIUS**2, rel=0.03)
    seen = rgba[..., 3] > 40
    assert np.abs(rgba[seen][:, :3] - COLOR).mean() < 6 + 2 * noise  # no white rim
    corner = rgba[:60, :60, 3]
    assert corner.max() == 0


def test_specks_go_and_holes_stay() -> None:
    frame = disc()
    frame[3, 3] = 120
    frame[28:36, 28:36] = 255
    alpha = matted(frame, ENLARGED_PX)[..., 3]
    assert alpha[:40, :40].max() == 0 and alpha[124:132, 124:132].max() == 0


def test_faint_parts_belong_to_what_they_touch() -> None:
    frame = np.full((SIZE, SIZE, 3), 255, np.uint8)
    frame[20:40, 20:30], frame[20:40, 30:50] = 90, 238  # a dark half and one that is nearly white
    assert (matted(frame, ENLARGED_PX)[100:140, 100:180, 3] > 200).mean() > 0.9


def test_nothing_but_white() -> None:
    assert matted(np.full((SIZE, SIZE, 3), 255, np.uint8), ENLARGED_PX)[..., 3].max() == 0


def test_views_of_a_small_model_are_enlarged_with_their_cameras() -> None:
    orbit = StaticOrbit()(10.0, 3, torch.Generator())
    frames = torch.from_numpy(disc()).permute(2, 0, 1).float()[None].expand(3, -1, -1, -1) / 255
    views = posed_views(frames, orbit, enlarged_px=ENLARGED_PX)
    assert views.images.shape == (3, 4, ENLARGED_PX, ENLARGED_PX)
    assert views.cameras.width_px == views.cameras.height_px == ENLARGED_PX
    assert posed_views(frames, orbit).images.shape == (3, 4, SIZE, SIZE)
