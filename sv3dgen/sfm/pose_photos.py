"""A folder of plain photos to posed views: `transforms.json`, the photos upright, and the object's mask of each."""

import json
import logging
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError
from sv3dgen.photo.matting import Method, cut_out
from sv3dgen.sfm.agreed_masks import without_false_holes
from sv3dgen.sfm.reconstruct import PosedPhoto, reconstruct
from sv3dgen.sfm.upright import upright
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.image import read_photo
from sv3dgen.views.unposed import FEWEST, check_unposed

log = logging.getLogger(__name__)

LONGEST_PX = 1600  # side of a photo: more costs time and finds the same cameras
MOST_USED = 120
DOCUMENT, MASKS = "transforms.json", "masks"
MATTING_LOG = logging.getLogger("sv3dgen.photo.matting")
_FOCAL_35MM, _EXIF_IFD = 0xA405, 0x8769
_FILM_WIDTH_MM = 36.0


def pose_photos(folder: Path, out: Path, *, matting: Method = "auto", turned: bool = False, seed: int = 0) -> Path:
    """Find the cameras of the photos in `folder`; write posed views to `out`, their transforms.json last.

    `turned`: the object was turned in front of a camera that stood still, so only what lies on it counts. The object is
    what `matting` cuts out; photos in which it finds none are left out, and said. The front is what the first photo
    shows. InputError, in one line, where the photos are too few or do not match, or `out` holds anything. `out` is
    whole or not there.
    """
    photos = check_unposed(folder)
    if len(photos) > MOST_USED:
        step = len(photos) / MOST_USED
        photos = [photos[int(index * step)] for index in range(MOST_USED)]
        log.warning("%s: %d photos are taken, spread evenly; more add time only", folder, MOST_USED)
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: not empty; expected a new folder for the posed photos")
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    unfinished.mkdir()
    try:
        front, count = _pose(folder, photos, unfinished, matting, turned=turned, seed=seed)
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log.info("%s: %d of %d photos are posed, in %s; the front is %s", folder, count, len(photos), out, front)
    return out


def _pose(
    folder: Path, photos: Sequence[Path], out: Path, matting: Method, *, turned: bool, seed: int
) -> tuple[str, int]:
    """Fill a folder; the photo that shows the front, and how many are posed."""
    for name in ("images", MASKS):
        (out / name).mkdir()
    names, focal_px = _write_pictures(photos, out / "images")
    originals = dict(zip(names, (path.name for path in photos), strict=True))
    masked = _write_masks(photos, names, out, matting)
    if len(masked) < FEWEST:
        raise InputError(f"{folder}: an object was found in {len(masked)} of {len(names)} photos, expected {FEWEST}")
    asked = masked if turned else names
    masks = out / MASKS if turned else None
    try:
        asked_photos = {name: originals[name] for name in asked}
        posed = reconstruct(out / "images", asked_photos, focal_px=focal_px, masks=masks, seed=seed)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    views = [photo for photo in posed if photo.name in set(masked)]
    if len(views) < FEWEST:
        raise InputError(f"{folder}: {len(views)} photos have a camera and an object, expected at least {FEWEST}")
    _fill_false_holes(views, out)
    with atomic_write(out / DOCUMENT) as temporary:
        temporary.write_text(json.dumps(_document(views, originals), indent=1), encoding="utf-8")
    return originals[views[0].name], len(views)


def _write_pictures(photos: Sequence[Path], folder: Path) -> tuple[list[str], float | None]:
    """Upright RGB pictures of at most LONGEST_PX; their names, and a focal length where all metadata say the same."""
    names, lenses, notes = [], set(), []
    for index, path in enumerate(photos):
        image = read_photo(path, notes).convert("RGB")
        image.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
        lenses.add((image.size, _focal_share(path)))
        names.append(f"{index:03d}.png")
        with atomic_write(folder / names[-1]) as temporary:
            image.save(temporary, compress_level=1)
    for note, count in Counter(notes).items():
        log.info("%s: %d of %d photos: %s", photos[0].parent, count, len(photos), note)
    (size, share), *others = lenses
    return names, None if others or share is None else share * max(size)


def _focal_share(path: Path) -> float | None:
    """Focal length by the picture's longer side, as its metadata have it."""
    try:
        with Image.open(path) as image:
            focal_mm = float(image.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_35MM) or 0)
    except Exception:  # metadata are damaged in all kinds of ways; they are a help, not needed
        return None
    return focal_mm / _FILM_WIDTH_MM if 4 <= focal_mm <= 2000 else None


def _write_masks(photos: Sequence[Path], names: Sequence[str], out: Path, matting: Method) -> list[str]:
    """The object's mask of each picture; the names of those that have one."""
    masked, doubts = [], []
    for path, name in zip(photos, names, strict=True):
        with Image.open(out / "images" / name) as image:
            size = image.size
        try:
            with _quiet(MATTING_LOG):
                photo = read_photo(path, [])  # what is to be said of it is said
                cutout = cut_out(_scaled(photo, size), str(path), method=matting)
        except InputError as error:
            log.warning("%s; the photo is left out", error)
            continue
        doubts += [path.name] if cutout.doubt else []
        alpha = cutout.image.getchannel("A").resize(size, Image.Resampling.BILINEAR)
        with atomic_write(_mask(out, name)) as temporary:
            alpha.save(temporary)
        masked.append(name)
    if doubts:
        told = f"{len(doubts)} of {len(masked)} photos, the first {doubts[0]}"
        log.warning("%s: in %s, two ways to cut the object out differ; look at the masks", out / MASKS, told)
    return masked


def _scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep what is said of each photo to errors for the block."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _mask(out: Path, name: str) -> Path:
    return out / MASKS / f"{name}.png"  # as COLMAP looks for them


def _fill_false_holes(views: Sequence[PosedPhoto], out: Path) -> None:
    if len({photo.size_px for photo in views}) > 1:
        log.info("photos: of several sizes; holes in their masks are not held against each other")
        return
    alphas = np.stack([np.asarray(Image.open(_mask(out, photo.name))) for photo in views])
    width, height = views[0].size_px
    cameras = Cameras(
        torch.stack([photo.camera_to_world for photo in views]).float(),
        torch.tensor([[photo.focal_px] * 2 for photo in views]),
        torch.tensor([photo.center_px for photo in views]),
        width,
        height,
    )
    masks = torch.from_numpy(alphas >= 128)
    filled, count = without_false_holes(masks, cameras)
    for photo, alpha, new in zip(views, alphas, (filled & ~masks).numpy(), strict=True):
        if new.any():
            with atomic_write(_mask(out, photo.name)) as temporary:
                Image.fromarray(np.where(new, 255, alpha).astype(np.uint8)).save(temporary)
    if count:
        log.info("photos: %d holes in masks are filled, which the other photos contradict", count)


def _document(posed: Sequence[PosedPhoto], originals: Mapping[str, str]) -> dict:
    poses = torch.stack([photo.camera_to_world for photo in posed])
    poses = upright(poses) @ poses
    return {
        "camera_model": "SIMPLE_RADIAL",
        "up_axis": "y",
        "frames": [
            {
                "file_path": f"images/{photo.name}",
                "mask_path": f"{MASKS}/{photo.name}.png",
                "original": originals[photo.name],
                "w": photo.size_px[0],
                "h": photo.size_px[1],
                "fl_x": photo.focal_px,
                "fl_y": photo.focal_px,
                "cx": photo.center_px[0],
                "cy": photo.center_px[1],
                "k1": photo.k1,
                "transform_matrix": pose.tolist(),
            }
            for photo, pose in zip(posed, poses, strict=True)
        ],
    }
