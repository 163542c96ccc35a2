"""Lenses that bend lines: points that they see are where a pinhole sees them, once undistorted."""

import math

import numpy as np
import pytest
import torch

from sv3dgen.errors import InputError
from sv3dgen.views.lens import Distortion, read_lens
from sv3dgen.views.undistort import undistorted

FOCAL, CENTER, SIZE = 150.0, (100.0, 78.0), (200, 160)
INTRINSICS = (FOCAL, FOCAL, *CENTER)
POINTS = [(x, y) for x in (-0.45, -0.2, 0.0, 0.3) for y in (-0.35, -0.1, 0.2, 0.4)]  # at depth 1, y down


def opencv(x, y, k1=0.0, k2=0.0, p1=0.0, p2=0.0, k3=0.0, k4=0.0, k5=0.0, k6=0.0):
    """OpenCV's documented formula (camera calibration and 3D reconstruction)."""
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2),
        y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y,
    )


def opencv_fisheye(x, y, k1=0.0, k2=0.0, k3=0.0, k4=0.0):
    r = math.hypot(x, y)
    if r == 0:
        return x, y
    t = math.atan(r)
    bent = t * (1 + k1 * t**2 + k2 * t**4 + k3 * t**6 + k4 * t**8)
    return x * bent / r, y * bent / r


def dots(points):
    """A soft dot, by alpha, at each image point (px)."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    alpha = sum(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for x, y in points) * 255
    image = np.stack([np.full(alpha.shape, 200.0), np.full(alpha.shape, 100.0), np.zeros(alpha.shape), alpha])
    return torch.from_numpy(image.round().clip(0, 255).astype(np.uint8))


def middle(alpha, x, y, reach=7):
    """The center of mass around an image point."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    weight = alpha * (np.maximum(abs(columns - x), abs(rows - y)) < reach)
    return (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()


def in_px(point, zoom=1.0):
    return point[0] * FOCAL * zoom + CENTER[0], point[1] * FOCAL * zoom + CENTER[1]


@pytest.mark.parametrize(
    "model, formula, coefficients",
    [
        ("OPENCV", opencv, {"k1": -0.2, "k2": 0.05, "p1": 0.01, "p2": -0.015}),
        ("OPENCV", opencv, {"k1": 0.15, "k2": -0.02, "k3": 0.01}),
        ("SIMPLE_RADIAL", opencv, {"k1": -0.1}),
        ("FULL_OPENCV", opencv, {"k1": 0.1, "k2": 0.02, "k4": 0.2, "k5": 0.01}),
        ("OPENCV_FISHEYE", opencv_fisheye, {"k1": 0.05, "k2": -0.02, "k3": 0.01}),
        ("OPENCV_FISHEYE", opencv_fisheye, {}),
    ],
)
def test_points_are_where_a_pinhole_sees_them(model, formula, coefficients):
    lens = read_lens("here", {"fl_x": FOCAL, "camera_model": model, **coefficients}, {})
    assert lens.distortion is not None
    image, zoom = undistorted(dots([in_px(formula(*p, **coefficients)) for p in POINTS]), INTRINSICS, lens.distortion)
    alpha = image[3].double().numpy()
    for point in POINTS:
        x, y = in_px(point, zoom)
        assert np.abs(np.subtract(middle(alpha, x, y), (x, y))).max() < 0.1
    shown = image[3] > 100
    assert (image[0][shown].float() - 200).abs().max() <= 3 and (image[1][shown].float() - 100).abs().max() <= 3


def test_less_than_a_tenth_of_a_pixel_changes_no_bit():
    image = dots([in_px(point) for point in POINTS])
    weak = Distortion("perspective", (2e-4, 0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0))
    assert undistorted(image, INTRINSICS, weak)[0] is image


def test_what_the_lens_did_not_see_is_transparent():
    """A pincushion: the pinhole's corners lie outside of the picture."""
    image = torch.full((4, *SIZE[::-1]), 255, dtype=torch.uint8)
    result, _ = undistorted(image, INTRINSICS, Distortion("perspective", (0.3, 0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0)))
    assert (result[3, 70:90, 90:110] == 255).all() and (result[3, :5, :5] == 0).all()


def test_a_formula_that_turns_back_shows_nothing_twice():
    """r - r^3 falls beyond r = 0.58: there the picture would be seen again, mirrored."""
    image = torch.full((4, 400, 400), 255, dtype=torch.uint8)
    lens = Distortion("perspective", (-1.0, 0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0))
    result, _ = undistorted(image, (200.0, 200.0, 200.0, 200.0), lens)
    seen = (result[3, 200] == 255).nonzero()[:, 0]
    assert float(seen.max() - 200) == pytest.approx(200 / 3**0.5, abs=3)


def test_an_object_near_the_edge_of_a_fisheye_stays_in_the_frame():
    distortion = Distortion("fisheye", (0.0,) * 6, (0.0, 0.0))
    image = dots([(170.0, 80.0)])
    result, zoom = undistorted(image, (60.0, 60.0, 100.0, 80.0), distortion)
    assert zoom < 1 and result[3].max() > 100 and not (result[3, :, -1] > 127).any()


def test_a_lens_that_shows_nothing_is_refused():
    image = torch.zeros(4, 16, 16, dtype=torch.uint8)
    with pytest.raises(InputError, match="shows none of its 16x16 pixels"):
        undistorted(
            image, (20.0, 20.0, 9e4, 8.0), Distortion("perspective", (0.1, 0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0))
        )
