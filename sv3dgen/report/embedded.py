"""What a page holds in itself in place of linking to it: meshes, pictures, films, and the script that turns a mesh."""

import base64
import copy
import gzip
import io
import math
from pathlib import Path
from typing import Any

from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.export.glb_bytes import pack_glb, padded
from sv3dgen.meshes.gltf.file import GltfFile, open_gltf
from sv3dgen.views.image import MAX_PIXELS, open_image

MODEL_VIEWER = Path(__file__).with_name("model_viewer") / "model-viewer.min.js.gz"
PLAIN_BYTES = 2_500_000  # a GLB up to this size goes into the page as it is
JPEG_QUALITY = 90
_OF_GLTF = ("PNG", "JPEG", "WEBP")
UNLIT = "KHR_materials_unlit"
_LIGHTS = ("KHR_lights_punctual", "EXT_lights_image_based")  # the page has one of its own, by a switch


def model_viewer_script() -> str:
    """Google's model-viewer, an ECMAScript module with all that it needs."""
    return gzip.decompress(MODEL_VIEWER.read_bytes()).decode("utf-8")


def data_uri(data: bytes, mime_type: str) -> str:
    """Bytes as an address that holds them."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"


def webp_uri(path: Path, longest_px: int = 1024) -> str:
    """A picture's file as a small WebP, no larger than `longest_px` on a side. InputError where it is none."""
    with open_image(path) as picture:
        picture.thumbnail((longest_px, longest_px))
        stream = io.BytesIO()
        picture.convert("RGBA" if picture.has_transparency_data else "RGB").save(stream, "WEBP", quality=80)
    return data_uri(stream.getvalue(), "image/webp")


def glb_for_page(path: Path, most_bytes: int = PLAIN_BYTES) -> tuple[bytes, bool]:
    """The mesh of a GLB file, unlit and without lights, and whether its pictures were compressed for that.

    Unlit, because its colors are first shown as they are, and browsers without a GPU take seconds to prepare light.
    Above `most_bytes` opaque pictures become JPEG. Geometry stays as it is. InputError for a damaged file.
    """
    file = open_gltf(path)
    try:
        return _unlit(path, file, most_bytes)
    except InputError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a readable GLB mesh ({type(error).__name__}: {str(error)[:80]})") from error


def _unlit(path: Path, file: GltfFile, most_bytes: int) -> tuple[bytes, bool]:
    compress = path.stat().st_size > most_bytes
    tree: dict[str, Any] = copy.deepcopy(dict(file.json))
    _drop_lights(tree)
    for material in tree.get("materials", []):
        material["extensions"] = {**material.get("extensions", {}), UNLIT: {}}
    tree["extensionsUsed"] = sorted({*tree.get("extensionsUsed", []), UNLIT})
    parts, compressed = _pack_views(tree, file, compress)
    buffer = b"".join(parts)
    tree["buffers"] = [{"byteLength": len(buffer)}]
    return pack_glb(tree, buffer), compressed


def _drop_lights(node: Any) -> None:
    """Take out the extensions that light the object, wherever they stand."""
    if isinstance(node, list):
        for child in node:
            _drop_lights(child)
        return
    if not isinstance(node, dict):
        return
    for key in ("extensionsUsed", "extensionsRequired"):
        if key in node:
            node[key] = [name for name in node[key] if name not in _LIGHTS]
            if not node[key]:
                del node[key]
    if isinstance(node.get("extensions"), dict):
        node["extensions"] = {key: part for key, part in node["extensions"].items() if key not in _LIGHTS}
        if not node["extensions"]:
            del node["extensions"]
    for child in node.values():
        _drop_lights(child)


def _pack_views(tree: dict[str, Any], file: GltfFile, compress: bool) -> tuple[list[bytes], bool]:
    """The buffer views' bytes in order, padded; the tree then says where each lies, and what pictures became."""
    pictures = {image["bufferView"]: image for image in tree.get("images", []) if "bufferView" in image}
    parts, length, compressed = [], 0, False
    for index, view in enumerate(tree.get("bufferViews", [])):
        data = file.view(index)
        if compress and index in pictures and (smaller := _as_jpeg(data)) is not None and len(smaller) < len(data):
            data, compressed = smaller, True
            pictures[index]["mimeType"] = "image/jpeg"
        view |= {"buffer": 0, "byteOffset": length, "byteLength": len(data)}
        parts.append(padded(data, b"\0"))
        length += len(parts[-1])
    return parts, compressed


def _as_jpeg(data: bytes) -> bytes | None:
    """A picture as JPEG; None where it has transparency, which that has not, and where it can't be read."""
    try:
        with Image.open(io.BytesIO(data), formats=_OF_GLTF) as picture:
            if picture.has_transparency_data or math.prod(picture.size) > MAX_PIXELS:
                return None
            stream = io.BytesIO()
            picture.convert("RGB").save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    except MemoryError:
        raise
    except Exception:  # PIL's decoders raise whatever broken bytes lead to; the viewer says what it makes of them
        return None
    return stream.getvalue()
