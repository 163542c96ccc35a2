"""A guess at the object before a busy background, from colors alone.

The idea of GrabCut (Rother et al., SIGGRAPH 2004), two mixtures of colors refined in turn with the labels, with a
random walker in place of the cut. Colors are sRGB levels, 0 to 255.
"""

import numpy as np
from jaxtyping import Float

from sv3dgen.cutout.background import border_mask, mahalanobis, positions
from sv3dgen.cutout.masks import with_holes_filled
from sv3dgen.cutout.random_walker import random_walker


class ColorMixture:
    """A few Gaussians in color space."""

    def __init__(
        self,
        means: Float[np.ndarray, "parts 3"],
        covariances: Float[np.ndarray, "parts 3 3"],
        weights: Float[np.ndarray, " parts"],
    ) -> None:
        self.means, self.covariances, self.weights = means, covariances, weights

    @classmethod
    def fitted(cls, colors: Float[np.ndarray, "samples 3"], parts: int = 5, rounds: int = 10) -> "ColorMixture":
        """k-means, started along the widest direction of the colors, then one covariance per cluster."""
        samples = colors[:: max(1, len(colors) // 5000)].astype(np.float64)
        if len(samples) < parts:
            samples = np.full((parts, 3), 127.0)
        centered = samples - samples.mean(0)
        widest = np.linalg.svd(centered, full_matrices=False)[2][0]
        order = np.argsort(centered @ widest, kind="stable")
        means = np.stack([chunk.mean(0) for chunk in np.array_split(samples[order], parts)])
        label = np.zeros(len(samples), dtype=int)
        for _ in range(rounds):
            label = np.square(samples[:, None] - means).sum(-1).argmin(1)
            means = np.stack([samples[label == k].mean(0) if (label == k).any() else means[k] for k in range(parts)])
        covariances = np.stack(
            [np.cov(samples[label == k].T) if (label == k).sum() > 3 else np.zeros((3, 3)) for k in range(parts)]
        )
        weights = np.bincount(label, minlength=parts) / len(label)
        return cls(means, covariances + 16 * np.eye(3), weights)

    def log_density(self, rgb: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points"]:
        """Natural logarithm of the density, up to the constant 1.5 log(2 pi)."""
        parts = []
        for mean, covariance, weight in zip(self.means, self.covariances, self.weights, strict=True):
            log_weight = np.log(weight + 1e-6) - 0.5 * np.linalg.slogdet(covariance)[1]
            parts.append(log_weight - 0.5 * np.square(mahalanobis(rgb - mean, covariance)))
        return np.logaddexp.reduce(parts, axis=0)


def segment_by_colors(
    rgb: Float[np.ndarray, "height width 3"], iterations: int = 4
) -> Float[np.ndarray, "height width"]:
    """Probability of object. The border starts as background, the middle as object; it can fail."""
    height, width = rgb.shape[:2]
    radius = np.abs(positions(height, width)).max(-1)
    inside = 1 / (1 + np.exp(12 * (radius - 0.75)))
    place = np.log(inside / (1 - inside)).clip(-2, 2)
    band = border_mask(height, width, max(2, min(height, width) // 25))
    probability = np.where(radius < 0.6, 0.9, 0.1).astype(np.float32)
    for _ in range(iterations):
        objects = ColorMixture.fitted(rgb[probability > 0.5])
        others = ColorMixture.fitted(rgb[(probability <= 0.5) | band])
        evidence = objects.log_density(rgb) - others.log_density(rgb) + place
        prior = 1 / (1 + np.exp(-evidence.clip(-8, 8)))
        sureness = 0.1 * np.square(2 * prior - 1) + 0.003
        prior, sureness = np.where(band, 0.0, prior), np.where(band, 0.3, sureness)
        probability = random_walker(rgb, prior, sureness)
        if not 0.002 < (probability > 0.5).mean() < 0.98:
            break
    return np.maximum(probability, with_holes_filled(probability > 0.5)).astype(np.float32)
