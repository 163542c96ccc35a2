"""A folder of plain photos to posed views: `transforms.json`, the photos upright, and the object's mask of each."""

import json
import logging
from collections.abc import Iterator, Sequence
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
    shows. InputError, in one line, where the photos do not do.
    """
    photos = check_unposed(folder)
    if len(photos) > MOST_USED:
        step = len(photos) / MOST_USED
        photos = [photos[int(index * step)] for index in range(MOST_USED)]
        log.warning("%s: %d photos are taken, spread evenly; more add time only", folder, MOST_USED)
    (out / DOCUMENT).unlink(missing_ok=True)
    for name in ("images", MASKS):
        (out / name).mkdir(parents=True, exist_ok=True)
    names, focal_px = _write_pictures(photos, out / "images")
    masked = _write_masks(photos, names, out, matting)
    if len(masked) < FEWEST:
        raise InputError(f"{folder}: an object was found in {len(masked)} of {len(names)} photos, expected {FEWEST}")
    posed = reconstruct(
        out / "images",
        masked if turned else names,
        focal_px=focal_px,
        masks=out / MASKS if turned else None,
        seed=seed,
    )
    views = [photo for photo in posed if photo.name in set(masked)]
    if len(views) < FEWEST:
        raise InputError(f"{folder}: {len(views)} photos have a camera and an object, expected at least {FEWEST}")
    _fill_false_holes(views, out)
    with atomic_write(out / DOCUMENT) as temporary:
        temporary.write_text(json.dumps(_document(views), indent=1), encoding="utf-8")
    log.info("%s: %d of %d photos are posed, in %s; the front is %s", folder, len(views), len(photos), out, names[0])
    return out


def _write_pictures(photos: Sequence[Path], folder: Path) -> tuple[list[str], float | None]:
    """Upright RGB pictures of at most LONGEST_PX; their names, and a focal length where all metadata say the same."""
    names, lenses = [], set()
    for index, path in enumerate(photos):
        image = read_photo(path).convert("RGB")
        image.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
        lenses.add((image.size, _focal_share(path)))
        names.append(f"{index:03d}.png")
        with atomic_write(folder / names[-1]) as temporary:
            image.save(temporary, compress_level=1)
    (size, share), *others = lenses
    return names, None if others or share is None else share * max(size)


def _focal_share(path: Path) -> float | None:
    """Focal length by the picture's longer side, as its metadata have it."""
    try:
        with Image.open(path) as image:
            focal_mm = image.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_35MM)
    except Exception:  # metadata are damaged in all kinds of ways; they are a help, not needed
        return None
    return float(focal_mm) / _FILM_WIDTH_MM if focal_mm else None


def _write_masks(photos: Sequence[Path], names: Sequence[str], out: Path, matting: Method) -> list[str]:
    """The object's mask of each picture; the names of those that have one."""
    masked, doubts = [], []
    for path, name in zip(photos, names, strict=True):
        with Image.open(out / "images" / name) as image:
            size = image.size
        try:
            with _quiet(MATTING_LOG):
                cutout = cut_out(_scaled(read_photo(path), size), str(path), method=matting)
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
        return  # the masks of one frame are held against each other
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


def _document(posed: Sequence[PosedPhoto]) -> dict:
    poses = torch.stack([photo.camera_to_world for photo in posed])
    poses = upright(poses) @ poses
    return {
        "camera_model": "SIMPLE_RADIAL",
        "up_axis": "y",
        "frames": [
            {
                "file_path": f"images/{photo.name}",
                "mask_path": f"{MASKS}/{photo.name}.png",
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
