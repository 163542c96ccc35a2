"""The ffmpeg that comes with imageio-ffmpeg, for films of kinds that the project does not write."""

import subprocess

import imageio_ffmpeg


def ffmpeg(*arguments, **options):
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, arguments)], check=True, **options
    )
