"""Texels of the pixels that a mesh covers, on a CPU."""

from typing import no_type_check

import numpy as np
from numba import prange

from sv3dgen.compiling.kernel import kernel


@kernel(parallel=True, fastmath=True)
@no_type_check
def shade_numba(
    face_index,
    clip,
    faces,
    uv,
    uv_faces,
    face_texture,
    levels,
    texels,
    shapes,
    vertex_colors,
    vertex_light,
    vertex_tint,
    supersample,
):
    views, tall, wide = face_index.shape
    height, width = tall // supersample, wide // supersample
    out = np.zeros((views, height, width, 4), np.float32)
    for task in prange(views * height):
        _shade_row(
            task // height,
            task % height,
            face_index,
            clip,
            faces,
            uv,
            uv_faces,
            face_texture,
            levels,
            texels,
            shapes,
            vertex_colors,
            vertex_light,
            vertex_tint,
            supersample,
            out,
        )
    return out


# A loop of threads is compiled twice: what it does stands in a function of its own.
@kernel(fastmath=True)
@no_type_check
def _shade_row(
    view,
    out_row,
    face_index,
    clip,
    faces,
    uv,
    uv_faces,
    face_texture,
    levels,
    texels,
    shapes,
    vertex_colors,
    vertex_light,
    vertex_tint,
    supersample,
    out,
):
    _, tall, wide = face_index.shape
    width = out.shape[2]
    weight = np.float32(1) / np.float32(supersample * supersample)
    for row in range(out_row * supersample, (out_row + 1) * supersample):
        y = np.float32(1 - 2 * (row + 0.5) / tall)
        for col in range(width * supersample):
            face = face_index[view, row, col]
            if face < 0:
                continue
            x = np.float32(2 * (col + 0.5) / wide - 1)
            pixel = out[view, out_row, col // supersample]
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            wa, wb, wc = _perspective_weights(clip[view], a, b, c, x, y)
            light = weight * (wa * vertex_light[a] + wb * vertex_light[b] + wc * vertex_light[c])
            pixel[3] += weight
            if face_texture[face] < 0:
                for k in range(3):
                    tint = wa * vertex_colors[a, k] + wb * vertex_colors[b, k] + wc * vertex_colors[c, k]
                    pixel[k] += light * tint
                continue
            red = green = blue = np.float32(1)
            if len(vertex_tint) > 0:
                red = wa * vertex_tint[a, 0] + wb * vertex_tint[b, 0] + wc * vertex_tint[c, 0]
                green = wa * vertex_tint[a, 1] + wb * vertex_tint[b, 1] + wc * vertex_tint[c, 1]
                blue = wa * vertex_tint[a, 2] + wb * vertex_tint[b, 2] + wc * vertex_tint[c, 2]
            lit = (light * red, light * green, light * blue)
            a, b, c = uv_faces[face, 0], uv_faces[face, 1], uv_faces[face, 2]
            u = wa * uv[a, 0] + wb * uv[b, 0] + wc * uv[c, 0]
            v = 1 - (wa * uv[a, 1] + wb * uv[b, 1] + wc * uv[c, 1])
            level = int(levels[view, face])
            share = levels[view, face] - level
            shape = shapes[face_texture[face]]
            _add_bilinear(pixel, lit, 1 - share, u, v, texels, shape[level])
            if share > 0:
                _add_bilinear(pixel, lit, share, u, v, texels, shape[level + 1])


@kernel(fastmath=True)
@no_type_check
def _perspective_weights(clip, a, b, c, x, y):
    ax, ay = clip[a, 0] - x * clip[a, 3], clip[a, 1] - y * clip[a, 3]
    bx, by = clip[b, 0] - x * clip[b, 3], clip[b, 1] - y * clip[b, 3]
    cx, cy = clip[c, 0] - x * clip[c, 3], clip[c, 1] - y * clip[c, 3]
    wa, wb, wc = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    total = wa + wb + wc
    if total == 0:
        total = np.float32(1)
    return wa / total, wb / total, wc / total


@kernel(fastmath=True)
@no_type_check
def _add_bilinear(pixel, lit, weight, u, v, texels, shape):
    """Add a weighted bilinear lookup at (u, v), v downwards, under colored light, to a pixel."""
    first, height, width = shape[0], shape[1], shape[2]
    x, y = (u - np.floor(u)) * width - np.float32(0.5), (v - np.floor(v)) * height - np.float32(0.5)
    left, top = int(np.floor(x)), int(np.floor(y))
    right_share, low_share = x - left, y - top
    x0, x1, y0, y1 = left % width, (left + 1) % width, top % height, (top + 1) % height
    for k in range(3):
        upper = (
            texels[first + y0 * width + x0, k] * (1 - right_share) + texels[first + y0 * width + x1, k] * right_share
        )
        lower = (
            texels[first + y1 * width + x0, k] * (1 - right_share) + texels[first + y1 * width + x1, k] * right_share
        )
        pixel[k] += lit[k] * weight * (upper * (1 - low_share) + lower * low_share)
