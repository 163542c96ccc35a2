"""A glTF file's JSON and bytes, and which of its extensions are read. Standard library only.

Khronos glTF 2.0 specification, sections 3.6 (buffers), 4 (GLB) and 3.12 (extensions).
"""

import base64
import binascii
import importlib.util
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError
from sv3dgen.meshes.nearby_files import find_nearby
from sv3dgen.views.image import MAX_PIXELS

DRACO, MESHOPT = "KHR_draco_mesh_compression", "EXT_meshopt_compression"
# What decides where a vertex is or which base color it shows, and is read.
READ = frozenset(
    {
        "EXT_mesh_gpu_instancing",
        "EXT_texture_avif",
        "EXT_texture_webp",
        "KHR_materials_pbrSpecularGlossiness",
        "KHR_materials_unlit",
        "KHR_mesh_quantization",
        "KHR_node_visibility",
        "KHR_texture_transform",
        "MSFT_texture_dds",
    }
)
# What changes neither: lights, sheens, and materials or poses to choose from.
INDIFFERENT = frozenset(
    {
        "EXT_lights_image_based",
        "KHR_animation_pointer",
        "KHR_lights_punctual",
        "KHR_materials_anisotropy",
        "KHR_materials_clearcoat",
        "KHR_materials_dispersion",
        "KHR_materials_emissive_strength",
        "KHR_materials_ior",
        "KHR_materials_iridescence",
        "KHR_materials_sheen",
        "KHR_materials_specular",
        "KHR_materials_variants",
        "KHR_xmp_json_ld",
        "VRM",
        "VRMC_materials_mtoon",
        "VRMC_node_constraint",
        "VRMC_springBone",
        "VRMC_vrm",
    }
)
_UNPACK = "npx @gltf-transform/cli copy IN.glb OUT.glb"
_ADVICE = {
    DRACO: f"pip install DracoPy, or unpack it: {_UNPACK}",
    MESHOPT: f"unpack it: {_UNPACK}",
    "KHR_meshopt_compression": f"unpack it: {_UNPACK}",
    "KHR_texture_basisu": "turn its textures into PNG: npx @gltf-transform/cli ktxdecompress IN.glb OUT.glb",
}


class _FromZero(list):
    """A named list in which -1 names nothing: a file that says so is damaged, not one that means the last."""

    def __init__(self, kind: str, entries: list):
        super().__init__(entries)
        self.kind = kind

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and not 0 <= index < len(self):
            raise IndexError(f"number {index} of {self.kind}, which has {len(self)}")
        return super().__getitem__(index)


