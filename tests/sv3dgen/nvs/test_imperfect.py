"""Views with a generator's errors: what grows with the level and away from the photo, and what stays exact."""

import pytest
import torch
from spheres import AZIMUTH_DEG, sphere_views

from sv3dgen.color import over_white
from sv3dgen.errors import InputError
from sv3dgen.metrics.image import mse
from sv3dgen.nvs.imperfect import _blurred, imperfect
from sv3dgen.nvs.mesh import MeshNvs
from sv3dgen.views.orbits import StaticOrbit

PHOTO = 0  # at azimuth 0; the last one looks from behind


def errors(level: float, seed: int = 0) -> torch.Tensor:
    true = sphere_views(32)
    wrong = imperfect(true, level, photo=PHOTO, seed=seed)
    both = [over_white(views.rgba[:, :3], views.rgba[:, 3:]) for views in (true, wrong)]
    return mse(*both)


def test_the_photo_stays_exact_and_the_others_say_what_they_are():
    true = sphere_views()
    wrong = imperfect(true, 1.0, photo=PHOTO)
    assert torch.equal(wrong.images[PHOTO], true.images[PHOTO])
    assert wrong.generated == (False, *[True] * (len(true) - 1))
    assert not any(true.generated) and torch.equal(wrong.cameras.camera_to_world, true.cameras.camera_to_world)


def test_level_0_is_the_truth():
    true = sphere_views()
    outside, wrong = true.images[:, 3:] == 0, imperfect(true, 0.0, photo=PHOTO)
    assert torch.equal(wrong.images[:, 3], true.images[:, 3])  # a color without opacity is anything
    assert torch.equal(wrong.images.masked_fill(outside, 0), true.images.masked_fill(outside, 0))


def test_errors_grow_with_the_level_and_away_from_the_photo():
    assert AZIMUTH_DEG[1] == 40 and AZIMUTH_DEG[-1] == 180
    mean = {level: torch.stack([errors(level, seed) for seed in range(12)]).mean(0) for level in (0.5, 1.0, 2.0)}
    assert mean[0.5][1:].mean() < 0.7 * mean[1.0][1:].mean() < 0.5 * mean[2.0][1:].mean()
    assert mean[1.0][1] < 0.7 * mean[1.0][-1]
    assert not mean[1.0][PHOTO]


def test_errors_follow_from_the_seed():
    assert torch.equal(errors(1.0, 3), errors(1.0, 3)) and not torch.equal(errors(1.0, 3), errors(1.0, 4))


def test_blur_is_a_gaussian():
    line = torch.zeros(1, 1, 41, 41)
    line[..., 20, 20] = 1
    got, at = _blurred(line, 2.0), torch.arange(41.0) - 20
    assert got.sum() == pytest.approx(1, abs=1e-4)
    variance = (got[0, 0].sum(0) * at.square()).sum()
    assert variance == pytest.approx(4, rel=0.01) and torch.allclose(got, got.transpose(-1, -2), atol=1e-6)


def test_a_known_mesh_can_be_drawn_wrongly(tmp_path):
    path = tmp_path / "box.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
    orbit = StaticOrbit()(10.0, 21, torch.Generator())
    true, wrong = (
        MeshNvs(mesh=str(path), size_px=32, level=level).views(torch.ones(3, 32, 32), orbit, seed=1)
        for level in (0.0, 1.0)
    )
    assert torch.equal(true.images[-1], wrong.images[-1]) and not torch.equal(true.images[0], wrong.images[0])
    assert not any(true.generated) and wrong.generated == (*[True] * 20, False)
    with pytest.raises(InputError, match="nvs.level=-1"):
        MeshNvs(mesh=str(path), level=-1)
