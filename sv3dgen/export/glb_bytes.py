"""The container of a GLB file, by the glTF 2.0 specification."""

import json
import struct


def pack_glb(tree: dict, buffer: bytes) -> bytes:
    """Header, JSON chunk and binary chunk, each padded to four bytes."""
    text = padded(json.dumps(tree, separators=(",", ":")).encode(), b" ")
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(buffer), b"BIN\0") + buffer
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def padded(data: bytes, filler: bytes) -> bytes:
    """The data with as much filler as makes its length a multiple of four."""
    return data + filler * (-len(data) % 4)
