"""White light as spherical Gaussians, learned with the albedo (paper, section 4)."""

from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.color import linear_to_srgb, srgb_to_linear
from sv3dgen.domains import Between, Seed
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Material, Shading
from sv3dgen.materials import spherical_gaussians as lobes

MIN_SHARPNESS = 1e-4

CONVENTION = (
    "world right-handed, +Y up, front +Z; radiance(x) = sum amplitude * exp(sharpness * (dot(axis, x) - 1)), white; "
    "irradiance(n) = radiance against max(dot(n, x), 0), over pi; color = sRGB(tone_map(linear(albedo) * irradiance))"
)


class Sg(Material):
    """Lambertian surface under `lobe_count` white lobes. No specular, no shadows.

    `form` picks the irradiance: "product" with the cosine as a lobe (the paper), "hill" for the fit of the authors'
    code, which leaks light from behind. `tone_map` "log" puts log(1 + x) before the sRGB curve, as that code does.
    Without `shape_from_shading` the light does not turn the surface's normals. The light starts near irradiance 1.
    Brighter light with darker albedo would give the same picture: only the illumination loss decides between them, so
    without it the scale stays wherever optimization drifts.
    """

    feature_dim = 3
    needs_normals = True

    def __init__(
        self,
        *,
        lobe_count: Annotated[int, Between(1, 1024)] = 24,
        form: Literal["product", "hill"] = "product",
        tone_map: Literal["none", "log"] = "none",
        shape_from_shading: bool = True,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        axes = lobes.fibonacci_axes(lobe_count)
        noise = torch.randn(lobe_count, generator=torch.Generator().manual_seed(seed))
        self.axes = nn.Parameter(axes)
        self.sharpness = nn.Parameter(torch.full((lobe_count,), lobes.covering_sharpness(axes)))
        self.amplitude = nn.Parameter(1 + 0.01 * noise)
        self.form = form
        self.tone_map = tone_map
        self.shape_from_shading = shape_from_shading

    def forward(self, features: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"]) -> Shading:
        albedo = torch.sigmoid(features)
        irradiance = self.irradiance(normals if self.shape_from_shading else normals.detach())[:, None]
        reflected = srgb_to_linear(albedo) * irradiance
        if self.tone_map == "log":
            reflected = torch.log1p(reflected)
        return Shading(rgb=linear_to_srgb(reflected), albedo=albedo, irradiance=irradiance)

    def irradiance(self, normals: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Linear irradiance over pi at unit normals: the paper's L."""
        integrate = lobes.irradiance_product if self.form == "product" else lobes.irradiance_hill
        return integrate(normals, *self._constrained()).clamp_min(0)

    def light(self) -> dict:
        axes, sharpness, amplitude = (parameter.detach().cpu().tolist() for parameter in self._constrained())
        return {
            "type": "sg",
            "convention": CONVENTION,
            "form": self.form,
            "tone_map": self.tone_map,
            "lobes": [
                {"axis": axis, "sharpness": sharp, "amplitude": amount}
                for axis, sharp, amount in zip(axes, sharpness, amplitude, strict=True)
            ],
        }

    @classmethod
    def from_light(cls, light: dict) -> "Sg":
        for key, allowed in (("form", ("product", "hill")), ("tone_map", ("none", "log"))):
            if light.get(key) not in allowed:
                raise InputError(f"light.json: {key}: expected one of {', '.join(allowed)}, got {light.get(key)!r}")
        rows = _rows(light.get("lobes"))
        material = cls(lobe_count=len(rows), form=light["form"], tone_map=light["tone_map"])
        with torch.no_grad():
            material.axes.copy_(rows[:, :3])
            material.sharpness.copy_(rows[:, 3])
            material.amplitude.copy_(rows[:, 4])
        return material

    def _constrained(self) -> tuple[Float[Tensor, "lobes 3"], Float[Tensor, " lobes"], Float[Tensor, " lobes"]]:
        axes = nn.functional.normalize(self.axes, dim=-1)
        return axes, self.sharpness.clamp_min(MIN_SHARPNESS), self.amplitude.abs()


def _rows(described: Any) -> Tensor:
    """The lobes as rows of axis, sharpness and amplitude."""
    expected = "light.json: lobes: expected a list of {axis: [x, y, z], sharpness: > 0, amplitude: >= 0}"
    try:
        values = [[*lobe["axis"], lobe["sharpness"], lobe["amplitude"]] for lobe in described]
        rows = torch.tensor(values, dtype=torch.float32)
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(expected) from error
    fits = rows.ndim == 2 and rows.shape[1] == 5 and bool(rows.isfinite().all())
    if not fits or bool((rows[:, :3].norm(dim=-1) < 1e-6).any() or (rows[:, 3] <= 0).any() or (rows[:, 4] < 0).any()):
        raise InputError(expected)
    return rows