@dataclass(frozen=True)
class GltfFile:
    """One glTF or GLB file: its JSON, and the bytes that belong to it."""

    path: Path
    json: Mapping[str, Any]
    binary: bytes | None = None  # the second chunk of a GLB
    _buffers: dict[int, bytes] = field(default_factory=dict, repr=False)
    _pixels: dict[int, int] = field(default_factory=dict, repr=False)
    _lists: dict[str, list] = field(default_factory=dict, repr=False)

    def items(self, kind: str) -> list:
        """A top-level list such as `meshes`; empty where the file has none. IndexError for numbers below 0, too."""
        if kind not in self._lists:
            self._lists[kind] = _FromZero(kind, self.json.get(kind, []))
        return self._lists[kind]

    def refused(self, extension: str) -> InputError:
        """The refusal of what an extension holds that is not read."""
        return InputError(f"{self.path}: needs {extension}, which is not read; {_advice(extension)}")

    def count_pixels(self, image: int, pixels: int) -> None:
        """Raise InputError where the images that are read have more pixels together than a photo may have."""
        self._pixels[image] = pixels
        whole = sum(self._pixels.values())
        if whole > MAX_PIXELS:
            raise InputError(
                f"{self.path}: images of {whole / 1e6:.0f} megapixels, expected at most {MAX_PIXELS // 10**6}"
            )

    def buffer(self, index: int) -> bytes:
        """A buffer's bytes: the GLB's chunk, a data URI, or a file. Raises InputError where they are missing."""
        if index not in self._buffers:
            entry = self.items("buffers")[index]
            data = self.uri(entry["uri"], f"buffer {index}") if "uri" in entry else self.binary if index == 0 else None
            if data is None or len(data) < entry["byteLength"]:
                found = "no bytes" if data is None else f"{len(data)} bytes"
                raise InputError(f"{self.path}: {found} for buffer {index}, expected {entry['byteLength']}")
            self._buffers[index] = data
        return self._buffers[index]

    def view(self, index: int) -> bytes:
        """A buffer view's bytes. Raises InputError where meshopt packs them and no plain ones stand next to."""
        entry = self.items("bufferViews")[index]
        packed = next((name for name in entry.get("extensions", {}) if name.endswith("meshopt_compression")), None)
        if packed is not None and "uri" not in self.items("buffers")[entry["buffer"]]:
            raise self.refused(packed)
        first, length = entry.get("byteOffset", 0), entry["byteLength"]
        if first < 0 or length < 0:
            raise InputError(
                f"{self.path}: buffer view {index} has {length} bytes at {first}, expected numbers above 0"
            )
        data = self.buffer(entry["buffer"])[first : first + length]
        if len(data) < length:
            raise InputError(f"{self.path}: buffer view {index} ends past its buffer")
        return data

    def uri(self, uri: str, what: str) -> bytes:
        """What a URI leads to: data within the file, or a file next to it. InputError names `what` is not to be had."""
        if uri.startswith("data:"):
            head, _, body = uri.partition(",")
            try:
                return base64.b64decode(body) if head.endswith(";base64") else unquote(body).encode("latin-1")
            except (binascii.Error, ValueError) as error:
                raise InputError(f"{self.path}: {what} holds damaged base64 ({error})") from None
        found = find_nearby(self.path.parent, unquote(uri))
        if found is None:
            raise InputError(f"{self.path}: {what} is {unquote(uri)}, which is missing")
        return found.read_bytes()


def open_gltf(path: Path) -> GltfFile:
    """The file's JSON and chunk. Raises InputError for what is not glTF 2.0, or needs an extension that isn't read."""
    try:
        data = path.read_bytes()
        chunk, binary = _chunks(data) if data[:4] == b"glTF" else (data, None)
        parsed = parse_json(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, struct.error) as error:  # broken JSON and broken UTF-8 are ValueErrors
        reason = (str(error).splitlines() or [""])[0][:100]
        raise InputError(f"{path}: not a readable {path.suffix[1:].upper()} mesh ({reason})") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("asset"), dict):
        raise InputError(f"{path}: not a glTF file (it has no asset)")
    if not str(parsed["asset"].get("version", "")).startswith("2."):
        raise InputError(f"{path}: glTF version {parsed['asset'].get('version')}, expected 2.0")
    check_extensions(path, parsed)
    return GltfFile(path, parsed, binary)


def check_extensions(path: Path, parsed: Mapping[str, Any]) -> None:
    """Refuse, by name, what the file says it cannot be read without, and is not read here."""
    required = parsed.get("extensionsRequired", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise InputError(f"{path}: extensionsRequired is {str(required)[:60]}, expected a list of names")
    for name in required:
        if name == DRACO and importlib.util.find_spec("DracoPy") is not None:
            continue
        if name not in READ and name not in INDIFFERENT:
            raise InputError(f"{path}: extensionsRequired has {name}, which is not read; {_advice(name)}")


def _advice(extension: str) -> str:
    return _ADVICE.get(extension, "export it without")


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """The JSON chunk of a GLB, and the binary one where there is one."""
    _, version, total = struct.unpack("<4sII", data[:12])
    if version != 2:
        raise ValueError(f"GLB version {version}, expected 2")
    found, first = {}, 12
    while first + 8 <= min(total, len(data)):
        length, kind = struct.unpack("<I4s", data[first : first + 8])
        found.setdefault(kind, data[first + 8 : first + 8 + length])
        first += 8 + length
    if b"JSON" not in found:
        raise ValueError("no JSON chunk")
    return found[b"JSON"].rstrip(b" \0"), found.get(b"BIN\0")
