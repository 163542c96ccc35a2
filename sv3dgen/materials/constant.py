"""No light: what is seen is the albedo."""

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.interfaces import Material, Shading


class Constant(Material):
    """Color is albedo, irradiance is 1 everywhere. Baked light stays in the texture."""

    feature_dim = 3
    needs_normals = False

    def forward(self, features: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"]) -> Shading:
        albedo = torch.sigmoid(features)
        return Shading(rgb=albedo, albedo=albedo, irradiance=torch.ones_like(features[:, :1]))

    @classmethod
    def from_light(cls, light: dict) -> "Constant":
        return cls()

    def light(self) -> dict:
        return {"type": "constant", "convention": "color = albedo; irradiance is 1 everywhere"}
