"""Cameras of photos by structure from motion: COLMAP's, through pycolmap (BSD-3-Clause).

Schoenberger and Frahm, "Structure-from-Motion Revisited", CVPR 2016. SIFT on a CPU, all pairs matched, one lens for all
photos of one size, focal length and one radial coefficient found along with the poses.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.parallel.cores import usable_cores

log = logging.getLogger(__name__)

MOST_FEATURES = 4096  # of a photo
LEAST_SHARE = 0.5  # of the photos, that have to be posed
OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # a camera's axes: y up, looks along -z


@dataclass(frozen=True)
class PosedPhoto:
    """Where a photo was taken from, in a world of any rotation, place and scale; its lens for its own size."""

    name: str
    camera_to_world: Float[Tensor, "4 4"]  # OpenGL axes, float64
    focal_px: float
    center_px: tuple[float, float]
    k1: float  # of SIMPLE_RADIAL
    size_px: tuple[int, int]  # width, height


def reconstruct(
    folder: Path,
    photos: Mapping[str, str],
    *,
    focal_px: float | None = None,
    masks: Path | None = None,
    seed: int = 0,
) -> list[PosedPhoto]:
    """Cameras of the pictures in `folder`, in the order of `photos`, without those that match no other.

    `photos` are the pictures' names, each with what the user calls it.
    `focal_px` is what the photos' metadata say. `masks` is a folder of NAME.png, white where features may lie: for an
    object that was turned in front of a camera that stood still. InputError, naming photos, where too few are posed.
    """
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.FATAL
    names = list(photos)
    sizes = {_size(folder / name) for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / "features.db"
        log.info("photos: looking for features in %d", len(names))
        _extract(pycolmap, database, folder, names, one_lens=len(sizes) == 1, focal_px=focal_px, masks=masks)
        log.info("photos: matching %d pairs", len(names) * (len(names) - 1) // 2)
        _match(pycolmap, database, seed)
        log.info("photos: solving for their cameras")
        options = pycolmap.IncrementalPipelineOptions()
        options.random_seed = options.mapper.random_seed = seed
        options.num_threads = usable_cores()
        options.min_model_size = 3
        options.extract_colors = False
        found = pycolmap.incremental_mapping(database, folder, scratch, options)
    model = max(found.values(), key=lambda candidate: candidate.num_reg_images(), default=None)
    posed = {} if model is None else {image.name: image for image in model.images.values() if image.has_pose}
    missing = [photos[name] for name in names if name not in posed]
    if model is None or len(posed) < LEAST_SHARE * len(names):
        told = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise InputError(
            f"only {len(posed)} of {len(names)} photos match others well enough to find their cameras (not "
            f"{told}); expected sharp photos that overlap, 10 to 20 degrees apart, of an object or ground with texture"
        )
    if missing:
        log.warning("photos: %d of %d match no others, left out: %s", len(missing), len(names), ", ".join(missing))
    log.info("photos: %d posed, mean error %.2f px", len(posed), model.compute_mean_reprojection_error())
    return [_posed_photo(model, posed[name]) for name in names if name in posed]


def _extract(
    pycolmap, database: Path, folder: Path, names: Sequence[str], *, one_lens: bool, focal_px: float | None, masks
) -> None:
    reading, extraction = pycolmap.ImageReaderOptions(), pycolmap.FeatureExtractionOptions()
    reading.camera_model = "SIMPLE_RADIAL"
    if masks is not None:
        reading.mask_path = masks
    if one_lens and focal_px is not None:
        width, height = _size(folder / names[0])
        reading.camera_params = f"{focal_px}, {width / 2}, {height / 2}, 0"
    extraction.sift.max_num_features = MOST_FEATURES
    extraction.use_gpu, extraction.num_threads = False, usable_cores()
    mode = pycolmap.CameraMode.SINGLE if one_lens else pycolmap.CameraMode.PER_IMAGE
    pycolmap.extract_features(
        database,
        folder,
        list(names),
        camera_mode=mode,
        reader_options=reading,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )


def _match(pycolmap, database: Path, seed: int) -> None:
    matching, verification = pycolmap.FeatureMatchingOptions(), pycolmap.TwoViewGeometryOptions()
    matching.use_gpu, matching.num_threads = False, usable_cores()
    verification.ransac.random_seed = seed
    pycolmap.match_exhaustive(
        database, matching_options=matching, verification_options=verification, device=pycolmap.Device.cpu
    )


def _posed_photo(model, image) -> PosedPhoto:
    from_world = np.eye(4)
    from_world[:3] = image.cam_from_world().matrix()
    camera = model.cameras[image.camera_id]
    focal, x, y, k1 = (float(value) for value in camera.params)
    to_world = torch.from_numpy(np.linalg.inv(from_world) @ OPENCV_TO_OPENGL)
    return PosedPhoto(image.name, to_world, focal, (x, y), k1, (int(camera.width), int(camera.height)))


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size
