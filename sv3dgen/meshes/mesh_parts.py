"""The parts of a mesh file: checked, put in their places, and joined into one mesh."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.meshes.textured_mesh import DEFAULT_COLOR, TexturedMesh

LARGEST = 1e6  # coordinates beyond this leave no float32 digits for areas and products


def placed_part(path: Path, part: TexturedMesh, transform: Float[np.ndarray, "4 4"]) -> TexturedMesh:
    """A part (vertices in float64) in world coordinates; where the transform mirrors it, its faces are turned over.

    Raises InputError for face indices out of range, and for coordinates that are not finite or beyond 1e6.
    """
    local, faces = part.vertices.numpy(), part.faces
    if faces.min() < 0 or faces.max() >= len(local):
        raise InputError(f"{path}: a face names vertex {faces.max()}, but there are only {len(local)} vertices")
    broken = int((~np.isfinite(local)).any(axis=1).sum())
    if broken or not np.isfinite(transform).all():
        where = f"{broken} of {len(local)} vertices" if broken else "a node's transform"
        raise InputError(f"{path}: NaN or infinite numbers in {where}, expected finite ones")
    vertices = local @ transform[:3, :3].T + transform[:3, 3]
    if np.abs(vertices).max() > LARGEST:
        raise InputError(f"{path}: coordinates up to {np.abs(vertices).max():.0e}, expected at most {LARGEST:.0e}")
    part = replace(part, vertices=torch.from_numpy(vertices).float())
    if np.linalg.det(transform[:3, :3]) >= 0:
        return part
    uv_faces = None if part.uv_faces is None else part.uv_faces.flip(1)
    return replace(part, faces=faces.flip(1), uv_faces=uv_faces)


def read_texture(image) -> Float[Tensor, "3 height width"]:
    """A PIL image as sRGB in [0, 1]; 16-bit gray is scaled, not clipped; alpha is dropped."""
    if image.mode.startswith("I"):
        gray = np.asarray(image, dtype=np.float32) / 65535
        pixels = np.repeat(gray[..., None], 3, axis=2)
    else:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels).movedim(2, 0).contiguous()


def merge(parts: list[TexturedMesh]) -> TexturedMesh:
    """Several meshes as one; parts without a texture get vertex colors, and shared textures are held once."""
    vertices, faces, uv, uv_faces, face_texture, colors, tints = [], [], [], [], [], [], []
    textures: list[Tensor] = []
    numbers: dict[int, int] = {}  # of the textures, by their identity
    num_vertices = num_uvs = 0
    for part in parts:
        vertices.append(part.vertices)
        faces.append(part.faces + num_vertices)
        gray = torch.full_like(part.vertices, DEFAULT_COLOR)
        colors.append(gray if part.vertex_colors is None else part.vertex_colors)
        tints.append(torch.ones_like(part.vertices) if part.vertex_tint is None else part.vertex_tint)
        part_uv = torch.zeros(1, 2) if part.uv is None else part.uv
        uv.append(part_uv)
        uv_faces.append((torch.zeros_like(part.faces) if part.uv_faces is None else part.uv_faces) + num_uvs)
        for texture in part.textures:
            if id(texture) not in numbers:
                numbers[id(texture)] = len(textures)
                textures.append(texture)
        face_texture.append(renumbered(part, [numbers[id(texture)] for texture in part.textures]))
        num_vertices += len(part.vertices)
        num_uvs += len(part_uv)
    return TexturedMesh(
        torch.cat(vertices),
        torch.cat(faces),
        torch.cat(uv) if textures else None,
        torch.cat(uv_faces) if textures else None,
        tuple(textures),
        torch.cat(face_texture) if textures else None,
        torch.cat(colors),
        torch.cat(tints) if any(part.vertex_tint is not None for part in parts) else None,
    )


def renumbered(part: TexturedMesh, numbers: list[int]) -> Int[Tensor, " faces"]:
    """For each face, the new number of its texture; -1 stays."""
    if part.face_texture is None:
        return torch.full((len(part.faces),), -1, dtype=torch.int64)
    return torch.tensor([*numbers, -1])[part.face_texture]  # -1 is the last
