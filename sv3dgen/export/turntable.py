"""A short film of the mesh turning once around itself."""

from pathlib import Path

import imageio_ffmpeg
import torch

from sv3dgen.atomic import atomic_write
from sv3dgen.cameras import look_at_origin
from sv3dgen.renderers.textured import appearance, render_views
from sv3dgen.textured_mesh import TexturedMesh

FRAMES, FRAMES_PER_S = 72, 24
SIZE_PX = 400
ELEVATION_DEG = 15.0
DISTANCE = 2.2  # the unit box stays in the frame from every side


def write_turntable(path: str | Path, mesh: TexturedMesh, size_px: int = SIZE_PX, frames: int = FRAMES) -> None:
    """Render one turn before white and write it as H.264 (yuv420p, what browsers play). `size_px` must be even."""
    azimuth_deg = torch.arange(frames) * (360.0 / frames)
    cameras = look_at_origin(
        torch.full_like(azimuth_deg, ELEVATION_DEG), azimuth_deg, distance=DISTANCE, size_px=size_px
    )
    with atomic_write(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (size_px, size_px),
            fps=FRAMES_PER_S,
            codec="libx264",
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            quality=None,
            output_params=["-crf", "20", "-preset", "veryfast", "-movflags", "+faststart"],
            ffmpeg_log_level="error",
        )
        writer.send(None)
        try:
            for rgba in render_views(mesh, cameras, appearance(mesh)):
                white = rgba[:3] * rgba[3:] + (1 - rgba[3:])
                writer.send((white * 255).round().byte().movedim(0, 2).contiguous().numpy())
        finally:
            writer.close()
