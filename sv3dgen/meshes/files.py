"""Read meshes from files, and check what the reader does not.

GLB and glTF keep their frame (+Y up, metres), OBJ and PLY are taken to be in the same frame. Scenes are merged into one
mesh, node transforms applied. Colours come out in sRGB: base colour textures times their factor, vertex colours, or one
base colour for each material. All other material properties are ignored.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sv3dgen.color import linear_to_srgb, srgb_to_linear
from sv3dgen.errors import InputError
from sv3dgen.meshes.precheck import precheck_mesh
from sv3dgen.meshes.textured_mesh import DEFAULT_COLOR, TexturedMesh

LARGEST = 1e6  # coordinates beyond this leave no float32 digits for areas and products


def read_mesh(path: str | Path) -> TexturedMesh:
    """The one mesh that a GLB, glTF, OBJ (with its MTL and images) or PLY file holds.

    Raises InputError, in one line that names the file, if it is missing, unreadable, empty, or broken: no faces,
    indices out of range, coordinates that are not finite or beyond 1e6, no extent. Faces without area are kept: they
    draw nothing.
    """
    path = Path(path)
    precheck_mesh(path)
    parts = []
    for geometry, transform in load_parts(path):
        if len(geometry.faces):
            parts.append(to_textured(path, geometry, transform))
    if not parts:
        raise InputError(f"{path}: holds no triangles, expected a mesh")
    mesh = merge(parts)
    extent = float((mesh.vertices[mesh.faces.reshape(-1)].max(0).values - mesh.vertices.min(0).values).max())
    if not extent > 0:
        raise InputError(f"{path}: all vertices lie in one point, expected a mesh with an extent")
    return mesh


def load_parts(path: Path) -> list[tuple]:
    """Every trimesh geometry in the file with its world transform."""
    import trimesh  # slow, and not needed before the path has been checked

    logger = logging.getLogger("trimesh")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # its warnings would stand beside our one line
    try:
        scene = trimesh.load_scene(path, process=False)
        placed = [
            (scene.geometry[name], transform) for transform, name in map(scene.graph.get, scene.graph.nodes_geometry)
        ]
        return [(geometry, transform) for geometry, transform in placed if isinstance(geometry, trimesh.Trimesh)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # the readers behind trimesh raise whatever the broken bytes lead to
        reason = (str(error).splitlines() or [""])[0][:100] or type(error).__name__
        raise InputError(f"{path}: not a readable {path.suffix[1:].upper()} mesh ({reason})") from error
    finally:
        logger.setLevel(level)


def to_textured(path: Path, geometry, transform: np.ndarray) -> TexturedMesh:
    """One trimesh geometry as tensors, in world coordinates."""
    local, faces = np.asarray(geometry.vertices, dtype=np.float64), np.asarray(geometry.faces, dtype=np.int64)
    if faces.min() < 0 or faces.max() >= len(local):
        raise InputError(f"{path}: a face names vertex {faces.max()}, but there are only {len(local)} vertices")
    broken = int((~np.isfinite(local)).any(axis=1).sum())
    if broken or not np.isfinite(transform).all():
        where = f"{broken} of {len(local)} vertices" if broken else "a node's transform"
        raise InputError(f"{path}: NaN or infinite numbers in {where}, expected finite ones")
    vertices = local @ transform[:3, :3].T + transform[:3, 3]
    if np.abs(vertices).max() > LARGEST:
        raise InputError(f"{path}: coordinates up to {np.abs(vertices).max():.0e}, expected at most {LARGEST:.0e}")
    if np.linalg.det(transform[:3, :3]) < 0:
        faces = faces[:, ::-1]
    mesh = TexturedMesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces.copy()))
    return with_colors(mesh, geometry.visual, path.suffix.lower() in (".glb", ".gltf"))


def with_colors(mesh: TexturedMesh, visual, is_gltf: bool) -> TexturedMesh:
    """Attach what trimesh found: a texture, vertex colours or a base colour. glTF's factors and vertex colours are
    linear."""
    face_texture = torch.zeros(len(mesh.faces), dtype=torch.int64)
    if visual is None or not visual.defined:
        return mesh
    if visual.kind == "texture":
        uv = getattr(visual, "uv", None)
        texture = material_texture(
            visual.material, is_gltf, with_image=uv is not None and len(uv) == len(mesh.vertices)
        )
        if texture is None:
            return mesh
        if texture.shape[1:] == (1, 1):
            uv = np.zeros((len(mesh.vertices), 2))
        coordinates = torch.nan_to_num(torch.from_numpy(np.array(uv, dtype=np.float32)), posinf=0.0, neginf=0.0)
        return TexturedMesh(mesh.vertices, mesh.faces, coordinates, mesh.faces, (texture,), face_texture)
    colors = torch.from_numpy(np.array(visual.vertex_colors[:, :3], dtype=np.float32)) / 255
    colors = linear_to_srgb(colors) if is_gltf else colors
    return TexturedMesh(mesh.vertices, mesh.faces, vertex_colors=colors)


def material_texture(material, is_gltf: bool, with_image: bool) -> Float[Tensor, "3 height width"] | None:
    """A material's base colour as an sRGB image: the texture times its factor, or one texel of plain colour."""
    image = getattr(material, "baseColorTexture" if is_gltf else "image", None)
    factor = getattr(material, "baseColorFactor" if is_gltf else "diffuse", None)
    if factor is not None:
        factor = np.asarray(factor)
        scale = 255.0 if factor.dtype.kind in "ui" else 1.0
        factor = torch.from_numpy(factor.astype(np.float32) / scale)[:3].reshape(3, 1, 1).clamp(0, 1)
    if image is not None and with_image:
        texture = read_texture(image)
        # Many OBJ writers leave Kd at black or grey beside map_Kd, so only glTF's factor counts.
        if is_gltf and factor is not None and bool((factor != 1).any()):
            texture = linear_to_srgb(srgb_to_linear(texture) * factor)
        return texture
    if factor is None:
        return torch.ones(3, 1, 1) if is_gltf else None
    return linear_to_srgb(factor) if is_gltf else factor


