"""Look up textures at the pixels of a rasterized mesh, filtered so that they neither alias nor blur.

Every face gets one mip level per frame, from the ratio of its areas in the texture and on the screen; between levels
and between texels the lookup is linear (trilinear filtering), and texture coordinates repeat. All colors are linear
light. Several samples per pixel are averaged here, premultiplied, so the large frame is never held in color.
Not differentiable: for training, colors come from the field.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from sv3dgen.kernels.backend import Backend, resolve
from sv3dgen.kernels.rasterizer._texture_numba import shade_numba


@dataclass(frozen=True)
class MipPyramid:
    """Textures of any sizes with all their smaller versions, as one list of texels."""

    texels: Float[Tensor, "texels 3"]  # linear light, rows from the top
    shapes: Int[Tensor, "textures levels 3"]  # first texel, height, width of each level; the last is 1 x 1, repeated

    def level(self, texture: int, level: int) -> Float[Tensor, "3 height width"]:
        """One picture of the pyramid."""
        first, height, width = self.shapes[texture, level].tolist()
        return self.texels[first : first + height * width].reshape(height, width, 3).movedim(2, 0)


def build_pyramid(textures: tuple[Float[Tensor, "3 _ _"], ...], device: torch.device | str = "cpu") -> MipPyramid:
    """Halve linear-light textures on `device`, by averaging areas, until one texel is left."""
    texels: list[Tensor] = []
    rows: list[list[list[int]]] = []
    total = 0
    for texture in textures:
        shapes = []
        while True:
            height, width = texture.shape[1:]
            shapes.append([total, height, width])
            texels.append(texture.movedim(0, 2).reshape(-1, 3).float())
            total += height * width
            if height == width == 1:
                break
            texture = interpolate(texture[None], (max(height // 2, 1), max(width // 2, 1)), mode="area")[0]
        rows.append(shapes)
    deepest = max((len(shapes) for shapes in rows), default=1)
    padded = [shapes + shapes[-1:] * (deepest - len(shapes)) for shapes in rows] or [[[0, 1, 1]]]
    held = torch.cat(texels).to(device) if texels else torch.zeros(1, 3, device=device)
    return MipPyramid(held, torch.tensor(padded, device=device))


@dataclass(frozen=True)
class Appearance:
    """The colors of a mesh in linear light, in the form the lookup needs."""

    uv: Float[Tensor, "uvs 2"]
    uv_faces: Int[Tensor, "faces 3"]
    face_texture: Int[Tensor, " faces"]  # -1: the vertex colors
    pyramid: MipPyramid
    vertex_colors: Float[Tensor, "vertices 3"]
    vertex_light: Float[Tensor, " vertices"]  # irradiance, multiplied onto either
    vertex_tint: Float[Tensor, "vertices 3"] | None = None  # multiplied onto the textures


def shade(
    face_index: Int[Tensor, "views tall wide"],
    clip: Float[Tensor, "views vertices 4"],
    faces: Int[Tensor, "faces 3"],
    appearance: Appearance,
    supersample: int,
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "views height width 4"]:
    """Premultiplied linear color and coverage of pixels of `supersample` x `supersample` samples each."""
    a, (tall, wide) = appearance, face_index.shape[1:]
    levels = torch.stack([face_levels(view, faces, appearance, tall, wide) for view in clip])
    if resolve("rasterizer", backend, clip.device) != "numba":
        views = zip(face_index, clip, levels, strict=True)
        return torch.stack([_shade_reference(*view, faces, appearance, supersample) for view in views])
    out = shade_numba(
        np.ascontiguousarray(face_index.numpy(), dtype=np.int32),
        np.ascontiguousarray(clip.numpy(), dtype=np.float32),
        np.ascontiguousarray(faces.numpy(), dtype=np.int64),
        np.ascontiguousarray(a.uv.numpy(), dtype=np.float32),
        np.ascontiguousarray(a.uv_faces.numpy(), dtype=np.int64),
        np.ascontiguousarray(a.face_texture.numpy(), dtype=np.int64),
        levels.numpy(),
        a.pyramid.texels.contiguous().numpy(),
        np.ascontiguousarray(a.pyramid.shapes.numpy(), dtype=np.int64),
        np.ascontiguousarray(a.vertex_colors.numpy(), dtype=np.float32),
        np.ascontiguousarray(a.vertex_light.numpy(), dtype=np.float32),
        np.zeros((0, 3), np.float32) if a.vertex_tint is None else np.ascontiguousarray(a.vertex_tint.numpy()),
        supersample,
    )
    return torch.from_numpy(out)


def face_levels(
    clip: Float[Tensor, "vertices 4"],
    faces: Int[Tensor, "faces 3"],
    appearance: Appearance,
    height_px: int,
    width_px: int,
) -> Float[Tensor, " faces"]:
    """The mip level at which a texel of each face is about as large as a pixel; 0 is the full texture."""
    screen = clip[:, :2] / clip[:, 3:].clamp_min(1e-6) * (0.5 * clip.new_tensor([width_px, height_px]))
    size = appearance.pyramid.shapes[appearance.face_texture.clamp_min(0), 0]
    texels = doubled_areas(appearance.uv, appearance.uv_faces) * (size[:, 1] * size[:, 2])
    ratio = texels / doubled_areas(screen, faces).clamp_min(1e-6)
    return (0.5 * ratio.clamp_min(1e-6).log2()).clamp(0, appearance.pyramid.shapes.shape[1] - 1).float()


def doubled_areas(points: Float[Tensor, "points 2"], faces: Int[Tensor, "faces 3"]) -> Float[Tensor, " faces"]:
    """Twice the area of flat triangles."""
    a, b, c = points[faces].unbind(1)
    (ux, uy), (vx, vy) = (b - a).unbind(1), (c - a).unbind(1)
    return (ux * vy - uy * vx).abs()


def _shade_reference(
    face_index: Tensor, clip: Tensor, levels: Tensor, faces: Tensor, look: Appearance, supersample: int
) -> Tensor:
    """The definition, sample by sample."""
    height, width = face_index.shape
    row, col = torch.nonzero(face_index >= 0, as_tuple=True)
    face = face_index[row, col].long()
    ndc = torch.stack([2 * (col + 0.5) / width - 1, 1 - 2 * (row + 0.5) / height], -1)
    weights = perspective_weights(clip[faces[face]], ndc)
    color = (weights[..., None] * look.vertex_colors[faces[face]]).sum(1)
    tint = torch.ones_like(color)
    if look.vertex_tint is not None:
        tint = (weights[..., None] * look.vertex_tint[faces[face]]).sum(1)
    uv = (weights[..., None] * look.uv[look.uv_faces[face]]).sum(1)
    for texture in look.face_texture.unique().tolist():
        chosen = look.face_texture[face] == texture
        if texture >= 0:
            found = _trilinear_reference(look.pyramid, texture, uv[chosen], levels[face[chosen]])
            color[chosen] = tint[chosen] * found
    light = (weights * look.vertex_light[faces[face]]).sum(1, keepdim=True)
    frame = clip.new_zeros(height, width, 4)
    frame[row, col] = torch.cat([color * light, torch.ones_like(light)], 1)
    cells = frame.reshape(height // supersample, supersample, width // supersample, supersample, 4)
    return cells.mean(dim=(1, 3))


def perspective_weights(corners: Float[Tensor, "samples 3 4"], ndc: Float[Tensor, "samples 2"]) -> Tensor:
    """Perspective-correct barycentric coordinates of screen points in projected triangles, `samples 3`."""
    x, y = (corners[..., :2] - ndc[:, None] * corners[..., 3:]).unbind(-1)
    weights = x.roll(-1, 1) * y.roll(-2, 1) - x.roll(-2, 1) * y.roll(-1, 1)
    return weights / weights.sum(1, keepdim=True)


def _trilinear_reference(pyramid: MipPyramid, texture: int, uv: Tensor, levels: Tensor) -> Tensor:
    deepest = pyramid.shapes.shape[1] - 1
    color = uv.new_zeros(len(uv), 3)
    for level in range(deepest + 1):
        share = (1 - (levels - level).abs()).clamp_min(0)
        picture = pyramid.level(texture, level)
        wrapped = pad(picture[None], (1, 1, 1, 1), mode="circular")
        height, width = picture.shape[1:]
        x = (uv[:, 0] - uv[:, 0].floor()) * width + 1
        y = (1 - uv[:, 1] - (1 - uv[:, 1]).floor()) * height + 1
        grid = torch.stack([2 * x / (width + 2) - 1, 2 * y / (height + 2) - 1], -1)
        color += share[:, None] * grid_sample(wrapped, grid[None, None], align_corners=False)[0, :, 0].T
    return color
