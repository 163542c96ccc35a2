"""A glTF scene as textured meshes: every primitive in its place, with the base color that a viewer shows.

Both sides of faces are drawn, whatever `doubleSided` says.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sv3dgen.color import linear_to_srgb, srgb_to_linear
from sv3dgen.errors import InputError
from sv3dgen.meshes.gltf.alpha_cutout import CutMesh, cut_away, translucent_share
from sv3dgen.meshes.gltf.file import INDIFFERENT, READ, GltfFile, open_gltf
from sv3dgen.meshes.gltf.materials import BaseColor, read_material
from sv3dgen.meshes.gltf.nodes import placed_meshes
from sv3dgen.meshes.gltf.primitives import FAN, STRIP, TRIANGLES, Primitive, read_primitive
from sv3dgen.meshes.mesh_parts import placed_part, read_texture
from sv3dgen.meshes.texture_wrap import as_repeating
from sv3dgen.meshes.textured_mesh import TexturedMesh

log = logging.getLogger(__name__)

_MODES = {0: "points", 1: "lines", 2: "lines", 3: "lines"}
_TRANSLUCENT = 0.1  # the share of a surface that may be neither clear nor solid: soft outlines are, panes are not
_MOST_FACES = 100_000_000  # in all their places: a few bytes can place a mesh once more
_DEFAULT_MATERIAL = BaseColor(np.ones(4))


def read_gltf(path: Path) -> list[TexturedMesh]:
    """The triangles of the scene that the file shows first, one mesh for each primitive and place.

    Raises InputError for damaged files, and by name for what would be read otherwise than viewers show it.
    """
    file = open_gltf(path)
    if "VRM" in (file.json.get("extensionsUsed") or ()):
        log.info("%s: a VRM 0 model; its front is at -Z, not at +Z", path)
    try:
        return list(_Reader(file).parts())
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
        raise InputError(f"{path}: not a readable {path.suffix[1:].upper()} mesh ({reason})") from error


@dataclass
class _Reader:
    """What is shared by the primitives of one file: materials and textures are made once."""

    file: GltfFile
    materials: dict[int, BaseColor] = field(default_factory=dict)
    textures: dict[tuple[int, bool], Float[Tensor, "3 _ _"]] = field(default_factory=dict)

    def parts(self):
        """Every primitive in every place."""
        left_out: Counter[str] = Counter()
        hidden: list[int | None] = []  # the materials whose alpha leaves nothing to be seen
        count, shown = 0, False
        for placed in placed_meshes(self.file):
            mesh = self.file.items("meshes")[placed.mesh]
            weights = placed.weights or tuple(mesh.get("weights", ()))
            for primitive in mesh["primitives"]:
                mode = primitive.get("mode", TRIANGLES)
                if mode not in (TRIANGLES, STRIP, FAN):
                    left_out[_MODES.get(mode, f"mode {mode}")] += 1
                    continue
                number = primitive.get("material")
                base = _DEFAULT_MATERIAL if number is None else self.material(number)
                found = read_primitive(
                    self.file, primitive, tex_coord=base.tex_coord, weights=weights, joints=placed.joints
                )
                if not len(found.faces):
                    continue
                count += len(found.faces) * len(placed.transforms)
                if count > _MOST_FACES:
                    raise InputError(
                        f"{self.file.path}: more than {_MOST_FACES // 10**6} million triangles, expected a smaller mesh"
                    )
                local = self.colored(found, base, number)
                if not len(local.faces):
                    hidden.append(number)
                    continue
                shown = True
                for transform in placed.transforms:
                    yield placed_part(self.file.path, local, transform)
        if hidden and not shown:
            raise InputError(
                f"{self.file.path}: the alpha of material {hidden[0]} hides all triangles; export it opaque"
            )
        self.tell(left_out)

    def material(self, number: int) -> BaseColor:
        if number not in self.materials:
            self.materials[number] = read_material(self.file, number)
        return self.materials[number]

    def colored(self, found: Primitive, base: BaseColor, number: int | None) -> TexturedMesh:
        """A primitive with its texture, its colors, or both; where neither is given, one texel of plain color."""
        check_faces(self.file.path, found)
        vertices, faces, colors = found.vertices, found.faces, found.colors
        uv = self.coordinates(found, base, number)
        if base.alpha_mode in ("MASK", "BLEND"):
            vertices, faces, uv, colors = self.cut(found, base, uv, number)
        points, corners = torch.from_numpy(np.asarray(vertices, dtype=np.float64)), torch.from_numpy(faces.copy())
        tint = None if colors is None else torch.from_numpy(np.ascontiguousarray(colors[:, :3])).float()
        if uv is None and tint is not None:
            return TexturedMesh(points, corners, vertex_colors=linear_to_srgb(tint * _rgb(base)))
        if number is None:
            return TexturedMesh(points, corners)
        if uv is None:
            texture, uv = self.texture(base, number, plain=True), np.zeros((len(points), 2))
        else:
            texture = self.texture(base, number, plain=False)
            texels, uv = as_repeating(texture.movedim(0, 2).numpy(), uv, base.wrap)
            if texels.shape[:2] != texture.shape[1:]:
                texture = torch.from_numpy(texels).movedim(2, 0).contiguous()
        upward = torch.from_numpy(np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1).astype(np.float32))
        face_texture = torch.zeros(len(faces), dtype=torch.int64)
        return TexturedMesh(points, corners, upward, corners, (texture,), face_texture, vertex_tint=tint)

    def coordinates(
        self, found: Primitive, base: BaseColor, number: int | None
    ) -> Float[np.ndarray, "vertices 2"] | None:
        """Where the vertices lie on the material's image, v downwards; None where there is no image."""
        if base.image is None:
            return None
        if found.uv is None:
            missing = f"TEXCOORD_{base.tex_coord}"
            log.warning("%s: material %s has a texture, but a mesh has no %s", self.file.path, number, missing)
            return None
        uv = found.uv
        if base.uv_transform is not None:
            uv = uv.astype(np.float64) @ base.uv_transform[:, :2].T + base.uv_transform[:, 2]
        return np.nan_to_num(uv, posinf=0.0, neginf=0.0)

    def texture(self, base: BaseColor, number: int, *, plain: bool) -> Float[Tensor, "3 height width"]:
        """The material's image times its factor, or one texel of the factor."""
        key = (number, plain)
        if key not in self.textures:
            factor = _rgb(base).reshape(3, 1, 1)
            texture = torch.ones(3, 1, 1) if plain else read_texture(base.image)
            if bool((factor != 1).any()):
                texture = linear_to_srgb(srgb_to_linear(texture) * factor)
            self.textures[key] = texture
        return self.textures[key]

    def cut(self, found: Primitive, base: BaseColor, uv: np.ndarray | None, number: int | None):
        """Vertices, faces, coordinates and colors of what the material's alpha leaves visible."""
        alpha = np.full((1, 1), 1.0) if base.image is None or uv is None else _alpha(base.image)
        where = np.zeros((len(found.vertices), 2)) if uv is None else uv.astype(np.float64)
        colors = np.ones((len(where), 4)) if found.colors is None else found.colors.astype(np.float64)
        texels, where = as_repeating(alpha[..., None], where, base.wrap)
        values = np.concatenate([found.vertices, colors, np.zeros_like(where) if uv is None else uv], axis=1)
        share = np.float64(min(max(base.factor[3], 0), 1))
        whole = CutMesh(found.faces, values.astype(np.float64), where, colors[:, 3])
        if base.alpha_mode == "MASK":
            cutoff = base.alpha_cutoff
        else:
            cutoff, seen = 0.5, translucent_share(whole, texels[..., 0] * share)
            if seen > _TRANSLUCENT:
                raise InputError(
                    f"{self.file.path}: material {number} has alphaMode BLEND and lets light through on {seen:.0%} of "
                    "its surface; translucent surfaces are not drawn, export it opaque or as a mask"
                )
        cut = cut_away(whole, texels[..., 0] * share, cutoff)
        if len(cut.faces) != len(found.faces):
            log.info("%s: material %s is cut out by its alpha", self.file.path, number)
        else:
            return found.vertices, found.faces, uv, found.colors
        columns = np.split(cut.values, [3, 7], axis=1)
        return columns[0], cut.faces, None if uv is None else columns[2], None if found.colors is None else columns[1]

    def tell(self, left_out: Counter[str]) -> None:
        """One line each on what the file holds and is not drawn."""
        for what, count in left_out.items():
            log.info("%s: %d primitives of %s are left out; only triangles are read", self.file.path, count, what)
        if self.file.items("animations"):
            log.info("%s: its animations are not played; the pose of the nodes is taken", self.file.path)
        unread = [name for name in self.file.items("extensionsUsed") if name not in READ | INDIFFERENT]
        unread = [name for name in unread if not name.endswith("_compression")]
        if unread:
            log.info("%s: %s not read; base colors are taken without", self.file.path, ", ".join(unread))


def check_faces(path: Path, found: Primitive) -> None:
    """InputError where a face names a vertex that isn't there."""
    if found.faces.min() < 0 or found.faces.max() >= len(found.vertices):
        raise InputError(
            f"{path}: a face names vertex {found.faces.max()}, but there are only {len(found.vertices)} vertices"
        )


def _rgb(base: BaseColor) -> Float[Tensor, " 3"]:
    return torch.from_numpy(np.clip(base.factor[:3], 0, 1)).float()


def _alpha(image: Image.Image) -> Float[np.ndarray, "height width"]:
    """Straight alpha in [0, 1]; 1 where the image has none."""
    return np.asarray(image.convert("RGBA").getchannel("A"), dtype=np.float64) / 255
