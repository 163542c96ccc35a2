"""Posed views: RGBA pictures of one object with their cameras, read from and written to disk.

A folder holds PNGs and `transforms.json` (fields in `transforms_json.py`). Worlds with +Z up (nerfstudio,
NeRF-synthetic) are turned to +Y up as glTF exporters do: (x, y, z) -> (x, z, -y), so that Blender's front, -Y, becomes
+Z. Objects elsewhere than at the origin, or of another size, are brought into the project's box; `source_to_world`
keeps the way back.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError
from sv3dgen.views.cameras import SV3D_FOV_DEG, Cameras
from sv3dgen.views.kept_views import asked_for, taken
from sv3dgen.views.normalize import apply_similarity, normalize_to_box
from sv3dgen.views.orbit_film import FilmDeclaration, read_film
from sv3dgen.views.orbits import SV3D_DISTANCE, Orbit, OrbitRecipe, elevations_and_azimuths
from sv3dgen.views.posed_folder import pictures_and_cameras
from sv3dgen.views.precheck import holds_cameras, precheck_views, taken_views
from sv3dgen.views.resampling import downscale_rgba
from sv3dgen.views.transforms_json import Frame, Split
from sv3dgen.views.view_files import ViewFiles
from sv3dgen.views.visual_hull import OBJECT_ALPHA

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PosedViews:
    """Pictures (sRGB, straight alpha) with their cameras, and how far they can be trusted.

    All of one size; a view whose own picture is smaller lies enlarged in `images`, and as it is in `small`. A view is a
    photo unless it says that a model made it (`generated`); one of `trust` 0 is not fitted.
    """

    images: UInt8[Tensor, "views 4 height width"]
    cameras: Cameras
    names: tuple[str, ...]  # file names, for messages
    splits: tuple[str, ...]  # train | val | test
    elevation_deg: Float[Tensor, " views"]  # as declared by the file or the orbit, else from the cameras
    azimuth_deg: Float[Tensor, " views"]
    source_to_world: Float[Tensor, "4 4"]  # similarity from the file's world to ours; identity for our own files
    generated: tuple[bool, ...] = ()  # left out: none
    trust: tuple[float, ...] = ()  # in [0, 1]; left out: 1 each
    small: tuple[UInt8[Tensor, "4 _ _"] | None, ...] = ()  # None, and left out: of the size of `images`

    def __post_init__(self) -> None:
        for name, default in (("generated", False), ("trust", 1.0), ("small", None)):
            if not getattr(self, name):
                object.__setattr__(self, name, (default,) * len(self.images))

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitem__(self, index: Int[Tensor, " picked"] | slice) -> "PosedViews":
        positions = torch.arange(len(self))[index]
        picked = positions.tolist()
        return PosedViews(
            self.images[positions],
            self.cameras[positions],
            tuple(self.names[i] for i in picked),
            tuple(self.splits[i] for i in picked),
            self.elevation_deg[positions],
            self.azimuth_deg[positions],
            self.source_to_world,
            tuple(self.generated[i] for i in picked),
            tuple(self.trust[i] for i in picked),
            tuple(self.small[i] for i in picked),
        )

    def to(self, device: torch.device | str) -> "PosedViews":
        """Pictures and cameras on a device; what names and places the views stays on the host."""
        small = tuple(None if image is None else image.to(device) for image in self.small)
        return replace(self, images=self.images.to(device), cameras=self.cameras.to(device), small=small)

    @cached_property
    def rgba(self) -> Float[Tensor, "views 4 height width"]:
        """The images in [0, 1]; made once and kept."""
        return self.images.float() / 255

    @property
    def own_px(self) -> tuple[int, ...]:
        """The longer side of each view's own picture."""
        longer = max(self.images.shape[2:])
        return tuple(longer if image is None else max(image.shape[1:]) for image in self.small)

    @property
    def photos_among_generated(self) -> list[int]:
        """The views that say for certain what the object is: photos of some trust, where other views are generated."""
        kept = zip(self.generated, self.trust, strict=True)
        return [index for index, (made, trust) in enumerate(kept) if not made and trust] if any(self.generated) else []

    @property
    def weighed(self) -> bool:
        """Whether views count differently: some are generated, or are not fully trusted."""
        return any(self.generated) or any(trust < 1 for trust in self.trust)

    @property
    def masks(self) -> Bool[Tensor, "views height width"]:
        """Where there is any of the object, thin parts included."""
        return self.images[:, 3] >= OBJECT_ALPHA * 255

    def resized(self, size_px: int) -> "PosedViews":
        """Scaled down by area, premultiplied, to `size_px` on the longer side; views that are small enough stay."""
        height, width = self.images.shape[2:]
        if max(height, width) <= size_px:
            return self
        scale = size_px / max(height, width)
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
        images = torch.stack([downscale_rgba(image, new_height, new_width) for image in self.images])
        small = tuple(None if image is None or max(image.shape[1:]) >= size_px else image for image in self.small)
        return replace(self, images=images, cameras=self.cameras.resized(new_width, new_height), small=small)


