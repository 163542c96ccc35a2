"""Small glTF files, written array by array, for the tests of what is read from them."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sv3dgen.meshes.files import read_mesh
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import look_at_origin

_COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
SQUARE = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]], dtype=np.float32)
SQUARE_UV = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype=np.float32)  # the image upright
SQUARE_FACES = np.array([0, 1, 2, 0, 2, 3], dtype=np.uint16)
RED, GREEN, BLUE, WHITE = (1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (1.0, 1.0, 1.0)


class GltfCase:
    """A GLB with one buffer; `json` may be changed at will before it is saved."""

    def __init__(self):
        self.bytes = b""
        self.json: dict = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": []}],
            "bufferViews": [],
            "accessors": [],
        }

    def view(self, data: bytes, **more) -> int:
        """Append bytes, four by four; the number of their view."""
        self.json["bufferViews"].append({"buffer": 0, "byteOffset": len(self.bytes), "byteLength": len(data), **more})
        self.bytes += data + b"\0" * (-len(data) % 4)
        return len(self.json["bufferViews"]) - 1

    def array(self, values: np.ndarray, normalized: bool = False, padding: int = 0) -> int:
        """Append rows of numbers, `padding` bytes behind each; the number of their accessor."""
        rows = values.reshape(len(values), -1)
        data = b"".join(row.tobytes() + b"\0" * padding for row in rows)
        stride = {"byteStride": rows.itemsize * rows.shape[1] + padding} if padding else {}
        accessor = {
            "bufferView": self.view(data, **stride),
            "componentType": _COMPONENTS[rows.dtype.str[1:]],
            "count": len(rows),
            "type": _TYPES[rows.shape[1]],
        }
        self.json["accessors"].append(accessor | ({"normalized": True} if normalized else {}))
        return len(self.json["accessors"]) - 1

    def primitive(self, positions: np.ndarray, faces: np.ndarray | None = None, **more) -> dict:
        """Append a primitive to the first mesh; other attributes by their glTF names, accessors or arrays."""
        keys = ("material", "mode", "targets", "extensions")
        attributes = {"POSITION": positions} | {key: value for key, value in more.items() if key not in keys}
        made: dict = {
            "attributes": {
                name: value if isinstance(value, int) else self.array(value) for name, value in attributes.items()
            }
        }
        made |= {key: more[key] for key in keys if key in more}
        if faces is not None:
            made["indices"] = self.array(faces)
        self.json["meshes"][0]["primitives"].append(made)
        return made

    def square(self, **more) -> dict:
        """A unit square that faces +Z."""
        return self.primitive(SQUARE, SQUARE_FACES, **more)

    def material(self, **more) -> int:
        self.json.setdefault("materials", []).append(more)
        return len(self.json["materials"]) - 1

    def texture(self, image: Image.Image, kind: str = "PNG", **more) -> int:
        """Append an image and a texture of it; the texture's number."""
        file = io.BytesIO()
        image.save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
        self.json.setdefault("images", []).append(
            {"bufferView": self.view(file.getvalue()), "mimeType": f"image/{kind.lower()}"}
        )
        self.json.setdefault("textures", []).append({"source": len(self.json["images"]) - 1, **more})
        return len(self.json["textures"]) - 1

    def textured(self, image: Image.Image, info: dict | None = None, **more) -> int:
        """A material that shows an image; `info` goes into its texture's entry."""
        texture = {"index": self.texture(image), **(info or {})}
        return self.material(pbrMetallicRoughness={"baseColorTexture": texture}, **more)

    def require(self, *extensions: str) -> None:
        self.json["extensionsUsed"] = self.json["extensionsRequired"] = list(extensions)

    def save(self, path: Path) -> Path:
        text = json.dumps(self.json | {"buffers": [{"byteLength": len(self.bytes)}]}).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(self.bytes), b"BIN\0")
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks) + len(self.bytes)) + chunks + self.bytes)
        return path


def quarters() -> Image.Image:
    """Red and green above, blue and white below."""
    colors = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    return Image.fromarray(colors.repeat(16, 0).repeat(16, 1))


def seen(path, *, size=64):
    """Straight color (h, w, 3) and opacity (h, w) of the square that fills the middle of the frame."""
    cameras = look_at_origin(torch.zeros(1), torch.zeros(1), distance=3.0, size_px=size)
    image = render_textured(read_mesh(path), cameras, 2)[0]
    return image[:3].movedim(0, 2), image[3]


def corners(path):
    """The colors seen at the upper left, upper right, lower left and lower right of the unit square."""
    rgb, _ = seen(path)
    low, high = 26, 38
    return [tuple(round(float(x), 2) for x in rgb[y, x]) for y in (low, high) for x in (low, high)]
