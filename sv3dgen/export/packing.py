"""Put charts into a square without overlap: a skyline of what is placed, and the tallest chart first.

Each chart is described by its profile: for every texel column it touches, the lowest and highest row. A chart is
dropped onto the skyline where its top ends lowest, with its own underside taken into account (Levy et al. 2002, section
5.2).
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sv3dgen.compiling.kernel import kernel

SCALE_STEPS = 9  # halvings of the search for the largest scale that fits: 1 part in 500
LARGEST_FILL, SMALLEST_FILL = 0.95, 0.1  # share of the square that charts may cover at the two ends of that search


def pack(
    flat: Float[ndarray, "uvs 2"],
    uv_faces: Int[ndarray, "faces 3"],
    chart: Int[ndarray, " faces"],
    area: float,
    size_px: int,
    gutter_px: int,
) -> Float[ndarray, "uvs 2"] | None:
    """Texel coordinates in a `size_px` square, all charts at one scale, at least `gutter_px` empty texels between them.

    None where even the gutters do not fit. `flat` holds each chart's coordinates from its lower left corner, `area`
    their total area in the same unit.
    """
    flat32 = np.ascontiguousarray(flat, dtype=np.float32)
    corners = np.ascontiguousarray(uv_faces, dtype=np.int64)
    owner = np.ascontiguousarray(chart, dtype=np.int64)
    count = int(owner.max()) + 1
    largest = np.zeros((count, 2))
    np.maximum.at(largest, owner, flat32[corners].max(axis=1))
    low, high = np.sqrt(np.array([SMALLEST_FILL, LARGEST_FILL]) / max(area, 1e-12)) * size_px
    found = try_scale(flat32, corners, owner, largest, low, size_px, gutter_px)
    while found is None:
        if largest.max() * low < 1.0:
            return None
        high, low = low, low / 2
        found = try_scale(flat32, corners, owner, largest, low, size_px, gutter_px)
    for _ in range(SCALE_STEPS):
        middle = 0.5 * (low + high)
        placed = try_scale(flat32, corners, owner, largest, middle, size_px, gutter_px)
        if placed is None:
            high = middle
        else:
            low, found = middle, placed
    uv_chart = np.zeros(len(flat), dtype=np.int64)
    uv_chart[corners.reshape(-1)] = np.repeat(owner, 3)
    return flat * low + found[uv_chart] + 0.5 * gutter_px


def try_scale(
    flat: Float[ndarray, "uvs 2"],
    uv_faces: Int[ndarray, "faces 3"],
    chart: Int[ndarray, " faces"],
    largest: Float[ndarray, "charts 2"],
    scale: float,
    size_px: int,
    gutter_px: int,
) -> Int[ndarray, "charts 2"] | None:
    """Lower left texel of every chart at this scale, or None where they don't fit. Half the gutter lies around each
    chart."""
    width = np.floor(largest[:, 0] * scale).astype(np.int64) + 1 + gutter_px
    height = np.floor(largest[:, 1] * scale).astype(np.int64) + 1 + gutter_px
    if width.max() > size_px or height.max() > size_px:
        return None
    first = np.concatenate([[0], np.cumsum(width)])
    bottom, top = profiles(flat, uv_faces, chart, first, np.float32(scale), gutter_px)
    order = np.lexsort((-width, -height))
    corners, fits = drop(order, first, bottom, top, size_px)
    return corners if fits else None


@kernel(nogil=True)
@no_type_check
def profiles(flat, uv_faces, chart, first, scale, gutter):
    """Lowest row and one past the highest row of each chart's columns, grown by half the gutter in every direction."""
    bottom = np.full(first[-1], 1 << 30, dtype=np.int64)
    top = np.zeros(first[-1], dtype=np.int64)
    for face in range(len(uv_faces)):
        begin = first[chart[face]]
        for k in range(3):
            a, b = uv_faces[face, k], uv_faces[face, (k + 1) % 3]
            x0, y0, x1, y1 = flat[a, 0] * scale, flat[a, 1] * scale, flat[b, 0] * scale, flat[b, 1] * scale
            if x0 > x1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            slope = (y1 - y0) / max(x1 - x0, np.float32(1e-9))
            for column in range(int(x0), int(x1) + 1):
                ya = y0 + slope * (max(np.float32(column), x0) - x0)
                yb = y0 + slope * (min(np.float32(column + 1), x1) - x0)
                low, high = max(int(min(ya, yb)), 0), int(max(ya, yb)) + 1
                for spread in range(gutter + 1):
                    at = begin + column + spread
                    if at < first[chart[face] + 1]:
                        bottom[at] = min(bottom[at], low)
                        top[at] = max(top[at], high + gutter)
    return bottom, top


@kernel(nogil=True)
@no_type_check
def drop(order, first, bottom, top, size):
    """Place charts in this order, each at the column where its top ends lowest; False if one leaves the square."""
    sky = np.zeros(size, dtype=np.int64)
    corners = np.zeros((len(order), 2), dtype=np.int64)
    for chart in order:
        begin, width = first[chart], first[chart + 1] - first[chart]
        best_top, best_x, best_y = np.int64(1 << 40), -1, 0
        tallest = 0
        for i in range(width):
            tallest = max(tallest, top[begin + i])
        for x in range(size - width + 1):
            y = 0
            for i in range(width):
                y = max(y, sky[x + i] - bottom[begin + i])
                if y + tallest >= best_top:
                    break
            if y + tallest < best_top:
                best_top, best_x, best_y = y + tallest, x, y
        if best_x < 0 or best_top > size:
            return corners, False
        corners[chart, 0], corners[chart, 1] = best_x, best_y
        for i in range(width):
            sky[best_x + i] = max(sky[best_x + i], best_y + top[begin + i])
    return corners, True


@kernel(nogil=True)
@no_type_check
def hidden_faces(uv, uv_faces, heights, size):
    """Faces of which some texel center lies strictly inside a second face, and which are the lower of the two.

    `uv` in texels, `heights` the order along the chart's axis. Two passes: who is on top of each texel, and who is not.
    """
    on_top = np.full((size, size), -1, dtype=np.int64)
    hidden = np.zeros(len(uv_faces), dtype=np.bool_)
    for second in range(2):
        for face in range(len(uv_faces)):
            ax, ay = uv[uv_faces[face, 0], 0], uv[uv_faces[face, 0], 1]
            bx, by = uv[uv_faces[face, 1], 0], uv[uv_faces[face, 1], 1]
            cx, cy = uv[uv_faces[face, 2], 0], uv[uv_faces[face, 2], 1]
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if abs(area) < 1e-12:
                continue
            for row in range(max(int(min(ay, by, cy)), 0), min(int(max(ay, by, cy)) + 1, size)):
                for col in range(max(int(min(ax, bx, cx)), 0), min(int(max(ax, bx, cx)) + 1, size)):
                    x, y = col + 0.5, row + 0.5
                    u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                    v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                    if u <= 1e-4 or v <= 1e-4 or u + v >= 1 - 1e-4:
                        continue
                    other = on_top[row, col]
                    if second == 1:
                        hidden[face] |= other != face
                    elif other < 0 or heights[face] > heights[other]:
                        on_top[row, col] = face
    return hidden