def read_texture(image) -> Float[Tensor, "3 height width"]:
    """A PIL image as sRGB in [0, 1]; 16-bit grey is scaled, not clipped; alpha is dropped."""
    if image.mode.startswith("I"):
        grey = np.asarray(image, dtype=np.float32) / 65535
        pixels = np.repeat(grey[..., None], 3, axis=2)
    else:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels).movedim(2, 0).contiguous()


def merge(parts: list[TexturedMesh]) -> TexturedMesh:
    """Several meshes as one; parts without a texture get vertex colours."""
    vertices, faces, uv, uv_faces, face_texture, colors = [], [], [], [], [], []
    textures: list[Tensor] = []
    num_vertices = num_uvs = 0
    for part in parts:
        vertices.append(part.vertices)
        faces.append(part.faces + num_vertices)
        grey = torch.full_like(part.vertices, DEFAULT_COLOR)
        colors.append(grey if part.vertex_colors is None else part.vertex_colors)
        part_uv = torch.zeros(1, 2) if part.uv is None else part.uv
        uv.append(part_uv)
        uv_faces.append((torch.zeros_like(part.faces) if part.uv_faces is None else part.uv_faces) + num_uvs)
        face_texture.append(shifted_textures(part, len(textures)))
        textures.extend(part.textures)
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
    )


def shifted_textures(part: TexturedMesh, first: int) -> Int[Tensor, " faces"]:
    """The part's texture numbers when `first` others stand before them; -1 stays."""
    if part.face_texture is None:
        return torch.full((len(part.faces),), -1, dtype=torch.int64)
    return torch.where(part.face_texture >= 0, part.face_texture + first, -1)


def fit_unit_box(mesh: TexturedMesh) -> TexturedMesh:
    """The mesh moved and scaled so that its bounding box is centred on the origin and its longest side is 1."""
    used = mesh.vertices[mesh.faces.reshape(-1)]
    low, high = used.min(0).values, used.max(0).values
    return replace(mesh, vertices=(mesh.vertices - 0.5 * (low + high)) / (high - low).max())
