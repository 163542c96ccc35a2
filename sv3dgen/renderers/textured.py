"""Draw a textured mesh as it is: for posed views, turntables, and to see what was written to a file."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.color import linear_to_srgb, srgb_to_linear
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.kernels.rasterizer.texture import Appearance, build_pyramid, shade
from sv3dgen.meshes.textured_mesh import DEFAULT_COLOR, TexturedMesh
from sv3dgen.views.cameras import Cameras

SAMPLES_AT_ONCE = 1 << 21  # 16 MB of faces and depths, and 40 of colors
FILLED = 0.92  # share of the half frame that an object may reach
NO_COLOR_BELOW = 1e-4  # coverage under which a pixel's own color means nothing


def render_textured(
    mesh: TexturedMesh,
    cameras: Cameras,
    supersample: int = 4,
    *,
    irradiance: Float[Tensor, " vertices"] | None = None,
    log_tone_map: bool = False,
) -> Float[Tensor, "views 4 height width"]:
    """Straight sRGB color and opacity, without light unless `irradiance` (linear, over pi) at the vertices is given.

    Averages over `supersample` squared samples per pixel in linear light, as a renderer of real light would.
    """
    look = appearance(mesh, irradiance)
    return torch.cat(list(render_batches(mesh, cameras, look, supersample, log_tone_map=log_tone_map)))


def render_batches(
    mesh: TexturedMesh, cameras: Cameras, look: Appearance, supersample: int = 4, *, log_tone_map: bool = False
) -> Iterator[Float[Tensor, "batch 4 height width"]]:
    """The same a few views at a time, so that long films need not be held whole; `look` is `appearance(mesh)`."""
    tall, wide = cameras.height_px * supersample, cameras.width_px * supersample
    batch = max(1, SAMPLES_AT_ONCE // (tall * wide))
    for first in range(0, len(cameras), batch):
        clip = clip_positions(cameras[first : first + batch], mesh.vertices)
        face_index = rasterize(clip, mesh.faces, tall, wide).face_index
        yield straight_srgb(shade(face_index, clip, mesh.faces, look, supersample), log_tone_map)


def appearance(mesh: TexturedMesh, irradiance: Float[Tensor, " vertices"] | None = None) -> Appearance:
    """A mesh's colors in linear light, with gray where it has none."""
    num_faces, device = len(mesh.faces), mesh.vertices.device
    colors = mesh.vertex_colors
    if colors is None:
        colors = torch.full_like(mesh.vertices, DEFAULT_COLOR)
    uv, uv_faces = torch.zeros(1, 2, device=device), torch.zeros_like(mesh.faces)
    face_texture = torch.full((num_faces,), -1, dtype=torch.int64, device=device)
    if mesh.uv is not None and mesh.uv_faces is not None and mesh.face_texture is not None:
        uv, uv_faces, face_texture = mesh.uv, mesh.uv_faces, mesh.face_texture
    return Appearance(
        uv=uv,
        uv_faces=uv_faces,
        face_texture=face_texture,
        pyramid=build_pyramid(tuple(srgb_to_linear(texture) for texture in mesh.textures), device=device),
        vertex_colors=srgb_to_linear(colors),
        vertex_tint=mesh.vertex_tint,
        vertex_light=torch.ones(len(mesh.vertices), device=device) if irradiance is None else irradiance,
    )


def fitting_distance(points: Float[Tensor, "points 3"], cameras: Cameras) -> float:
    """The least distance from the origin at which all points lie within `FILLED` of the half frame of every camera.

    For cameras that look at the origin: a point at (x, y, z) of their axes around it, z towards the camera, is seen at
    tangent max(|x|, |y|) / (distance - z).
    """
    slope = FILLED * 0.5 * min(cameras.width_px, cameras.height_px) / float(cameras.focal_px.max())
    local = points @ cameras.camera_to_world[:, :3, :3]
    return float((local[..., :2].abs().amax(-1) / slope + local[..., 2]).max())


def straight_srgb(
    premultiplied: Float[Tensor, "views height width 4"], log_tone_map: bool = False
) -> Float[Tensor, "views 4 height width"]:
    """Divide by the coverage and go to display values in [0, 1]; empty pixels become transparent black."""
    color, coverage = premultiplied[..., :3], premultiplied[..., 3:]
    linear = torch.where(coverage > NO_COLOR_BELOW, color / coverage.clamp_min(NO_COLOR_BELOW), 0.0)
    if log_tone_map:
        linear = torch.log1p(linear)
    return torch.cat([linear_to_srgb(linear).clamp(0, 1), coverage], dim=-1).movedim(3, 1)
