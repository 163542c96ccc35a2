"""A camera's lens as `transforms.json` tells it: focal length, center, and how it bends straight lines.

Standard library only. The models are COLMAP's and OpenCV's (https://colmap.github.io/cameras.html).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sv3dgen.errors import InputError
from sv3dgen.views.json_values import has_shape, is_number, optional_number

_PERSPECTIVE = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV")
_FISHEYE = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "FISHEYE")
_COEFFICIENTS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_NERFSTUDIO_ORDER = ("k1", "k2", "k3", "k4", "p1", "p2")  # of its list `distortion_params`
_LENS_KEYS = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y")
_LARGEST = 1e3  # a coefficient beyond is no lens


@dataclass(frozen=True)
class Distortion:
    """Where an ideal ray, at x, y = tan of its angles, r = hypot(x, y), is seen by a real lens.

    perspective: r' = r (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6), and p1, p2 sideways;
    fisheye: r' = t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8) with t = atan r.
    """

    kind: Literal["perspective", "fisheye"]
    k: tuple[float, float, float, float, float, float]
    p: tuple[float, float]


@dataclass(frozen=True)
class Lens:
    """Intrinsics in pixels of a `width_px` x `height_px` frame; None there means the image's own size."""

    focal_px: tuple[float, float] | None
    angle_rad: tuple[float, float | None] | None  # horizontal and vertical field of view, where focal_px is None
    center_px: tuple[float, float] | None
    width_px: int | None
    height_px: int | None
    distortion: Distortion | None = None
    fits_any_size: bool = True  # False: pixels of an unknown size, shared by all frames

    def at_size(self, width_px: int, height_px: int) -> tuple[float, float, float, float]:
        """fl_x, fl_y, cx, cy for an image of this size; another aspect than the lens' own makes pixels not square."""
        own_width, own_height = self.width_px or width_px, self.height_px or height_px
        scale_x, scale_y = width_px / own_width, height_px / own_height
        center = self.center_px or (own_width / 2, own_height / 2)
        if self.focal_px is not None:
            focal = self.focal_px
        else:
            assert self.angle_rad is not None
            focal_x = own_width / 2 / math.tan(self.angle_rad[0] / 2)
            angle_y = self.angle_rad[1]
            focal = (focal_x, own_height / 2 / math.tan(angle_y / 2) if angle_y else focal_x)
        return focal[0] * scale_x, focal[1] * scale_y, center[0] * scale_x, center[1] * scale_y

    def of_size(self, width_px: int, height_px: int) -> "Lens":
        """The same lens with the size written in where it was left open: that of the image, before it is scaled."""
        return replace(self, width_px=self.width_px or width_px, height_px=self.height_px or height_px)


def read_lens(where: str, document: Mapping[str, Any], entry: Mapping[str, Any]) -> Lens:
    """The lens of a frame: its own keys where it has them, else the file's."""
    own = {key: entry[key] for key in entry if key in _LENS_KEYS} | _from_matrix(where, entry)
    shared = {**_from_matrix(where, document), **document}
    if "fl_x" in own and "fl_x" in shared:
        shared.pop("fl_y", None)  # of another lens
    both = shared | own
    number = {key: optional_number(where, both, key) for key in _LENS_KEYS}
    for key in ("fl_x", "fl_y", "w", "h", "camera_angle_x", "camera_angle_y"):
        value = number[key]
        if value is not None and not value > 0:
            raise InputError(f"{where}: `{key}` is {value:g}, expected more than 0")
        if value is not None and "angle" in key and value >= math.pi:
            raise InputError(f"{where}: `{key}` is {value:g}, expected radians below pi (is it in degrees?)")
    if number["fl_x"] is None and number["camera_angle_x"] is None:
        raise InputError(f"{where} has no field of view, expected `camera_angle_x` (radians) or `fl_x` (pixels)")
    fl_x, angle_x = number["fl_x"], number["camera_angle_x"]
    center = None if number["cx"] is None or number["cy"] is None else (number["cx"], number["cy"])
    return Lens(
        focal_px=None if fl_x is None else (fl_x, number["fl_y"] or fl_x),
        angle_rad=None if angle_x is None else (angle_x, number["camera_angle_y"]),
        center_px=center,
        width_px=None if number["w"] is None else round(number["w"]),
        height_px=None if number["h"] is None else round(number["h"]),
        distortion=_distortion(where, document, entry),
        fits_any_size=fl_x is None or number["w"] is not None or "fl_x" in own,
    )


