"""The base color of a glTF material: a factor times an image, and where on the image a vertex lies.

Lights, metals, normals and what else changes a shade are not read: base colors are what is compared and drawn.
"""

import io
import logging
import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Float
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.meshes.gltf.file import GltfFile
from sv3dgen.meshes.mesh_pictures import opened_only
from sv3dgen.views.image import MAX_PIXELS, one_line
from sv3dgen.views.json_values import is_number
from sv3dgen.views.picture_formats import named_bytes

log = logging.getLogger(__name__)

Wrap = Literal["repeat", "mirror", "clamp"]
_WRAPS: dict[int, Wrap] = {10497: "repeat", 33648: "mirror", 33071: "clamp"}
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "DDS", "GIF", "BMP")
# Extensions that name another image; the first that is there is taken, as viewers that know them do.
_SOURCES = ("EXT_texture_avif", "EXT_texture_webp", "MSFT_texture_dds")
_BLACK, _SHINY = 0.04, 0.1  # linear: a diffuse color below the one, with a specular color above the other, is a metal
_METALLIC = {"baseColorFactor": "factor", "baseColorTexture": "texture"}
_SPECULAR = {"diffuseFactor": "factor", "diffuseTexture": "texture"}


@dataclass(frozen=True)
class BaseColor:
    """What a face of this material shows; multiplied with the vertices' colors."""

    factor: Float[np.ndarray, " 4"]  # linear light and alpha
    image: Image.Image | None = None  # sRGB and straight alpha, the first row at the top
    tex_coord: int = 0  # which TEXCOORD_n looks the image up
    uv_transform: Float[np.ndarray, "2 3"] | None = None  # of glTF's coordinates, v downwards
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    alpha_mode: str = "OPAQUE"
    alpha_cutoff: float = 0.5


def read_material(file: GltfFile, index: int) -> BaseColor:
    """One material's base color. Raises InputError, which names the image, where its image cannot be read."""
    material = file.items("materials")[index]
    specular = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
    found = material.get("pbrMetallicRoughness", {}) if specular is None else specular
    names = _METALLIC if specular is None else _SPECULAR
    fields = {names[key]: value for key, value in found.items() if key in names}
    factor = _base_factor(fields.get("factor", [1.0] * 4))
    if "texture" not in fields and specular is None and factor[:3].max() < _BLACK:  # else its light decides nothing
        shining = _numbers(material.get("emissiveFactor", [0.0] * 3), 3, "the emissive factor")
        if shining.max() > _SHINY:
            log.info("%s: material %d is black but for its own light, which is drawn", file.path, index)
            factor = np.concatenate([shining.clip(0, 1), factor[3:]])
            fields = {"texture": material["emissiveTexture"]} if "emissiveTexture" in material else {}
    mode, cutoff = material.get("alphaMode", "OPAQUE"), float(material.get("alphaCutoff", 0.5))
    texture = fields.get("texture")
    image = None if texture is None else _image(file, texture["index"])
    if specular is not None:
        factor, image = _with_metals(file, specular, factor, image)
    if texture is None:
        return BaseColor(factor, image, alpha_mode=mode, alpha_cutoff=cutoff)
    transform = texture.get("extensions", {}).get("KHR_texture_transform", {})
    return BaseColor(
        factor,
        image,
        transform.get("texCoord", texture.get("texCoord", 0)),
        uv_transform(transform),
        _wraps(file, texture["index"]),
        mode,
        cutoff,
    )


def uv_transform(transform: dict) -> Float[np.ndarray, "2 3"] | None:
    """KHR_texture_transform as a matrix: scaled, then turned counter-clockwise as seen, then moved; None for none.

    The signs are those of the extension's example of a quadrant: its GLSL, read by columns, turns the other way.
    """
    if not transform.keys() & {"offset", "rotation", "scale"}:
        return None
    (wide, tall), angle = transform.get("scale", (1, 1)), transform.get("rotation", 0.0)
    (right, down), c, s = transform.get("offset", (0, 0)), math.cos(angle), math.sin(angle)
    return np.array([[wide * c, tall * s, right], [-wide * s, tall * c, down]], dtype=np.float64)


