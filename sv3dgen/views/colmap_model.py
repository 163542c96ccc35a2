"""A COLMAP model (cameras and images, binary or text) as the `transforms.json` that would say the same.

Formats: https://colmap.github.io/format.html. Points are not needed: the object's place is told by its masks. Standard
library, and numpy for which way is up.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sv3dgen.errors import InputError

_PLACES = ("sparse/*", "sparse", "colmap/sparse/*", "colmap/sparse")
_PICTURES = ("images", "photos", "rgb")
_PINHOLE, _SIMPLE = ("fl_x", "fl_y", "cx", "cy"), ("fl_x", "cx", "cy")
_MODELS: dict[str, tuple[str, ...]] = {  # the order of COLMAP's numbers for them
    "SIMPLE_PINHOLE": _SIMPLE,
    "PINHOLE": _PINHOLE,
    "SIMPLE_RADIAL": (*_SIMPLE, "k1"),
    "RADIAL": (*_SIMPLE, "k1", "k2"),
    "OPENCV": (*_PINHOLE, "k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": (*_PINHOLE, "k1", "k2", "k3", "k4"),
    "FULL_OPENCV": (*_PINHOLE, "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "FOV": (*_PINHOLE, "omega"),
    "SIMPLE_RADIAL_FISHEYE": (*_SIMPLE, "k1"),
    "RADIAL_FISHEYE": (*_SIMPLE, "k1", "k2"),
}
_NOT_READ = ("FOV",)
_POINT_BYTES = 24  # of a feature in a picture, binary
_LONGEST_NAME = 1000
_SPREAD = 0.02  # of the cameras' right axes, in their second direction: less, and they do not tell which way is up


@dataclass(frozen=True)
class _Image:
    name: str
    camera: int
    rotation: tuple[float, float, float, float]  # world to camera: w, x, y, z
    translation: tuple[float, float, float]


def model_in(folder: Path) -> Path | None:
    """The `images` file of the largest model in a capture's folder or the folder itself; None where there is none."""
    places = [folder, *(model for pattern in _PLACES for model in sorted(folder.glob(pattern)))]
    found = [file for place in places if (file := _images_file(place)) and not _is_list(file, folder)]
    return max(found, key=lambda file: (file.stat().st_size, file.suffix), default=None)


def is_model(file: Path) -> bool:
    """Whether this is one of COLMAP's files of poses, not a json."""
    return file.name in ("images.bin", "images.txt")


def capture_of(images: Path) -> Path:
    """The folder of the capture that a file of cameras belongs to: a model's above sparse/0 or sparse, else its own."""
    model = images.parent
    if not is_model(images) or "sparse" not in (model.name, model.parent.name):
        return model
    above = model.parent if model.name == "sparse" else model.parent.parent
    return above.parent if above.name == "colmap" and not (above / "images").is_dir() else above


def model_document(images: Path) -> dict[str, Any]:
    """What `transforms.json` would hold, with +Y up, and the first picture, by name, as the front.

    InputError for damaged files, lenses that are not read, and cameras that are missing.
    """
    cameras_file = images.with_name(f"cameras{images.suffix}")
    if not cameras_file.is_file():
        raise InputError(f"{images}: no {cameras_file.name} next to it, expected a whole model of COLMAP")
    try:
        cameras = dict(_cameras(cameras_file))
        posed = sorted(_images(images), key=lambda image: image.name)
    except InputError:
        raise
    except (struct.error, ValueError, IndexError, UnicodeDecodeError, OSError, OverflowError):
        raise InputError(f"{images.parent}: a damaged model of COLMAP") from None
    if len(posed) < 2:
        raise InputError(f"{images}: cameras of {len(posed)} photos, expected at least 2")
    missing = next((image for image in posed if image.camera not in cameras), None)
    if missing is not None:
        raise InputError(f"{cameras_file}: no camera {missing.camera}, which {missing.name} was taken with")
    poses = [_camera_to_world(images, image) for image in posed]
    turn, folder = _upright(poses), capture_of(images)
    inside = next((f"{name}/" for name in _PICTURES if (folder / name).is_dir()), "")
    return {
        "up_axis": "y",
        "source_to_world": turn.tolist(),
        "frames": [
            {
                "file_path": inside + image.name,
                "transform_matrix": (turn @ pose).tolist(),
                **cameras[image.camera],
            }
            for image, pose in zip(posed, poses, strict=True)
        ],
    }


