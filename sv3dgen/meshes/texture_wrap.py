"""Textures that don't repeat, as textures that do: mirrored ones are doubled, clamped ones are continued."""

import numpy as np
from jaxtyping import Float

MOST_TEXELS = 64_000_000


def as_repeating(
    texels: Float[np.ndarray, "height width channels"], uv: Float[np.ndarray, "uvs 2"], wrap: tuple[str, str]
) -> tuple[Float[np.ndarray, "tall wide channels"], Float[np.ndarray, "uvs 2"]]:
    """Texels and coordinates (u to the right, v down, 0 to 1 over the image) that show the same where they repeat.

    `wrap` says for u and v what lies beyond the image: "repeat", "mirror" or "clamp". A side that no coordinate leaves
    stays as it is. Clamped coordinates beyond 64 megatexels are cut off there.
    """
    uv = uv.copy()
    for axis, way in enumerate(wrap):
        side = 1 - axis  # u runs along the columns
        low, high = (float(uv[:, axis].min()), float(uv[:, axis].max())) if len(uv) else (0.0, 0.0)
        if way == "repeat" or low >= 0 and high <= 1:
            continue
        if way == "mirror":
            texels = np.concatenate([texels, np.flip(texels, side)], axis=side)
            uv[:, axis] /= 2
            continue
        size = texels.shape[side]
        most = max(1, MOST_TEXELS // (2 * texels.shape[1 - side]))
        before, after = (min(most, int(np.ceil(max(0.0, out) * size)) + 1) for out in (-low, high - 1))
        pad = [(0, 0)] * 3
        pad[side] = (before, after)
        texels = np.pad(texels, pad, mode="edge")
        uv[:, axis] = np.clip((uv[:, axis] * size + before) / (size + before + after), 0, 1)
    return texels, uv
