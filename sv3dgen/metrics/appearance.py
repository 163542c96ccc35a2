"""Draw a textured mesh from posed views' cameras or on an orbit, and compare it with the views or with the truth."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.materials.from_light import material_from_light
from sv3dgen.materials.light_file import read_light
from sv3dgen.materials.sg import Sg
from sv3dgen.meshes.mesh import Mesh, vertex_normals
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.metrics.pictures import Learned, Scores, picture_scores
from sv3dgen.metrics.protocols import about_y
from sv3dgen.renderers.textured import fitting_distance, render_textured
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.orbits import Orbit
from sv3dgen.views.posed_views import read_views


def appearance_scores(
    mesh: TexturedMesh,
    views: Path,
    learned: Learned,
    *,
    split: Literal["test", "train", "all"] = "test",
    light: Path | None = None,
) -> Scores:
    """Scores over white against the views of a split.

    The mesh stands where a run leaves it: in the world that `read_views` brings the views to.
    """
    reference = read_views(views, split=split)
    rgb, alpha, shading = draw(mesh, reference.cameras, light)
    true_rgb, true_alpha = reference.rgba.split([3, 1], dim=1)
    return {"shading": shading} | picture_scores(rgb, alpha, true_rgb, true_alpha, learned)


def orbit_scores(
    prediction: TexturedMesh,
    truth: TexturedMesh,
    orbit: Orbit,
    learned: Learned,
    *,
    size_px: int,
    yaw_deg: float = 0.0,
    light: Path | None = None,
) -> Scores:
    """Scores over white of both meshes drawn on one orbit (paper, section 4.1), the prediction turned by `yaw_deg`.

    Both stand in one frame. SV3D's cameras, as near as the whole of the truth allows in every view (appendix B). The
    truth shows its plain colors; so does the prediction, or what its light.json makes of them.
    """
    distance = fitting_distance(truth.vertices[truth.faces.reshape(-1)], orbit.cameras(1.0))
    cameras = orbit.cameras(distance, size_px=size_px)
    # Not the prediction but its cameras are turned, the other way: its light is in the frame that it came in.
    back = torch.eye(4)
    back[:3, :3] = about_y(-yaw_deg)
    turned = replace(cameras, camera_to_world=back @ cameras.camera_to_world)
    upright = replace(prediction, vertices=prediction.vertices @ about_y(-yaw_deg).T)
    rgb, alpha, shading = draw(upright, turned, light)
    true_rgb, true_alpha, _ = draw(truth, cameras, None)
    camera = {"camera_distance": distance, "shading": shading}
    return camera | picture_scores(rgb, alpha, true_rgb, true_alpha, learned)


def draw(
    mesh: TexturedMesh, cameras: Cameras, light: Path | None
) -> tuple[Float[Tensor, "views 3 height width"], Float[Tensor, "views 1 height width"], str]:
    """Straight color, opacity, and in words what the color is: under the light of a light.json, or the albedo."""
    if light is None:
        frames, shading = render_textured(mesh, cameras), "albedo (no light.json)"
    else:
        material = material_from_light(read_light(light))
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
