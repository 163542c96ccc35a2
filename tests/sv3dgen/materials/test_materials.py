# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportOptionalOperand=false
import json

import pytest
import torch

from sv3dgen.color import linear_to_srgb, srgb_to_linear
from sv3dgen.errors import InputError
from sv3dgen.materials.constant import Constant
from sv3dgen.materials.from_light import material_from_light
from sv3dgen.materials.sg import Sg
from sv3dgen.materials.spherical_gaussians import fibonacci_axes

FEATURES = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
NORMALS = fibonacci_axes(200)


def test_constant_shows_the_albedo():
    shading = Constant()(FEATURES, NORMALS)
    assert torch.equal(shading.rgb, torch.sigmoid(FEATURES)) and torch.equal(shading.rgb, shading.albedo)
    assert torch.equal(shading.irradiance, torch.ones(200, 1))


@pytest.mark.parametrize(("form", "level"), [("product", 1.06), ("hill", 1.19)])
def test_light_starts_near_one(form, level):
    irradiance = Sg(form=form)(FEATURES, NORMALS).irradiance
    assert irradiance.mean().item() == pytest.approx(level, abs=0.02)
    assert irradiance.std() < 0.03


def test_shading_happens_in_linear_light():
    shading = Sg()(FEATURES, NORMALS)
    torch.testing.assert_close(shading.rgb, linear_to_srgb(srgb_to_linear(shading.albedo) * shading.irradiance))


def test_log_tone_map():
    shading = Sg(tone_map="log")(FEATURES, NORMALS)
    linear = srgb_to_linear(torch.sigmoid(FEATURES)) * shading.irradiance
    torch.testing.assert_close(shading.rgb, linear_to_srgb(torch.log(1 + linear)))


@pytest.mark.parametrize("shape_from_shading", [True, False])
def test_shading_may_leave_the_shape_alone(shape_from_shading):
    normals = NORMALS.clone().requires_grad_()
    material = Sg(shape_from_shading=shape_from_shading)
    shading = material(FEATURES, normals)
    shading.rgb[:, 0].sum().backward()
    assert (normals.grad is not None) == shape_from_shading
    assert material.amplitude.grad.abs().min() > 0
    torch.testing.assert_close(shading.irradiance, Sg()(FEATURES, NORMALS).irradiance)


def test_seed_decides_the_start():
    assert torch.equal(Sg(seed=3).amplitude, Sg(seed=3).amplitude)
    assert not torch.equal(Sg(seed=3).amplitude, Sg(seed=4).amplitude)
    assert (Sg().amplitude - 1).abs().max() < 0.05


def test_a_learned_light_comes_from_where_it_is():
    """Fitted to a surface lit from +X, it lights +X more than -X."""
    material = Sg()
    goal = 0.3 + 0.6 * NORMALS[:, 0].clamp_min(0)
    optimizer = torch.optim.Adam(material.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        loss = (material.irradiance(NORMALS) - goal).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 2e-3


@pytest.mark.parametrize("form", ["product", "hill"])
def test_parameters_may_wander(form):
    """Unnormalized axes, negative amplitude and sharpness are read as unit, positive and at least 1e-4."""
    material = Sg(form=form, lobe_count=4)
    with torch.no_grad():
        material.axes.mul_(5)
        material.amplitude.neg_()
        material.sharpness[0] = -1.0
    shading = material(FEATURES.requires_grad_(), NORMALS)
    shading.rgb.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in material.parameters())
    assert (shading.irradiance >= 0).all()
    lobes = material.light()["lobes"]
    assert all(lobe["amplitude"] > 0 and lobe["sharpness"] > 0 for lobe in lobes)
    assert sum(x * x for x in lobes[0]["axis"]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("material", [Constant(), Sg(), Sg(form="hill", tone_map="log", lobe_count=7, seed=5)])
def test_light_round_trip(material):
    light = json.loads(json.dumps(material.light(), allow_nan=False))
    again = material_from_light(light)
    torch.testing.assert_close(again(FEATURES, NORMALS).rgb, material(FEATURES, NORMALS).rgb)


def broken(**change) -> dict:
    return {**Sg(lobe_count=2).light(), **change}


@pytest.mark.parametrize(
    ("light", "key"),
    [
        ({}, "type"),
        (broken(type="sun"), "type"),
        (broken(form="cosine"), "form"),
        (broken(tone_map=None), "tone_map"),
        (broken(lobes=[]), "lobes"),
        (broken(lobes=None), "lobes"),
        (broken(lobes=[{"axis": [0, 0, 1], "sharpness": 1}]), "lobes"),
        (broken(lobes=[{"axis": [0, 0, 0], "sharpness": 1.0, "amplitude": 1.0}]), "lobes"),
        (broken(lobes=[{"axis": [0, 1], "sharpness": 1.0, "amplitude": 1.0}]), "lobes"),
        (broken(lobes=[{"axis": [0, 0, 1], "sharpness": 1.0, "amplitude": float("nan")}]), "lobes"),
    ],
)
def test_bad_lights_are_named(light, key):
    with pytest.raises(InputError, match=rf"light\.json: {key}: expected"):
        material_from_light(light)


def test_whole_numbers_in_light_json_are_fine():
    light = broken(lobes=[{"axis": [0, 0, 1], "sharpness": 2, "amplitude": 1}])
    assert material_from_light(light).light()["lobes"][0]["sharpness"] == 2.0