def views_of_orbit(images: UInt8[Tensor, "views 4 height width"], orbit: Orbit, cameras: Cameras) -> PosedViews:
    """Pictures drawn on an orbit in our own world, all to train on, named 000.png, 001.png and so on."""
    return PosedViews(
        images=images,
        cameras=cameras,
        names=tuple(f"{index:03d}.png" for index in range(len(orbit))),
        splits=("train",) * len(orbit),
        elevation_deg=orbit.elevation_deg,
        azimuth_deg=orbit.azimuth_deg,
        source_to_world=torch.eye(4, dtype=torch.float64),
    )


def read_views(
    path: str | Path,
    *,
    split: Split = "train",
    orbit: Orbit | OrbitRecipe | str | None = None,
    elevation_deg: float | int | Literal["auto"] = 10.0,
    fov_deg: float | int = SV3D_FOV_DEG,
    distance: float | int = SV3D_DISTANCE,
    clockwise: bool = False,
    seed: int = 0,
    check_orbit: bool = True,
    max_size_px: int | None = None,
) -> PosedViews:
    """Read a folder, a transforms.json or a video; InputError tells in one line what is wrong with it.

    A video has no cameras: `orbit` (a name, a recipe, or the angles themselves), `elevation_deg` of its last frame,
    `fov_deg` (of the longer side), `distance` and, if azimuths fall, `clockwise` declare them; a folder needs none of
    these. With `check_orbit` they are compared with its silhouettes, and frames are left out or placed as these tell.
    Larger images are scaled down to `max_size_px` as they are read. A missing alpha is keyed from a plain background.
    """
    path = Path(path)
    ready = taken(
        asked_for(
            path,
            split=split,
            orbit=orbit,
            elevation_deg=elevation_deg,
            fov_deg=fov_deg,
            distance=distance,
            clockwise=clockwise,
            seed=seed,
            check_orbit=check_orbit,
            max_size_px=max_size_px,
        )
    )
    if ready is not None:  # read ahead of the run
        return ready
    if path.exists() and holds_cameras(path):
        files = taken_views(path, split)
        views = _read_folder(files, max_size_px)
        placing = _placing_views(files, views, split, max_size_px)
    else:
        precheck_views(path)
        declared = FilmDeclaration(
            orbit=orbit,
            elevation_deg="auto" if elevation_deg == "auto" else float(elevation_deg),
            fov_deg=float(fov_deg),
            distance=float(distance),
            clockwise=clockwise,
            seed=seed,
            checked=check_orbit,
        )
        placing = views = _read_film(path, declared, max_size_px)
    return _normalized(path, views, placing)


def write_views(views: PosedViews, folder: str | Path) -> None:
    """Write `000.png`.. and `transforms.json`, the latter last, so that a folder that has one is complete; an older one
    is removed first.

    Reading the folder gives the same numbers again, bit by bit.
    """
    folder = Path(folder)
    names = [f"{index:03d}.png" for index in range(len(views))]
    (folder / "transforms.json").unlink(missing_ok=True)
    for name, large, small in zip(names, views.images, views.small, strict=True):
        image = large if small is None else small
        with atomic_write(folder / name) as temporary:
            Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(temporary, compress_level=4)
    with atomic_write(folder / "transforms.json") as temporary:
        temporary.write_text(json.dumps(_document(views, names), indent=1), encoding="utf-8")


