"""Cameras whose numbers are finite in a file, but none that a picture was ever taken with. Standard library only."""

from collections.abc import Sequence
from statistics import median

from sv3dgen.errors import InputError
from sv3dgen.views.transforms_json import Frame

FARTHEST = 1e6  # in the file's units, from the cameras' middle: float32 has no digits left for the object beyond it
FARTHEST_OFFSET = 1e9  # of all of them, as georeferenced captures have: taken away in float64
LONGEST_FOCAL = 1e6  # in pixels: the object's rays would be parallel
FARTHEST_CENTER = 1e5  # in pixels, of a picture that has at most thousands


def check_cameras(frames: Sequence[Frame]) -> None:
    """Raise InputError for the first frame whose pose or lens can't be meant."""
    middle = [median(frame.camera_to_world[axis][3] for frame in frames) for axis in range(3)] if frames else []
    for frame in frames:
        for row, offset in zip(frame.camera_to_world[:3], middle, strict=True):
            if not abs(row[3]) <= FARTHEST_OFFSET:
                expected = f"expected at most {FARTHEST_OFFSET:g}"
                raise InputError(f"{frame.image}: its camera stands at {row[3]:g}, {expected}")
            if not abs(row[3] - offset) <= FARTHEST:
                found = f"its camera stands {abs(row[3] - offset):g} from the middle of all"
                raise InputError(f"{frame.image}: {found}, expected at most {FARTHEST:g}")
        for key, values, largest in (
            ("focal length", frame.lens.focal_px, LONGEST_FOCAL),
            ("principal point", frame.lens.center_px, FARTHEST_CENTER),
        ):
            for value in values or ():
                if not abs(value) <= largest:
                    raise InputError(f"{frame.image}: its {key} is {value:g} pixels, expected at most {largest:g}")
        for angle in filter(None, frame.lens.angle_rad or ()):
            if angle < 1e-4:
                raise InputError(f"{frame.image}: its field of view is {angle:g}, expected radians of at least 0.0001")
