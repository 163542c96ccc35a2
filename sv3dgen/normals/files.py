"""Normals out of picture files, made by whatever tool."""

import logging
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError
from sv3dgen.normals.source import NormalSource
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.image import open_image
from sv3dgen.views.posed_views import PosedViews

log = logging.getLogger(__name__)

FOLDER = "normals"
LARGE_VIEW_PX = 1024  # views of more are scaled down as they are read
UNIT = (0.5, 1.2)  # lengths that pass for unit: blending and compression shorten, while gray, black and white are out
_FRAME = "OpenGL camera space (x right, y up, z towards the viewer), (n + 1) / 2 * 255"


class NormalFiles(NormalSource):
    """PNGs of the views' names and size, RGB: n = value / 255 * 2 - 1, in OpenGL camera space (x right, y up, z towards
    the viewer), so that a surface that faces the camera is (128, 128, 255).

    They lie in `folder`, or, where that is null, in `normals/` next to the views' transforms.json. What is no unit
    vector (a black, gray or white background) or transparent is unknown.
    """

    missing = f"to give some: a folder {FOLDER}/ next to the views' transforms.json, see docs/normals.md"

    def __init__(self, *, folder: str | None = None) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise InputError(f"normals.folder={folder}: no such folder; expected one with a PNG for each view")
        self.folder = None if folder is None else Path(folder)

    def maps(self, views: PosedViews, folder: Path) -> Float[Tensor, "views height width 3"] | None:
        if self.folder is not None:
            return checked_maps(_named_as(views, self.folder), views)
        if not (folder / FOLDER).is_dir():
            return None
        return checked_maps(_numbered(views, folder / FOLDER), views)

    def bring_along(self, views: PosedViews, given: Path, folder: Path) -> None:
        copy, beside = folder / FOLDER, (given if given.is_dir() else given.parent) / FOLDER
        if copy.resolve() == beside.resolve():  # the run's own views, given again
            return
        shutil.rmtree(copy, ignore_errors=True)  # of an earlier run in this folder
        has_cameras = given.is_dir() or given.suffix == ".json"  # a video's frames have no names
        if self.folder is not None or not has_cameras or not beside.is_dir():
            return
        sources = _named_as(views, beside)
        checked_maps(sources, views)  # before the first copy, so that a message names the user's own file
        for source, target in zip(sources, _numbered(views, copy), strict=True):
            with atomic_write(target) as temporary:
                shutil.copyfile(source, temporary)


def checked_maps(files: list[Path], views: PosedViews) -> Float[Tensor, "views height width 3"]:
    """The normal map of each view; InputError names the first file that is none, or is of another frame."""
    maps = read_maps(files, views)
    upright = 0.0
    for index, (file, normals) in enumerate(zip(files, maps, strict=True)):
        solid = views.images[index, 3] > 127
        known = solid & normals.any(-1)
        if not known.any():
            if solid.any():
                raise InputError(f"{file}: no unit vectors where the view shows the object, expected {_FRAME}")
            continue
        away = _rays(views.cameras, index)[known]
        if float((normals[known] * away).sum(-1).mean()) > 0:
            raise InputError(f"{file}: normals that face away from the camera, expected {_FRAME}")
        upright += float((normals[known][:, 1] * (away[:, 1] - away[:, 1].mean())).sum())
    if upright < 0:  # the upper sides of things face up; a hollow that is looked into is the exception
        log.warning("%s: green seems to point down in these normals, expected %s", files[0].parent, _FRAME)
    return maps


def read_maps(files: list[Path], views: PosedViews) -> Float[Tensor, "views height width 3"]:
    """The files as they are."""
    height, width = views.images.shape[2:]
    return torch.stack([read_normals(file, (width, height)) for file in files])


def read_normals(file: Path, size: tuple[int, int]) -> Float[Tensor, "height width 3"]:
    """One file's normals, unit or zero where unknown; `size` is the view's width and height in px.

    Larger ones are scaled down with the view, which large ones are as they are read.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file, expected the normals of the view of that name")
    with open_image(file) as image:
        if image.mode not in ("RGB", "RGBA"):
            raise InputError(f"{file}: a picture of mode {image.mode}, expected RGB: {_FRAME}")
        large = max(size) >= LARGE_VIEW_PX and image.width > size[0] and image.height > size[1]
        if image.size != size and not (
            large and abs(image.width * size[1] - image.height * size[0]) <= max(image.size)
        ):
            raise InputError(f"{file}: {image.width}x{image.height} pixels, expected {size[0]}x{size[1]} as its view")
        rgba = image.convert("RGBA")
        pixels = torch.from_numpy(np.array(rgba if image.size == size else rgba.resize(size, Image.Resampling.BOX)))
    normals = pixels[..., :3].float() / 255 * 2 - 1
    length = normals.norm(dim=-1, keepdim=True)
    known = (length > UNIT[0]) & (length < UNIT[1]) & (pixels[..., 3:] > 127)
    return torch.where(known, normals / length.clamp_min(UNIT[0]), 0.0)


def write_normals(file: Path, normals: Float[Tensor, "height width 3"]) -> None:
    """Write a map as `read_normals` reads it; what is zero comes out gray, and is read as unknown."""
    pixels = ((normals.clamp(-1, 1) + 1) / 2 * 255).round().byte().cpu().numpy()
    with atomic_write(file) as temporary:
        Image.fromarray(pixels).save(temporary)


def _rays(cameras: Cameras, index: int) -> Float[Tensor, "height width 3"]:
    """Unit directions of one camera's rays, in its own frame."""
    picked = cameras[index : index + 1]
    own = Cameras(torch.eye(4)[None], picked.focal_px, picked.center_px, picked.width_px, picked.height_px)
    return own.rays()[1][0]


def _named_as(views: PosedViews, folder: Path) -> list[Path]:
    """The files of the views' names, with the suffix .png."""
    stems = [Path(name).stem for name in views.names]
    (stem, times), *_ = Counter(stems).most_common(1)
    if times > 1:
        raise InputError(f"{folder}: {times} views are called {stem}, expected views of different names")
    return [folder / f"{stem}.png" for stem in stems]


def _numbered(views: PosedViews, folder: Path) -> list[Path]:
    """The files of the names that `write_views` gives."""
    return [folder / f"{index:03d}.png" for index in range(len(views))]
