"""The header of a safetensors file, read and checked before anything maps the file: standard library only.

The format is an unsigned 64-bit length, so many bytes of JSON, then the tensors' values without gaps. What is no such
file is refused by what it is instead. Nothing here, or anywhere in this package, loads a pickle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError

DTYPE_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
_MOST_HEADER_BYTES = 100_000_000  # the format's own limit; SV3D's header has a quarter of a megabyte
_PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")
_CONVERT = "expected safetensors, which you may convert it to where you trust its source"


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's values lie: `first_byte` counts from the beginning of the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    first_byte: int

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file by key, in the order in which they lie.

    Raises InputError where the file is missing, no such file, damaged or cut short.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file, expected a safetensors file")
    if not path.is_file():
        raise InputError(f"{path}: not a file, expected a safetensors file")
    try:
        with path.open("rb") as file:
            document, data_start = _read_json(path, file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    tensors, end = {}, data_start
    described = [(*_checked(path, key, entry), key) for key, entry in document.items() if key != "__metadata__"]
    for first, last, dtype, shape, key in sorted(described):
        if data_start + first != end:
            raise InputError(f"{path}: damaged header: the values of {shown(key)} don't follow the tensor before it")
        tensors[key] = StoredTensor(path, dtype, shape, end)
        end = data_start + last
    size = path.stat().st_size
    if size < end:
        raise InputError(f"{path}: truncated: {size} bytes, expected {end}; its download or copy was cut short")
    if size > end:
        raise InputError(f"{path}: {size - end} bytes more than its header tells of, expected {end} in all")
    return tensors


def shown(key: str) -> str:
    """A key fit for one line of an error: in quotes and escaped where it isn't plain, and never long."""
    plain = key if key.isprintable() and key.strip() == key != "" else ascii(key)
    return plain if len(plain) <= 120 else f"{plain[:117]}..."


def _read_json(path: Path, file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The header's JSON and the byte at which the values begin. Reads nothing that a wrong length asks for."""
    size = path.stat().st_size
    start = file.read(512)
    if size < 8 or start[8:9] != b"{":
        raise InputError(f"{path}: {_what_it_is(path, start)}")
    length = int.from_bytes(start[:8], "little")
    if length > min(size - 8, _MOST_HEADER_BYTES):
        raise InputError(f"{path}: damaged or truncated: its header claims {length} bytes, the file has {size}")
    file.seek(8)
    try:
        document = parse_json(file.read(length), object_pairs_hook=_without_repeats)
    except ValueError as error:
        raise InputError(f"{path}: damaged: its header is not JSON ({_first_line(error)})") from error
    return document, 8 + length


def _what_it_is(path: Path, start: bytes) -> str:
    text = start.lstrip().lower()
    if not start:
        return "empty file, expected safetensors"
    if text.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the weights themselves; fetch them with: git lfs pull"
    if start.startswith(b"PK\x03\x04") or (start[0] == 0x80 and start[1:2] <= b"\x05"):
        return f"a pickle, which can run any code and is never loaded; {_CONVERT}"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page, not weights: the download failed; expected safetensors"
    if path.suffix.lower() in _PICKLE_SUFFIXES:
        return f"{path.suffix} files are never loaded, as they can run any code; {_CONVERT}"
    return "not a safetensors file"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key is there twice")
    return document


def _checked(path: Path, key: str, entry: Any) -> tuple[int, int, str, tuple[int, ...]]:
    """First and last byte (exclusive, counted from where the values begin), dtype and shape of one tensor."""
    where = f"{path}: damaged header: {shown(key)}"
    if not isinstance(entry, Mapping) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise InputError(f"{where} has no dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        raise InputError(f"{where} has a shape or data_offsets that are not whole numbers")
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise InputError(f"{path}: {shown(key)} is of unknown dtype {shown(str(dtype))}, expected F16, BF16 or F32")
    if offsets[1] - offsets[0] != prod(shape) * DTYPE_BYTES[dtype]:
        raise InputError(f"{where} has data_offsets that don't fit its shape and dtype")
    return offsets[0], offsets[1], dtype, tuple(shape)


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
