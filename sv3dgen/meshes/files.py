"""Read meshes from files, and check what the reader does not.

GLB and glTF keep their frame (+Y up, meters), all others are taken to be in the same frame. Scenes are merged into one
mesh, node transforms applied. Colors come out in sRGB: base color textures times their factor, vertex colors, or one
base color for each material. All other material properties are ignored. What is read of each format, and what is
refused, stands in docs/inputs.md.
"""

import io
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.meshes.dialects import in_trimesh_words, ply_vertex_colors
from sv3dgen.meshes.gltf.reader import read_gltf
from sv3dgen.meshes.mesh_3mf import read_3mf
from sv3dgen.meshes.mesh_parts import merge, placed_part, read_texture
from sv3dgen.meshes.mesh_pictures import check_pictures, opened_only
from sv3dgen.meshes.precheck import COLORLESS, is_gltf, precheck_mesh, what_else
from sv3dgen.meshes.texture_wrap import as_repeating
from sv3dgen.meshes.textured_mesh import TexturedMesh

log = logging.getLogger(__name__)


def read_mesh(path: str | Path) -> TexturedMesh:
    """The one mesh that a GLB, glTF, VRM, OBJ (with its MTL and images), PLY, STL, OFF or 3MF file holds.

    Raises InputError, in one line that names the file, if it is missing, unreadable, empty, or broken: no faces,
    indices out of range, coordinates that are not finite or beyond 1e6, no extent. Faces without area are kept: they
    draw nothing.
    """
    path = Path(path)
    precheck_mesh(path)
    suffix = path.suffix.lower()
    read = read_gltf if is_gltf(path) else read_3mf if suffix == ".3mf" else read_by_trimesh
    parts = read(path)
    if suffix in COLORLESS and read is not read_gltf:
        log.info("%s: %s files are read without colors", path, suffix[1:].upper())
    if not parts:
        raise InputError(f"{path}: holds no triangles{what_else(path)}, expected a mesh")
    mesh = merge(parts)
    extent = float((mesh.vertices[mesh.faces.reshape(-1)].max(0).values - mesh.vertices.min(0).values).max())
    if not extent > 0:
        raise InputError(f"{path}: all vertices lie in one point, expected a mesh with an extent")
    return mesh


def read_by_trimesh(path: Path) -> list[TexturedMesh]:
    """The parts of an OBJ, PLY, STL or OFF file."""
    from sv3dgen.meshes.obj_assets import NearbyAssets, obj_vertex_colors  # imports trimesh, which is slow

    assets = NearbyAssets(path)
    loaded = [(geometry, transform) for geometry, transform in load_parts(path, assets) if len(geometry.faces)]
    suffix = path.suffix.lower()
    listed = obj_vertex_colors(path) if suffix == ".obj" else None
    numbers = ply_vertex_colors(path) if suffix == ".ply" else None
    parts = []
    for geometry, transform in loaded:
        local, faces = np.asarray(geometry.vertices, dtype=np.float64), np.asarray(geometry.faces, dtype=np.int64)
        if local.ndim != 2 or local.shape[1] != 3 or faces.shape[1] != 3:
            found = f"vertices of {local.shape[-1]}, faces of {faces.shape[-1]} numbers"
            raise InputError(f"{path}: {found}, expected 3 each")
        if suffix == ".stl" and np.isfinite(local).all():  # its corners are written for each face anew
            local, same = np.unique(local, axis=0, return_inverse=True)
            faces = same.reshape(-1)[faces]
        part = TexturedMesh(torch.from_numpy(local.copy()), torch.from_numpy(faces.copy()))
        part = with_colors(part, geometry.visual, assets)
        if numbers is not None and len(numbers) == len(local) and not part.textures:
            part = TexturedMesh(part.vertices, part.faces, vertex_colors=torch.from_numpy(numbers).float())
        if suffix == ".ply" and part.vertex_colors is None and not part.textures:
            tell_unread_colors(path)
        if listed is not None and all(texture.shape[1:] == (1, 1) for texture in part.textures):
            part = TexturedMesh(part.vertices, part.faces, vertex_colors=colors_at(local, *listed))
        parts.append(placed_part(path, part, transform))
    return parts


def load_parts(path: Path, assets) -> list[tuple]:
    """Every trimesh geometry in the file with its world transform."""
    import trimesh  # slow, and not needed before the path has been checked

    logger = logging.getLogger("trimesh")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # its warnings would stand next to our one line
    try:
        with opened_only():
            words = in_trimesh_words(path)
            source, kind = (path, None) if words is None else (io.BytesIO(words), path.suffix[1:].lower())
            scene = trimesh.load_scene(source, file_type=kind, process=False, resolver=assets)
        placed = [
            (scene.geometry[name], transform) for transform, name in map(scene.graph.get, scene.graph.nodes_geometry)
        ]
        check_pictures(path, (geometry for geometry, _ in placed))
        return [(geometry, transform) for geometry, transform in placed if isinstance(geometry, trimesh.Trimesh)]
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # the readers behind trimesh raise whatever the broken bytes lead to
        reason = (str(error).splitlines() or [""])[0][:100] or type(error).__name__
        raise InputError(f"{path}: not a readable {path.suffix[1:].upper()} mesh ({reason})") from error
    finally:
        logger.setLevel(level)