def _base_factor(given: Any) -> Float[np.ndarray, " 4"]:
    """The base color's factor; three numbers are opaque."""
    opaque = isinstance(given, list) and len(given) == 3
    return _numbers([*given, 1.0] if opaque else given, 4, "the base color's factor")


def _numbers(given: Any, count: int, what: str) -> Float[np.ndarray, " count"]:
    """So many finite numbers. Raises ValueError, which the reader tells with the file's name."""
    if (
        not isinstance(given, list)
        or len(given) != count
        or not all(is_number(value) and math.isfinite(value) for value in given)
    ):
        raise ValueError(f"{what} is {str(given)[:40]}, expected {count} numbers")
    return np.array(given, dtype=np.float64)


def _image(file: GltfFile, texture: int) -> Image.Image:
    entry = file.items("textures")[texture]
    extensions = entry.get("extensions", {})
    source = next((extensions[name]["source"] for name in _SOURCES if name in extensions), entry.get("source"))
    if source is None:
        raise file.refused(next(iter(extensions), "a texture without an image"))
    image = file.items("images")[source]
    name = image.get("uri", "") if not image.get("uri", "data:").startswith("data:") else image.get("name", "")
    what = f"image {source}{f' ({name})' if name else ''}"
    data = file.uri(image["uri"], what) if "uri" in image else file.view(image["bufferView"])
    opened = open_texture(data, f"{file.path}: {what}")
    file.count_pixels(source, opened.width * opened.height)
    return opened


def open_texture(data: bytes, what: str) -> Image.Image:
    """An image file's pixels, of any mode. Raises InputError that begins with `what`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns of sizes that are refused below
            with opened_only():
                image = Image.open(io.BytesIO(data), formats=_FORMATS)
            if image.width * image.height > MAX_PIXELS:
                found = f"{image.width}x{image.height} pixels, {image.width * image.height / 1e6:.0f} megapixels"
                raise InputError(f"{what}: {found}, expected at most {MAX_PIXELS // 10**6}")
            image.load()
    except InputError:
        raise
    except Exception as error:  # PIL's decoders raise whatever the broken bytes lead to
        kind = named_bytes(data[:512])
        reason = f"; {kind}" if kind else f" ({one_line(error)[:80]})"
        raise InputError(f"{what}: not a readable image{reason}") from None
    return image


def _wraps(file: GltfFile, texture: int) -> tuple[Wrap, Wrap]:
    sampler = file.items("textures")[texture].get("sampler")
    entry = {} if sampler is None else file.items("samplers")[sampler]
    across, along = (_WRAPS.get(entry.get(key, 10497), "repeat") for key in ("wrapS", "wrapT"))
    return cast(Wrap, across), cast(Wrap, along)


def _with_metals(
    file: GltfFile, specular: dict, factor: np.ndarray, image: Image.Image | None
) -> tuple[np.ndarray, Image.Image | None]:
    """The diffuse color, but the specular one where there is no diffuse one: what metals are painted with."""
    shine = _numbers(specular.get("specularFactor", [1.0] * 3), 3, "the specular factor")
    texture = specular.get("specularGlossinessTexture")
    if image is None or texture is None:
        metal = factor[:3].max() < _BLACK and shine.max() > _SHINY and image is None and texture is None
        return (np.concatenate([shine, factor[3:]]) if metal else factor), image
    if (
        factor[:3].min() < 1
        or shine.min() < 1
        or texture.get("texCoord", 0) != specular["diffuseTexture"].get("texCoord", 0)
    ):
        return factor, image
    shiny = np.asarray(_image(file, texture["index"]).convert("RGB").resize(image.size))
    diffuse = np.array(image.convert("RGBA"))
    black, bright = (round(255 * (1.055 * level ** (1 / 2.4) - 0.055)) for level in (_BLACK, _SHINY))
    metal = (diffuse[..., :3].max(-1) < black) & (shiny.max(-1) > bright)
    diffuse[metal, :3] = shiny[metal]
    return factor, Image.fromarray(diffuse)
