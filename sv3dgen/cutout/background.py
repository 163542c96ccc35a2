"""What a photo's background looks like, judged from its border: one to three smooth sheets of color.

A sheet is a polynomial of the position per channel, with the covariance of what it leaves over: a white sweep, a wall
that darkens towards a side, a wall above a table. Colors are sRGB levels, 0 to 255.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

MIN_SHARE = 0.08  # of the border, for a sheet
LEVEL_NOISE = 2.0  # levels that even a perfectly plain background is allowed to vary by (8 bits, JPEG)

_MAX_SAMPLES = 6000
_MAX_SHEETS = 3
_TRIALS = 300
_NEAR_LEVELS = 14.0  # that a border pixel may be off a first guess of its sheet


@dataclass(frozen=True)
class Sheet:
    """A smoothly varying color and how far pixels that show it scatter around it."""

    coefficients: Float[np.ndarray, "terms 3"]
    covariance: Float[np.ndarray, "3 3"]

    def color(self, points: Float[np.ndarray, "*points 2"]) -> Float[np.ndarray, "*points 3"]:
        """Predicted color at positions (x, y) in [-1, 1]."""
        return polynomial_terms(points, len(self.coefficients)) @ self.coefficients

    def distance(
        self, rgb: Float[np.ndarray, "*points 3"], points: Float[np.ndarray, "*points 2"]
    ) -> Float[np.ndarray, "*points"]:
        """Mahalanobis distance of colors from the sheet."""
        return mahalanobis(rgb - self.color(points), self.covariance)

    @property
    def spread(self) -> float:
        """Standard deviation in levels, the mean of the three channels."""
        return float(np.sqrt(np.trace(self.covariance) / 3))


@dataclass(frozen=True)
class Background:
    """The sheets, most common first, and the share of the border that they explain."""

    sheets: tuple[Sheet, ...]
    explained: float


def fit_background(rgb: Float[np.ndarray, "height width 3"], seed: int = 0) -> Background:
    """Sheets that explain the border of an image, by random sampling and then robust least squares.

    After the first, a sheet must fill two corners of the picture, as a table before a wall does: otherwise an object
    that is cut off by the border would be taken for background. Same image and seed, same result.
    """
    generator = np.random.default_rng(seed)
    colors, points, corner = border_samples(rgb, generator)
    free = np.ones(len(colors), dtype=bool)
    sheets: list[Sheet] = []
    for _ in range(_MAX_SHEETS):
        if free.sum() < max(8, MIN_SHARE * len(free)):
            break
        sheet = _fit_sheet(colors[free], points[free], generator)
        inliers = free & (sheet.distance(colors, points) < 4)
        if inliers.sum() < MIN_SHARE * len(free):
            break
        corners_filled = sum(inliers[corner == index].mean() > 0.5 for index in range(4))
        free &= ~inliers
        if not sheets or corners_filled >= 2:
            sheets.append(sheet)
    explained = np.zeros(len(colors), dtype=bool)
    for sheet in sheets:
        explained |= sheet.distance(colors, points) < 4
    return Background(tuple(sheets), float(explained.mean()))


def border_samples(
    rgb: Float[np.ndarray, "height width 3"], generator: np.random.Generator
) -> tuple[Float[np.ndarray, "samples 3"], Float[np.ndarray, "samples 2"], Int[np.ndarray, " samples"]]:
    """Colors and positions of some border pixels, and the corner (0 to 3) that each belongs to, else -1."""
    height, width = rgb.shape[:2]
    band = border_band(height, width)
    rows, columns = np.nonzero(border_mask(height, width, band))
    if len(rows) > _MAX_SAMPLES:
        chosen = np.sort(generator.choice(len(rows), _MAX_SAMPLES, replace=False))
        rows, columns = rows[chosen], columns[chosen]
    top, left = rows < 3 * band, columns < 3 * band
    bottom, right = rows >= height - 3 * band, columns >= width - 3 * band
    corner = np.full(len(rows), -1)
    for index, inside in enumerate((top & left, top & right, bottom & left, bottom & right)):
        corner[inside] = index
    return rgb[rows, columns], positions(height, width)[rows, columns], corner


def border_band(height: int, width: int) -> int:
    """Width in pixels of the strip along the border that counts as background."""
    return max(2, round(0.015 * min(height, width)))


def border_mask(height: int, width: int, band: int) -> Bool[np.ndarray, "height width"]:
    """True on the outermost `band` pixels."""
    mask = np.ones((height, width), dtype=bool)
    mask[band:-band, band:-band] = False
    return mask


def positions(height: int, width: int) -> Float[np.ndarray, "height width 2"]:
    """(x, y) of pixel centers in [-1, 1], y down."""
    y, x = np.meshgrid((np.arange(height) * 2 + 1) / height - 1, (np.arange(width) * 2 + 1) / width - 1, indexing="ij")
    return np.stack([x, y], axis=-1).astype(np.float32)


def polynomial_terms(points: Float[np.ndarray, "*points 2"], terms: int) -> Float[np.ndarray, "*points terms"]:
    """1, x, y, x^2, xy, y^2: the first 1, 3 or 6 of them."""
    x, y = points[..., 0], points[..., 1]
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y][:terms], axis=-1)


def mahalanobis(
    differences: Float[np.ndarray, "*points 3"], covariance: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*points"]:
    """sqrt(d^T C^-1 d)."""
    whitened = differences @ np.linalg.inv(np.linalg.cholesky(covariance)).T.astype(differences.dtype)
    return np.sqrt(np.square(whitened).sum(-1))


def _fit_sheet(
    colors: Float[np.ndarray, "samples 3"], points: Float[np.ndarray, "samples 2"], generator: np.random.Generator
) -> Sheet:
    inliers = _largest_plane(colors, points, generator)
    for _ in range(6):
        # Curvature is only asked of samples that surround the picture; a strip says nothing about the other direction.
        around = all(np.ptp(points[inliers][:, axis]) > 1.8 for axis in range(2))
        coefficients = _least_squares(colors[inliers], points[inliers], 6 if around else 3)
        off = colors - polynomial_terms(points, len(coefficients)) @ coefficients
        size = np.abs(off).max(-1)
        limit = float(np.clip(4 * 1.48 * np.median(size[inliers]), 6.0, 40.0))
        inliers = size < limit
    kept = off[inliers].astype(np.float64)
    covariance = kept.T @ kept / max(1, len(kept)) + LEVEL_NOISE**2 * np.eye(3)
    return Sheet(coefficients, covariance.astype(np.float32))


def _largest_plane(
    colors: Float[np.ndarray, "samples 3"], points: Float[np.ndarray, "samples 2"], generator: np.random.Generator
) -> Bool[np.ndarray, " samples"]:
    """Samples near the constant color or plane, of many through random samples, that has most of them."""
    best, best_score = np.zeros(len(colors), dtype=bool), -1.0
    for trial in range(_TRIALS):
        picked = generator.choice(len(colors), 1 if trial % 2 else 3, replace=False)
        terms = polynomial_terms(points[picked], len(picked))
        if len(picked) == 3 and abs(np.linalg.det(terms)) < 0.2:
            continue  # nearly on a line, or next to each other
        coefficients = np.linalg.solve(terms, colors[picked])
        off = np.abs(colors - polynomial_terms(points, len(picked)) @ coefficients).max(-1)
        score = float(np.maximum(0, 1 - off / _NEAR_LEVELS).sum())
        if score > best_score:
            best, best_score = off < _NEAR_LEVELS, score
    return best


def _least_squares(
    colors: Float[np.ndarray, "samples 3"], points: Float[np.ndarray, "samples 2"], terms: int
) -> Float[np.ndarray, "terms 3"]:
    """A little weight against slopes and curvature decides what the samples leave open."""
    design = polynomial_terms(points, terms).astype(np.float64)
    ridge = 1e-3 * len(design) * np.diag([0.0, 0.1, 0.1, 1, 1, 1][:terms])
    return np.linalg.solve(design.T @ design + ridge, design.T @ colors).astype(np.float32)
