"""The triangles of one glTF primitive, morphed and skinned as the scene stands (glTF 2.0, section 3.7)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from sv3dgen.errors import InputError
from sv3dgen.meshes.gltf.accessors import Attributes, read_accessor
from sv3dgen.meshes.gltf.file import GltfFile

TRIANGLES, STRIP, FAN = 4, 5, 6


@dataclass(frozen=True)
class Primitive:
    """Triangles in their mesh's frame, or in the world's where a skin has moved them."""

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    uv: Float[np.ndarray, "vertices 2"] | None  # v downwards, as stored
    colors: Float[np.ndarray, "vertices 4"] | None  # linear light and alpha


def read_primitive(
    file: GltfFile,
    primitive: dict,
    *,
    tex_coord: int,
    weights: tuple[float, ...] = (),
    joints: Float[np.ndarray, "joints 4 4"] | None = None,
) -> Primitive:
    """A primitive of triangles with its texture coordinates number `tex_coord`.

    Raises InputError where a skin names joints that are not there, or arrays differ in length.
    """
    attributes = Attributes(file, primitive)
    vertices = np.asarray(_morphed(file, attributes, primitive, "POSITION", weights))
    names = {"uv": f"TEXCOORD_{tex_coord}", "colors": "COLOR_0"}
    others = {
        key: _morphed(file, attributes, primitive, name, weights) if name in attributes else None
        for key, name in names.items()
    }
    for key, array in others.items():
        if array is not None and len(array) != len(vertices):
            raise InputError(f"{file.path}: {len(array)} rows of {names[key]} for {len(vertices)} vertices")
    faces = triangles(attributes.indices(len(vertices)), primitive.get("mode", TRIANGLES))
    colors = others["colors"]
    if colors is not None and colors.dtype.kind in "ui":  # some writers forget to say that these are fractions
        colors = colors.astype(np.float32) / np.iinfo(colors.dtype).max
    if colors is not None:
        alpha = colors[:, 3:] if colors.shape[1] == 4 else np.ones((len(colors), 1), dtype=colors.dtype)
        colors = np.clip(np.concatenate([colors[:, :3], alpha], axis=1), 0, 1)
    if joints is not None and "JOINTS_0" in attributes:
        vertices = skinned(file, attributes, vertices, joints)
    return Primitive(vertices, faces, others["uv"], colors)


def triangles(indices: Int[np.ndarray, " corners"], mode: int) -> Int[np.ndarray, "faces 3"]:
    """Corners in drawing order as triangles, all wound alike."""
    if mode == TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros((0, 3), dtype=np.int64)
    if mode == FAN:
        return np.stack([np.full(len(indices) - 2, indices[0]), indices[1:-1], indices[2:]], axis=1)
    strip = np.stack([indices[:-2], indices[1:-1], indices[2:]], axis=1)
    strip[1::2, 1:] = strip[1::2, :0:-1]
    return strip


def skinned(
    file: GltfFile,
    attributes: Attributes,
    vertices: Float[np.ndarray, "vertices 3"],
    joints: Float[np.ndarray, "joints 4 4"],
) -> Float[np.ndarray, "vertices 3"]:
    """The vertices moved by their joints; weights that don't add up to one are scaled."""
    moved, total, number = np.zeros((len(vertices), 3)), np.zeros(len(vertices)), 0
    points = np.concatenate([vertices, np.ones((len(vertices), 1))], axis=1)
    while f"JOINTS_{number}" in attributes:
        named = attributes[f"JOINTS_{number}"].astype(np.int64)
        shares = attributes[f"WEIGHTS_{number}"].astype(np.float64)
        if len(named) and named[shares > 0].max(initial=0) >= len(joints):
            raise InputError(f"{file.path}: a vertex names joint {named.max()}, but the skin has {len(joints)}")
        for joint, share in zip(named.T, shares.T, strict=True):
            matrix = joints[np.minimum(joint, len(joints) - 1), :3]
            moved += share[:, None] * np.einsum("vij,vj->vi", matrix, points)
            total += share
        number += 1
    return np.where(total[:, None] > 0, moved / np.maximum(total, 1e-12)[:, None], vertices)


def _morphed(
    file: GltfFile, attributes: Attributes, primitive: dict, name: str, weights: tuple[float, ...]
) -> np.ndarray:
    """An attribute with its morph targets added, as much of each as the weights say."""
    values = attributes[name]
    for weight, target in zip(weights, primitive.get("targets", []), strict=False):
        if weight != 0 and name in target:
            values = values + weight * read_accessor(file, target[name]).astype(np.float64)
    return values
