"""A short film of the mesh turning once around itself."""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.renderers.textured import appearance, fitting_distance, render_batches
from sv3dgen.views.cameras import look_at_origin
from sv3dgen.views.video import write_video

FRAMES_PER_S = 24
ELEVATION_DEG = 15.0


def write_turntable(path: str | Path, mesh: TexturedMesh, size_px: int, frames: int) -> None:
    """Render one turn before white and write it as H.264 (yuv420p, what browsers play)."""
    azimuth_deg = torch.arange(frames) * (360.0 / frames)
    elevation_deg = torch.full_like(azimuth_deg, ELEVATION_DEG)
    distance = fitting_distance(mesh.vertices, look_at_origin(elevation_deg, azimuth_deg, distance=1.0))
    cameras = look_at_origin(elevation_deg, azimuth_deg, distance=distance, size_px=size_px)
    # Rendered in full before the encoder starts, because the two would fight for the same cores.
    film = torch.cat([before_white(batch) for batch in render_batches(mesh, cameras, appearance(mesh), supersample=2)])
    write_video(path, film, fps=FRAMES_PER_S)


def before_white(rgba: Float[Tensor, "views 4 height width"]) -> UInt8[Tensor, "views 3 height width"]:
    """Straight color on a white background, as bytes."""
    white = rgba[:, :3] * rgba[:, 3:] + (1 - rgba[:, 3:])
    return (white * 255).round().byte()
