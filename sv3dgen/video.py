"""Orbit videos: frames out of mp4, webm or gif, and H.264 that every browser plays."""

from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageSequence
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError
from sv3dgen.image import check_size, one_line, open_image
from sv3dgen.precheck import check_video

MAX_FRAMES = 400
# Said in the file and done in the conversion, so that players and our own reader agree on the colours.
_BT709 = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709"]
_BT709 += ["-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]


def read_video(path: str | Path) -> list[Image.Image]:
    """All frames as 8-bit RGBA; opaque but for animations that carry transparency. InputError names a bad file."""
    path = Path(path)
    check_video(path)
    with path.open("rb") as file:
        start = file.read(12)
    is_picture = start.startswith((b"GIF8", b"\x89PNG")) or start[8:12] == b"WEBP"
    frames = []
    for frame in _animation_frames(path) if is_picture else _video_frames(path):
        frames.append(frame)
        if len(frames) > MAX_FRAMES:
            raise InputError(f"{path}: more than {MAX_FRAMES} frames, expected one turn around the object (21 in SV3D)")
    if len(frames) < 2:
        raise InputError(f"{path}: {len(frames)} frame(s), expected one turn around the object (21 in SV3D)")
    return frames


def write_video(path: str | Path, frames: UInt8[Tensor, "frames 3 height width"], fps: float | int = 7) -> None:
    """Write sRGB frames as H.264 (yuv420p, BT.709) that browsers play; the file appears whole or not at all.

    4:2:0 needs even sizes: an odd last row or column is doubled.
    """
    frames = torch.nn.functional.pad(frames.float(), (0, frames.shape[3] % 2, 0, frames.shape[2] % 2), mode="replicate")
    pixels = frames.byte().permute(0, 2, 3, 1).contiguous().numpy()
    with atomic_write(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (pixels.shape[2], pixels.shape[1]),
            fps=fps,
            codec="libx264",
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            quality=None,
            macro_block_size=1,
            output_params=["-crf", "17", "-preset", "medium", *_BT709, "-movflags", "+faststart"],
        )
        try:
            writer.send(None)
            for frame in pixels:
                writer.send(frame)
        finally:
            writer.close()


def _animation_frames(path: Path) -> Iterator[Image.Image]:
    with open_image(path) as image:
        for frame in ImageSequence.Iterator(image):
            yield frame.convert("RGBA")


def _video_frames(path: Path) -> Iterator[Image.Image]:
    reader = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
    try:
        size = next(reader)["size"]
        check_size(path, size)
        for data in reader:
            rgb = np.frombuffer(data, dtype=np.uint8).reshape(size[1], size[0], 3)
            yield Image.fromarray(rgb).convert("RGBA")
    except (OSError, RuntimeError, ValueError, StopIteration, KeyError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged, or not a video that ffmpeg reads ({one_line(error)[:120]})") from None
    finally:
        reader.close()
