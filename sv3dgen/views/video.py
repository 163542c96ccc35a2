"""Orbit videos: frames out of mp4, webm or gif, and H.264 that every browser plays.

The ffmpeg program comes with imageio-ffmpeg; called directly, pipes and errors are ours to close and tell.
"""

import errno
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageSequence
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError
from sv3dgen.views.color_profile import TOLD, in_srgb
from sv3dgen.views.image import OBJECT_ALPHA, check_size, open_image
from sv3dgen.views.precheck import check_video, is_picture

log = logging.getLogger(__name__)

MAX_FRAMES = 400
THUMBNAIL_PX = 48

_MAX_STORED_FRAMES = 4000  # that are looked at, as thumbnails; a re-encoded film repeats each frame many times
_CLEAR_SHARE = 0.02  # of a frame's pixels, the least that an outline leaves transparent
_NEXT_TO_NOTHING_BYTES = 2**16
# Those that docs/inputs.md lists: what a file is, its content tells, and ffmpeg has hundreds of seldom used readers.
_CONTAINERS = ["-format_whitelist", "mov,matroska,avi,ogg,mpeg,mpegts,mpegvideo,flv,asf,yuv4mpegpipe"]
_QUIET = ["-hide_banner", "-loglevel", "error", "-nostdin"]
# Said in the file and done in the conversion, so that players and our own reader agree on the colors.
_BT709 = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709"]
_BT709 += ["-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
# PQ and HLG to sRGB. Diffuse white, 203 cd/m2 (ITU-R BT.2408), becomes white; what is brighter is clipped, so that
# colors below it stay exact.
_TO_SRGB = "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=clip,zscale=t=iec61966-2-1:r=pc,format=gbrp"
_HDR = re.compile(r"Video:.*(smpte2084|arib-std-b67)")
_DEEP = re.compile(r"Video:.*(?:p|gray|p0)(?:9|10|12|14|16)(?:le|be)")
_TO_8_BITS = "scale=flags=accurate_rnd+full_chroma_int"  # without, white comes out as 253
# Pixel formats with alpha; and what tells of one in VP8 and VP9, where it is a stream of its own.
_ALPHA = re.compile(r"Video:.*\b(?:yuva4|rgba|bgra|argb|abgr|gbrap|ya8|ya16)")
_VPX_ALPHA = re.compile(r"Video: (vp8|vp9).*?alpha_mode *: 1", re.DOTALL | re.IGNORECASE)
_VPX_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # ffmpeg's own leave the alpha out
_OBLONG_PIXELS = re.compile(r"Video:.*\[SAR (?!1:1 |0:1 )")


def read_video(path: str | Path, only: Collection[int] | None = None) -> Iterator[Image.Image]:
    """The frames as 8-bit RGBA, one at a time; opaque but for films and animations whose alpha cuts something out.

    `only` picks some by number. HDR is mapped to sRGB, a phone's rotation is applied. InputError names a file that is
    no video, is damaged, or is longer than an orbit can be.
    """
    path = Path(path)
    check_video(path)
    count = 0
    for index, frame in enumerate(_frames(path)):
        if index == 0 and TOLD in frame.info:
            log.info("%s: %s", path, frame.info[TOLD])
        if only is not None and index not in only:
            continue
        count += 1
        if count > MAX_FRAMES:
            raise InputError(
                f"{path}: more than {MAX_FRAMES} frames, expected one turn around the object (21 in SV3D); cut "
                "it, or lower its frame rate"
            )
        yield frame
    if count < 2:
        raise InputError(f"{path}: {count} frame(s), expected one turn around the object (21 in SV3D)")


def read_thumbnails(path: str | Path) -> Float[np.ndarray, "frames height width 3"]:
    """All frames, however many, as small pictures over white: levels 0 to 255, for comparing them."""
    path = Path(path)
    check_video(path)
    size = f"{THUMBNAIL_PX}:{THUMBNAIL_PX}"
    small = []
    for frame in _frames(path, f"scale={size}:flags=area"):
        white = Image.new("RGBA", frame.size, "white")
        white.alpha_composite(frame)
        thumbnail = white.convert("RGB").resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
        small.append(np.asarray(thumbnail, dtype=np.float32))
        if len(small) > _MAX_STORED_FRAMES:
            raise InputError(
                f"{path}: more than {_MAX_STORED_FRAMES} frames, expected one turn around the object; cut it out"
            )
    if len(small) < 2:
        raise InputError(f"{path}: {len(small)} frame(s), expected one turn around the object (21 in SV3D)")
    return np.stack(small)


def write_video(path: str | Path, frames: UInt8[Tensor, "frames 3 height width"], fps: float | int = 7) -> None:
    """Write sRGB frames as H.264 (yuv420p, BT.709) that browsers play; the file appears whole or not at all.

    4:2:0 needs even sizes: an odd last row or column is doubled.
    """
    for axis in (2, 3):
        if frames.shape[axis] % 2:
            frames = torch.cat([frames, frames.narrow(axis, -1, 1)], dim=axis)
    pixels = frames.permute(0, 2, 3, 1).contiguous().numpy()
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{pixels.shape[2]}x{pixels.shape[1]}", "-r", f"{fps:g}"]
    codec = ["-c:v", "libx264", "-crf", "17", "-pix_fmt", "yuv420p", *_BT709, "-movflags", "+faststart"]
    with atomic_write(path) as temporary:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), *_QUIET, "-y", *source, "-i", "-", *codec, str(temporary)]
        done = subprocess.run(command, input=pixels.tobytes(), capture_output=True)
        if done.returncode != 0:
            raise _writing_error(Path(path), done.stderr.decode(errors="replace").strip())


