import dataclasses

import pytest
import torch

from guidance.illumination import Illumination
from sv3dgen.errors import InputError
from sv3dgen.interfaces import RenderOutput, ViewBatch
from sv3dgen.materials.sg import Sg
from sv3dgen.materials.spherical_gaussians import fibonacci_axes
from sv3dgen.views.cameras import look_at_origin


def white_object(material: Sg, size: int = 8) -> tuple[RenderOutput, ViewBatch]:
    """Something white in all directions under the material's light, and the picture of it."""
    normals = fibonacci_axes(size * size)
    shading = material(torch.full((size * size, 3), 30.0), normals)  # sigmoid(30) is 1

    def image(values: torch.Tensor) -> torch.Tensor:
        return values.T.reshape(1, -1, size, size)

    everywhere = torch.ones(1, 1, size, size)
    render = RenderOutput(
        rgb=image(shading.rgb),
        opacity=everywhere,
        shaded=everywhere > 0,
        buffers={
            "albedo": image(shading.albedo),
            "irradiance": image(shading.irradiance),
            "depth": everywhere,
            "normal": image(normals),
        },
    )
    cameras = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=size)
    return render, ViewBatch(cameras, None, image(shading.rgb).detach(), everywhere)


@pytest.mark.parametrize("tone_map", ["none", "log"])
@pytest.mark.parametrize("form", ["squared", "absolute"])
def test_a_white_object_shows_its_light(form, tone_map):
    render, batch = white_object(Sg(tone_map=tone_map))
    guidance = Illumination(weights={"illumination": 1.0}, form=form, tone_map=tone_map)
    assert guidance(render, batch, 0).losses["illumination"].item() == pytest.approx(0, abs=1e-6)
    darker = dataclasses.replace(batch, rgb=batch.rgb - 0.1)
    expected = 0.01 if form == "squared" else 0.1
    assert guidance(render, darker, 0).losses["illumination"].item() == pytest.approx(expected, rel=1e-3)


def test_it_fixes_the_scale():
    """Light that starts twice too bright comes down to what the picture shows."""
    material = Sg()
    with torch.no_grad():
        material.amplitude.mul_(2)
    _, batch = white_object(Sg())
    guidance = Illumination(weights={"illumination": 1.0})
    optimizer = torch.optim.Adam(material.parameters(), lr=0.03)
    for step in range(80):
        optimizer.zero_grad()
        loss = guidance(white_object(material)[0], batch, step).losses["illumination"]
        loss.backward()
        optimizer.step()
    assert material.irradiance(fibonacci_axes(50)).mean().item() == pytest.approx(1.06, abs=0.05)


def test_only_the_object_counts_and_nothing_is_zero():
    render, batch = white_object(Sg())
    guidance = Illumination(weights={"illumination": 1.0})
    empty = dataclasses.replace(batch, rgb=batch.rgb - 0.5, alpha=torch.zeros_like(batch.alpha))
    assert guidance(render, empty, 0).losses["illumination"] == 0


def test_off_and_unknown():
    render, batch = white_object(Sg())
    assert not Illumination(weights={})(render, batch, 0).losses
    with pytest.raises(InputError, match="expected one of illumination"):
        Illumination(weights={"light": 1.0})