def _read_folder(files: ViewFiles, max_size_px: int | None) -> PosedViews:
    images, small, cameras, to_world = pictures_and_cameras(files, max_size_px)
    frames = files.transforms.frames
    elevation, azimuth = _angles(frames, cameras)
    return PosedViews(
        images,
        cameras,
        tuple(frame.image.name for frame in frames),
        tuple(frame.split for frame in frames),
        elevation,
        azimuth,
        to_world,
        tuple(frame.generated for frame in frames),
        tuple(frame.trust for frame in frames),
        small,
    )


def _angles(frames: Sequence[Frame], cameras: Cameras) -> tuple[Float[Tensor, " views"], Float[Tensor, " views"]]:
    """Elevation and azimuth as the file declares them; where it does not, from the cameras."""
    elevation, azimuth = elevations_and_azimuths(cameras)
    for index, frame in enumerate(frames):
        elevation[index] = elevation[index] if frame.elevation_deg is None else frame.elevation_deg
        azimuth[index] = azimuth[index] if frame.azimuth_deg is None else frame.azimuth_deg
    return elevation, azimuth


def _read_film(path: Path, declared: FilmDeclaration, max_size_px: int | None) -> PosedViews:
    film = read_film(path, declared, max_size_px)
    return PosedViews(
        film.images,
        film.cameras,
        tuple(f"{path.name}[{index}]" for index in film.frames),
        ("train",) * len(film.frames),
        film.orbit.elevation_deg,
        film.orbit.azimuth_deg,
        torch.eye(4, dtype=torch.float64),
    )


def _placing_views(files: ViewFiles, views: PosedViews, split: Split, max_size_px: int | None) -> PosedViews:
    """The views that decide where the object is: the training views, so that all splits share one world."""
    if split == "train":
        return views
    if split == "all":
        training = [index for index, name in enumerate(views.splits) if name == "train"]
        return views[torch.tensor(training)] if len(training) > 1 else views
    try:
        placing = files.placing()
        return views if placing is None else _read_folder(placing, max_size_px)
    except InputError:  # their pictures can't be read
        return views


def _normalized(path: Path, views: PosedViews, placing: PosedViews) -> PosedViews:
    similarity = normalize_to_box(placing.masks, placing.cameras)
    if similarity is None:
        return views
    scale, shift = float(similarity[0, 0]), ", ".join(f"{value:.3g}" for value in similarity[:3, 3].tolist())
    log.info("%s: the object is moved to the origin at size 1: scaled by %.4g, then moved by (%s)", path, scale, shift)
    cameras = apply_similarity(similarity, views.cameras)
    return replace(views, cameras=cameras, source_to_world=similarity @ views.source_to_world)


def _document(views: PosedViews, names: list[str]) -> dict:
    """`transforms.json` as a dictionary; every frame carries its own intrinsics only where they differ."""
    cameras = views.cameras
    lenses = torch.cat([cameras.focal_px, cameras.center_px], dim=1).tolist()
    keys = ("fl_x", "fl_y", "cx", "cy")
    shared = dict(zip(keys, lenses[0], strict=True)) if all(lens == lenses[0] for lens in lenses) else {}
    document = {**shared, "w": cameras.width_px, "h": cameras.height_px, "camera_model": "PINHOLE", "up_axis": "y"}
    if not torch.equal(views.source_to_world, torch.eye(4, dtype=views.source_to_world.dtype)):
        document["source_to_world"] = views.source_to_world.tolist()
    document["frames"] = [
        {
            "file_path": names[index],
            "split": views.splits[index],
            "elevation_deg": float(views.elevation_deg[index]),
            "azimuth_deg": float(views.azimuth_deg[index]),
            **({"source": "generated"} if views.generated[index] else {}),
            **({"trust": views.trust[index]} if views.trust[index] < 1 else {}),
            **({} if shared else dict(zip(keys, lenses[index], strict=True))),
            "transform_matrix": cameras.camera_to_world[index].tolist(),
        }
        for index in range(len(views))
    ]
    return document