def check_model(where: Path | str, entry: Mapping[str, Any]) -> None:
    """Refuse cameras of other kinds than a lens in front of a plane: panoramas, orthographic ones."""
    model = entry.get("camera_model")
    if model is not None and (not isinstance(model, str) or _model(model) not in _PERSPECTIVE + _FISHEYE):
        raise InputError(
            f"{where}: `camera_model` is {model!r}, expected one of {', '.join(_PERSPECTIVE + _FISHEYE[:3])}"
        )


def _model(name: str) -> str:
    """A camera model as COLMAP spells it."""
    return name.upper().replace("-", "_").replace(" ", "_")


def _from_matrix(where: str, entry: Mapping[str, Any]) -> dict[str, float]:
    """fl_x, fl_y, cx, cy of an `intrinsic_matrix` of 3 or 4 rows (NeuS2)."""
    matrix = entry.get("intrinsic_matrix")
    if matrix is None:
        return {}
    if not has_shape(matrix, (3, 4), (3, 4)):
        raise InputError(f"{where}: `intrinsic_matrix` is not 3 rows of 3 numbers (or 4 of 4)")
    if abs(matrix[0][1]) > 1e-3 * abs(matrix[0][0]):
        raise InputError(f"{where}: `intrinsic_matrix` has a skew of {matrix[0][1]:g}, expected 0")
    return {"fl_x": matrix[0][0], "fl_y": matrix[1][1], "cx": matrix[0][2], "cy": matrix[1][2]}


def _distortion(where: str, document: Mapping[str, Any], entry: Mapping[str, Any]) -> Distortion | None:
    """None for a pinhole."""
    both = {**_from_list(where, document), **document, **_from_list(where, entry), **entry}
    model = _model(both.get("camera_model") or document.get("camera_model") or "OPENCV")
    value = {key: optional_number(where, both, key) or 0.0 for key in _COEFFICIENTS}
    for key, number in value.items():
        if abs(number) > _LARGEST:
            raise InputError(f"{where}: lens distortion `{key}`={number:g}, expected a coefficient near 0")
    k = tuple(value[f"k{index}"] for index in range(1, 7))
    fisheye = model in _FISHEYE or bool(both.get("is_fisheye"))
    unused = () if model == "FULL_OPENCV" else ("k5", "k6") if fisheye else ("k4", "k5", "k6")
    for key in unused:
        # Some programs mean r^8 by k4, others a denominator.
        if value[key]:
            raise InputError(
                f"{where}: lens distortion `{key}`={value[key]:g}, expected 0 with `camera_model` {model}; "
                "undistort the images first"
            )
    if not fisheye and not any(value.values()):
        return None
    kind: Literal["perspective", "fisheye"] = "fisheye" if fisheye else "perspective"
    return Distortion(kind, (k[0], k[1], k[2], k[3], k[4], k[5]), (value["p1"], value["p2"]))


def _from_list(where: str, entry: Mapping[str, Any]) -> dict[str, float]:
    listed = entry.get("distortion_params")
    if listed is None:
        return {}
    if not isinstance(listed, list) or len(listed) != 6 or not all(map(is_number, listed)):
        raise InputError(f"{where}: `distortion_params` is not a list of {', '.join(_NERFSTUDIO_ORDER)}")
    return dict(zip(_NERFSTUDIO_ORDER, listed, strict=True))