def _is_list(file: Path, folder: Path) -> bool:
    """Whether an images.txt among photos is anyone's list of names: no cameras lie next to it."""
    known = (file.with_name(f"cameras.{suffix}").is_file() for suffix in ("bin", "txt"))
    return file == folder / "images.txt" and not any(known)


def _images_file(model: Path) -> Path | None:
    return next((file for suffix in ("bin", "txt") if (file := model / f"images.{suffix}").is_file()), None)


def _cameras(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if file.suffix == ".txt":
        for line in _lines(file):
            if line:
                number, model, width, height, *values = line.split()
                yield int(number), _lens(file, model, int(width), int(height), list(map(float, values)))
        return
    with file.open("rb") as stream:
        for _ in range(_unpacked(stream, "<Q")[0]):
            number, model, width, height = _unpacked(stream, "<iiQQ")
            if not 0 <= model < len(_MODELS):
                raise InputError(f"{file}: camera {number} has lens model {model}; expected one of {_known()}")
            name = list(_MODELS)[model]
            values = list(_unpacked(stream, f"<{len(_MODELS[name])}d"))
            yield number, _lens(file, name, width, height, values)


def _lens(file: Path, model: str, width: int, height: int, values: list[float]) -> dict[str, Any]:
    if model not in _MODELS or model in _NOT_READ:
        raise InputError(f"{file}: lens model {model} is not read; expected one of {_known()} (undistort the images)")
    return {"camera_model": model, "w": width, "h": height, **dict(zip(_MODELS[model], values, strict=True))}


def _known() -> str:
    return ", ".join(name for name in _MODELS if name not in _NOT_READ)


def _images(file: Path) -> Iterator[_Image]:
    if file.suffix == ".txt":
        lines = _lines(file)
        for line in lines:
            if line:  # a second one lists its points, and may be empty
                _, *pose, camera, name = line.split(maxsplit=9)
                yield _image(name, int(camera), list(map(float, pose)))
                next(lines, None)
        return
    with file.open("rb") as stream:
        for _ in range(_unpacked(stream, "<Q")[0]):
            _, *pose, camera = _unpacked(stream, "<I7dI")
            name = bytearray()
            while (letter := _unpacked(stream, "<c")[0]) != b"\0":
                name += letter
                if len(name) > _LONGEST_NAME:
                    raise ValueError
            yield _image(name.decode(), camera, pose)
            stream.seek(_POINT_BYTES * _unpacked(stream, "<Q")[0], 1)


def _image(name: str, camera: int, pose: list[float]) -> _Image:
    w, x, y, z, *translation = pose
    return _Image(name, camera, (w, x, y, z), (translation[0], translation[1], translation[2]))


def _lines(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line.strip()


def _unpacked(stream: IO[bytes], form: str) -> tuple[Any, ...]:
    return struct.unpack(form, stream.read(struct.calcsize(form)))


def _camera_to_world(file: Path, image: _Image) -> Any:
    """4x4, OpenGL's axes."""
    import numpy as np

    quaternion = np.array(image.rotation)
    length = np.linalg.norm(quaternion)
    if not (np.isfinite(length) and length > 0 and np.isfinite(image.translation).all()):
        raise InputError(f"{file}: the pose of {image.name} has values that are not finite, or no rotation")
    w, x, y, z = quaternion / length
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3] = rotation.T * (1, -1, -1)
    pose[:3, 3] = -rotation.T @ np.array(image.translation)
    return pose


def _upright(poses: list[Any]) -> Any:
    """The rotation, 4x4, after which +Y is up and the first camera looks from +Z: as `sfm/upright.py`, before torch.

    Cameras are held level: up is what all their right axes are square to.
    """
    import numpy as np

    axes = np.stack(poses)[:, :3, :3]
    right, mean, backward = axes[:, :, 0], axes[:, :, 1].mean(0), axes[0, :, 2]
    values, vectors = np.linalg.eigh(right.T @ right / len(right))
    up = vectors[:, 0] * np.sign(vectors[:, 0] @ mean) if values[1] > _SPREAD else mean
    up = up / max(np.linalg.norm(up), 1e-9)
    front = backward - (backward @ up) * up  # straight from above it has none, and any will do
    front = front if np.linalg.norm(front) > 1e-3 else np.cross(right[0], up)
    front = front / max(np.linalg.norm(front), 1e-9)
    turn = np.eye(4)
    turn[:3, :3] = [np.cross(up, front), up, front]
    return turn