def with_colors(mesh: TexturedMesh, visual, assets) -> TexturedMesh:
    """Attach what trimesh found: a texture, vertex colors or a base color."""
    face_texture = torch.zeros(len(mesh.faces), dtype=torch.int64)
    if visual is None or not visual.defined:
        return mesh
    if visual.kind == "face":  # shown flat, as it is meant: every corner is a vertex of its own
        if len(visual.face_colors) != len(mesh.faces):  # they had more than three corners
            return mesh
        colors = torch.from_numpy(np.array(visual.face_colors[:, :3], dtype=np.float32)) / 255
        corners = torch.arange(3 * len(mesh.faces)).reshape(-1, 3)
        return TexturedMesh(
            mesh.vertices[mesh.faces.reshape(-1)], corners, vertex_colors=colors.repeat_interleave(3, dim=0)
        )
    if visual.kind == "texture":
        uv = getattr(visual, "uv", None)
        texture = material_texture(visual.material, with_image=uv is not None and len(uv) == len(mesh.vertices))
        if texture is None:
            return mesh
        placement = assets.placements.get(getattr(visual.material, "name", None))
        if texture.shape[1:] == (1, 1):
            uv = np.zeros((len(mesh.vertices), 2))
        elif placement is not None:
            uv = np.asarray(uv, dtype=np.float64) * placement.scale + placement.offset
            if placement.clamp:
                texels, down = as_repeating(texture.movedim(0, 2).numpy(), uv * (1, -1) + (0, 1), ("clamp", "clamp"))
                texture, uv = torch.from_numpy(texels).movedim(2, 0).contiguous(), down * (1, -1) + (0, 1)
        coordinates = torch.nan_to_num(torch.from_numpy(np.array(uv, dtype=np.float32)), posinf=0.0, neginf=0.0)
        return TexturedMesh(mesh.vertices, mesh.faces, coordinates, mesh.faces, (texture,), face_texture)
    colors = torch.from_numpy(np.array(visual.vertex_colors[:, :3], dtype=np.float32)) / 255
    return TexturedMesh(mesh.vertices, mesh.faces, vertex_colors=colors)


def tell_unread_colors(path: Path) -> None:
    """One warning where the header of a PLY file names colors, none of which was read."""
    with path.open("rb") as file:
        header = file.read(65536).partition(b"end_header")[0].decode("latin-1")
    words = {word for line in header.splitlines() for word in line.split()[-1:] if line.startswith("property")}
    named = sorted(word for word in words if "red" in word.lower() or "texcoord" in word.lower())
    named += ["r"] if {"r", "g", "b"} <= words else []
    if named:
        log.warning("%s: its colors (%s) are not read; drawn gray", path, ", ".join(named))


def material_texture(material, with_image: bool) -> Float[Tensor, "3 height width"] | None:
    """A material's color as an sRGB image: its texture, or one texel of plain color."""
    image, factor = getattr(material, "image", None), getattr(material, "diffuse", None)
    if image is not None and with_image:
        return read_texture(image)  # many OBJ writers leave Kd at black or gray next to map_Kd
    if factor is None:
        return None
    factor = np.asarray(factor)
    scale = 255.0 if factor.dtype.kind in "ui" else 1.0
    return torch.from_numpy(factor.astype(np.float32) / scale)[:3].reshape(3, 1, 1).clamp(0, 1)


def colors_at(
    vertices: Float[np.ndarray, "vertices 3"],
    points: Float[np.ndarray, "points 3"],
    colors: Float[np.ndarray, "points 3"],
) -> Float[Tensor, "vertices 3"]:
    """The colors of vertices that are copies of the points. Trimesh drops them next to a material."""
    from scipy.spatial import KDTree

    return torch.from_numpy(colors[KDTree(points).query(vertices)[1]]).float()


def fit_unit_box(mesh: TexturedMesh) -> TexturedMesh:
    """The mesh moved and scaled so that its bounding box is centered on the origin and its longest side is 1."""
    used = mesh.vertices[mesh.faces.reshape(-1)]
    low, high = used.min(0).values, used.max(0).values
    return replace(mesh, vertices=(mesh.vertices - 0.5 * (low + high)) / (high - low).max())