def _writing_error(path: Path, told: str) -> OSError:
    """The error that ffmpeg met, from what it told of it; a full disk as the operating system would report it."""
    for number in (errno.ENOSPC, errno.EDQUOT):
        if os.strerror(number).lower() in told.lower():
            return OSError(number, os.strerror(number), str(path))
    if shutil.disk_usage(path.parent).free < _NEXT_TO_NOTHING_BYTES:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return OSError(f"{path}: ffmpeg could not write it: {told}")


def _frames(path: Path, scaling: str | None = None) -> Iterator[Image.Image]:
    """RGBA of an animation's or a film's frames; opaque where the alpha of none of them cuts something out.

    What some programs write in an alpha's place is zero all over, or all but opaque.
    """
    if is_picture(path):
        read, has_alpha = partial(_animation_frames, path), True
    else:
        decoding = _decoding_of(path)
        read, has_alpha = partial(_video_frames, path, decoding, scaling), decoding[2] == "rgba"
    flat = has_alpha and not _cuts_out(read)
    for frame in read():
        if flat:
            frame.putalpha(255)
        yield frame


def _cuts_out(read: Callable[[], Generator[Image.Image, None, None]]) -> bool:
    """Whether some frame is an object apart from its background: in nearly all films that have an alpha, the first."""
    with closing(read()) as frames:
        for frame in islice(frames, _MAX_STORED_FRAMES):
            levels = frame.getchannel("A").histogram()
            if sum(levels[128:]) and sum(levels[: 256 - OBJECT_ALPHA]) >= _CLEAR_SHARE * sum(levels):
                return True
    return False


def _animation_frames(path: Path) -> Generator[Image.Image, None, None]:
    with open_image(path) as image:
        for frame in ImageSequence.Iterator(image):
            yield in_srgb(frame, frame.convert("RGBA"))


def _video_frames(
    path: Path, decoding: tuple[list[str], list[str], str], scaling: str | None
) -> Generator[Image.Image, None, None]:
    decoder, needed, pixels = decoding
    filters = [*needed, *([] if scaling is None else [scaling])]
    # Pictures as PAM, whose header tells the size; passthrough, so that no frame is doubled to keep a constant rate.
    output = ["-an", "-fps_mode", "passthrough", *(["-vf", ",".join(filters)] if filters else [])]
    output += ["-f", "image2pipe", "-c:v", "pam", "-pix_fmt", pixels, "-"]  # 10 bits would make other files
    given = [*_CONTAINERS, *decoder, "-i", f"file:{path}"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *_QUIET, "-xerror", *given, *output]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
            assert process.stdout is not None
            try:
                while frame := _next_pam(path, process.stdout):
                    yield frame
            finally:
                process.stdout.close()  # ends ffmpeg where the reader stops early
        if process.returncode != 0:
            errors.seek(0)
            told = errors.read(4000).decode(errors="replace").split("\n")[0]
            reason = re.sub(r"^(\[[^\]]*\] *)+", "", told)[:120] or "no reason given"  # without its parts' addresses
            raise InputError(f"{path}: damaged, or not a video that ffmpeg reads ({reason})")


def _decoding_of(path: Path) -> tuple[list[str], list[str], str]:
    """ffmpeg's options before the file, what makes 8-bit sRGB in square pixels of it, and with alpha or without."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", *_CONTAINERS, "-i", f"file:{path}"]
    told = subprocess.run(command, capture_output=True).stderr.decode(errors="replace")
    vpx = _VPX_ALPHA.search(told)
    depth = [_TO_SRGB] if _HDR.search(told) else [_TO_8_BITS] if _DEEP.search(told) else []
    square = ["scale=iw*sar:ih"] if _OBLONG_PIXELS.search(told) else []
    alpha = bool(vpx or _ALPHA.search(told)) and not _HDR.search(told)
    return ["-c:v", _VPX_DECODERS[vpx[1]]] if vpx else [], [*depth, *square], "rgba" if alpha else "rgb24"


def _next_pam(path: Path, stream: IO[bytes]) -> Image.Image | None:
    """The next picture of a stream of PAM files: P7, lines of a name and a value, ENDHDR, then the pixels.

    None at the stream's end; InputError where it ends within a picture.
    """
    if not stream.readline():  # P7
        return None
    header: dict[bytes, bytes] = {}
    while (line := stream.readline()) != b"ENDHDR\n":
        if not line:
            raise InputError(f"{path}: damaged, or not a video that ffmpeg reads (it breaks off)")
        name, _, value = line.partition(b" ")
        header[name] = value
    width, height, depth = (int(header[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH"))
    check_size(path, (width, height))
    data = stream.read(depth * width * height)
    if len(data) < depth * width * height:
        raise InputError(f"{path}: damaged, or not a video that ffmpeg reads (it breaks off)")
    return Image.frombytes("RGB" if depth == 3 else "RGBA", (width, height), data).convert("RGBA")
