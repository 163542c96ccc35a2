"""Draw a textured mesh from posed views' cameras, and compare it with them."""

import json
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.cameras import Cameras
from sv3dgen.errors import InputError
from sv3dgen.materials.from_light import material_from_light
from sv3dgen.materials.sg import Sg
from sv3dgen.mesh import Mesh, vertex_normals
from sv3dgen.metrics.image import mse, over_white, psnr, ssim
from sv3dgen.renderers.textured import render_textured
from sv3dgen.textured_mesh import TexturedMesh
from sv3dgen.views import read_views


def appearance_scores(
    mesh: TexturedMesh,
    views: Path,
    *,
    split: Literal["test", "train", "all"] = "test",
    light: Path | None = None,
    lpips: bool = False,
) -> dict[str, float | int | str | None]:
    """PSNR, SSIM and MSE over white against the views of a split, and the overlap of the silhouettes.

    The mesh stands where a run leaves it: in the world that `read_views` brings the views to. `lpips` None in the
    result means that its weights could not be had.
    """
    reference = read_views(views, split=split)
    target_rgb, target_alpha = reference.rgba.split([3, 1], dim=1)
    rgb, alpha, shading = draw(mesh, reference.cameras, light)
    drawn, target = over_white(rgb, alpha), over_white(target_rgb, target_alpha)
    decibel = psnr(drawn, target)
    report: dict[str, float | int | str | None] = {
        "views": len(reference.cameras),
        "shading": shading,
        "psnr": float(decibel.mean()),
        "psnr_min": float(decibel.min()),
        "ssim": float(ssim(drawn, target).mean()),
        "mse": float(mse(drawn, target).mean()),
        "mask_iou": float(_mask_iou(alpha, target_alpha).mean()),
    }
    if lpips:
        report["lpips"] = _mean_lpips(drawn, target)
    return report


def draw(
    mesh: TexturedMesh, cameras: Cameras, light: Path | None
) -> tuple[Float[Tensor, "views 3 height width"], Float[Tensor, "views 1 height width"], str]:
    """Straight colour, opacity, and in words what the colour is: under the light of a light.json, or the albedo."""
    if light is None:
        frames, shading = render_textured(mesh, cameras), "albedo (no light.json)"
    else:
        material = material_from_light(_read_light(light))
        if isinstance(material, Sg):
            irradiance = material.irradiance(seamless_normals(mesh.mesh)).detach()
            frames = render_textured(mesh, cameras, irradiance=irradiance, log_tone_map=material.tone_map == "log")
            shading = f"relit by {light.name}"
        else:
            frames, shading = render_textured(mesh, cameras), f"albedo (constant light in {light.name})"
    return frames[:, :3], frames[:, 3:], shading


def seamless_normals(mesh: Mesh) -> Float[Tensor, "vertices 3"]:
    """Vertex normals as they are where the vertices that a UV seam splits are one."""
    positions, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    return vertex_normals(Mesh(positions, index[mesh.faces]))[index]


def _read_light(path: Path) -> dict:
    try:
        light = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected the JSON that a run writes beside its mesh ({error})") from error
    if not isinstance(light, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(light).__name__}")
    return light


def _mask_iou(first: Tensor, second: Tensor) -> Float[Tensor, " images"]:
    """Overlap of two silhouettes per image, partly covered pixels counted in part; 1 where both are empty."""
    both, either = torch.minimum(first, second).sum(dim=(1, 2, 3)), torch.maximum(first, second).sum(dim=(1, 2, 3))
    return torch.where(either > 0, both / either.clamp_min(1e-12), 1.0)


def _mean_lpips(first: Tensor, second: Tensor) -> float | None:
    from sv3dgen.lpips import load_lpips

    distance = load_lpips("vgg")
    if distance is None:
        return None
    with torch.no_grad():
        return float(
            torch.cat([distance(one[None], other[None]) for one, other in zip(first, second, strict=True)]).mean()
        )
