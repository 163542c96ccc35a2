"""White light as spherical Gaussians, learned with the albedo (paper, section 4)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen import spherical_gaussians as lobes
from sv3dgen.colour import linear_to_srgb, srgb_to_linear
from sv3dgen.interfaces import Material, Shading

MIN_SHARPNESS = 1e-4

CONVENTION = (
    "world right-handed, +Y up, front +Z; radiance(x) = sum amplitude * exp(sharpness * (dot(axis, x) - 1)), white; "
    "irradiance(n) = radiance against max(dot(n, x), 0), over pi; colour = sRGB(tone_map(linear(albedo) * irradiance))"
)


class Sg(Material):
    """Lambertian surface under `lobe_count` white lobes. No specular, no shadows.

    `form` picks the irradiance: "product" with the cosine as a lobe (the paper), "hill" for the fit of the authors'
    code, which leaks light from behind. `tone_map` "log" puts log(1 + x) before the sRGB curve, as that code does.
    Without `shape_from_shading` the light does not turn the surface's normals. The light starts near irradiance 1.
    Brighter light with darker albedo would give the same picture: only the illumination loss decides between them, so
    without it the scale stays wherever optimisation drifts.
    """

    feature_dim = 3
    needs_normals = True

    def __init__(
        self,
        *,
        lobe_count: int = 24,
        form: Literal["product", "hill"] = "product",
        tone_map: Literal["none", "log"] = "none",
        shape_from_shading: bool = True,
        seed: int = 0,
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

    def _constrained(self) -> tuple[Float[Tensor, "lobes 3"], Float[Tensor, " lobes"], Float[Tensor, " lobes"]]:
        axes = nn.functional.normalize(self.axes, dim=-1)
        return axes, self.sharpness.clamp_min(MIN_SHARPNESS), self.amplitude.abs()
