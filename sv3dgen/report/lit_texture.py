"""The texture of a mesh under the light that was fitted with it, for viewers that have no such light."""

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.color import linear_to_srgb, srgb_to_linear
from sv3dgen.export.bake import fill_outside, locate_texels
from sv3dgen.export.unwrap import Unwrap
from sv3dgen.materials.from_light import material_from_light
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.textured_mesh import TexturedMesh


@torch.no_grad()
def lit_texture(mesh: TexturedMesh, light: dict) -> Float[Tensor, "3 size size"] | None:
    """Albedo times irradiance at each texel, sRGB in [0, 1]: a Lambertian surface looks like that from everywhere.

    `light` is what `light.json` holds. None where there is no one square texture, or no light apart from the color.
    """
    if mesh.uv is None or mesh.uv_faces is None or len(mesh.textures) != 1:
        return None
    albedo = mesh.textures[0]
    size_px = albedo.shape[1]
    if albedo.shape[2] != size_px:
        return None
    # A file splits vertices along the texture's seams, where normals are not to break.
    positions, inverse = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    texels = locate_texels(Mesh(positions, inverse[mesh.faces]), Unwrap(mesh.uv, mesh.uv_faces, 0), size_px)
    material = material_from_light(light)
    irradiance = material(torch.zeros(len(texels.rows), material.feature_dim), texels.normals).irradiance
    if bool((irradiance == 1).all()):
        return None
    linear = srgb_to_linear(albedo[:, texels.rows, texels.cols].T) * irradiance
    if light.get("tone_map") == "log":
        linear = torch.log1p(linear)
    texture = torch.zeros(size_px, size_px, 3)
    inside = torch.zeros(size_px, size_px, dtype=torch.bool)
    texture[texels.rows, texels.cols] = linear_to_srgb(linear).clamp(0, 1)
    inside[texels.rows, texels.cols] = True
    return fill_outside(texture, inside).movedim(2, 0).contiguous()
