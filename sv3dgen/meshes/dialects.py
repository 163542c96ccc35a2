"""OBJ, PLY and STL files as trimesh's readers expect them: what others write in other words, said in theirs."""

import io
import re
import struct
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float

from sv3dgen.errors import InputError

_PLY_HEADER_BYTES = 65536
_RGB = ("red", "green", "blue")
_PLY_COLORS = (("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"), ("Red", "Green", "Blue"))
_STL_HEAD_BYTES, _STL_FACE_BYTES = 84, 50
_OVER_ONE = 2.0  # up to which a color in floats is a share of 1
_FROM_ZERO = re.compile(rb"\nf[^\n#]* 0(?:[ /\r\n]|\Z)")  # the number of a vertex, in a face
_BACKWARDS = re.compile(rb"\nf [\d/ ]*-")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_PLY_NUMBERS = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2"},
    **{"uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}


def in_trimesh_words(path: Path) -> bytes | None:
    """The file's content where something in it has to be said otherwise; None where it is fine as it is.

    Raises InputError for what trimesh would read wrongly without a word: a PLY file of several textures, an OBJ file
    whose faces count from 0.
    """
    suffix = path.suffix.lower()
    if suffix == ".obj":
        content = path.read_bytes()
        plain = _plain_lines(content)
        counted = _counted_from_first(path, content if plain is None else plain)
        return plain if counted is None else counted
    if suffix == ".stl":
        return _without_tail(path.read_bytes())
    return _with_known_colors(path, path.read_bytes()) if suffix == ".ply" else None


def open_text(path: Path) -> IO[str]:
    """An OBJ or MTL file as text, line by line: UTF-8 with or without its mark, or UTF-16 with it.

    Of other encodings each letter beyond ASCII becomes U+FFFD.
    """
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in _UTF_16 else "utf-8-sig"
    return path.open(encoding=encoding, errors="replace")


def ply_vertex_colors(path: Path) -> Float[np.ndarray, "vertices 3"] | None:
    """Colors in [0, 1] of a PLY file's vertices where they are neither bytes nor shares of 1, which trimesh knows.

    None where it knows them, or there are none, or the vertices can't be read by themselves.
    """
    with path.open("rb") as file:
        header = file.read(_PLY_HEADER_BYTES).partition(b"end_header")[0]
    names, kinds = _named_colors(header)
    if not names or kinds == {"u1"}:
        return None
    body = path.read_bytes().partition(b"end_header")[2]
    colors = _vertex_columns(header, body, names)
    if colors is None or colors.min(initial=0) < 0 or _are_shares(kinds, colors):
        return None
    largest, fractions = colors.max(initial=0), bool(kinds & {"f4", "f8"})
    if fractions and largest <= _OVER_ONE:  # shares of 1, a few of them rounded or too bright: trimesh cuts them
        return None
    full = 255 if largest <= 255 else 65535 if largest <= 65535 and not fractions else None
    return None if full is None else colors / full


def _plain_lines(content: bytes) -> bytes | None:
    """Words parted by spaces, lines whole and without indent: tabs and lines that go on in the next mean the same."""
    said = content.decode("utf-16", "replace").encode() if content[:2] in _UTF_16 else content
    said = said.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in said:  # of an old Mac
        said = said.replace(b"\r", b"\n")
    said = re.sub(rb"\\\r?\n", b" ", said)  # first: an indent parts the last word from what it goes on with
    if b"\t" in said or said.startswith(b" ") or b"\n " in said:
        said = re.sub(rb"(?m)^ +", b"", said.replace(b"\t", b" "))
    return None if said == content else said


def _counted_from_first(path: Path, content: bytes) -> bytes | None:
    """An OBJ file whose faces number their corners from the first vertex on; None where they do.

    -1 is the last vertex before the face. Trimesh counts from the last one of the file.
    """
    if _FROM_ZERO.search(content):
        raise InputError(f"{path}: a face has vertex 0, expected numbers from 1 on")
    if not _BACKWARDS.search(content):
        return None
    counts, lines = {b"v": 0, b"vt": 0, b"vn": 0}, content.split(b"\n")
    for place, line in enumerate(lines):
        kind, _, rest = line.partition(b" ")
        if kind in counts:
            counts[kind] += 1
        elif kind == b"f" and b"-" in rest:
            lines[place] = b"f " + b" ".join(_corner(path, corner, counts) for corner in rest.split())
    return b"\n".join(lines)


def _corner(path: Path, corner: bytes, counts: dict[bytes, int]) -> bytes:
    numbers = []
    for number, count in zip(corner.split(b"/"), counts.values(), strict=False):
        if number.startswith(b"-"):
            if not number[1:].isdigit() or not 1 <= int(number[1:]) <= count:
                raise InputError(f"{path}: a face names {corner.decode('latin-1')[:40]} where {count} are there")
            number = b"%d" % (count + 1 - int(number[1:]))
        numbers.append(number)
    return b"/".join(numbers)


def _without_tail(content: bytes) -> bytes | None:
    """A binary STL file without the few bytes that some programs leave behind its last triangle; more are refused."""
    if len(content) < _STL_HEAD_BYTES:
        return None
    end = _STL_HEAD_BYTES + _STL_FACE_BYTES * struct.unpack_from("<I", content, _STL_HEAD_BYTES - 4)[0]
    return content[:end] if _STL_HEAD_BYTES < end < len(content) < end + _STL_FACE_BYTES else None


def _with_known_colors(path: Path, content: bytes) -> bytes | None:
    """A header whose vertices' colors are called red, green and blue.

    Only where they are bytes, or shares of 1: other numbers under these names become wrong colors.
    """
    header, end, rest = content[:_PLY_HEADER_BYTES].partition(b"end_header")
    textures = len(set(re.findall(rb"(?mi)^comment TextureFile +(.*?)\s*$", header)))
    if end and textures > 1:
        raise InputError(f"{path}: {textures} textures (TextureFile), expected one; export it as OBJ or GLB")
    names, kinds = _named_colors(header)
    if not end or not names or names == _RGB:
        return None
    rest += content[_PLY_HEADER_BYTES:]
    if kinds != {"u1"} and not _are_shares(kinds, _vertex_columns(header, rest, names)):
        return None
    for name, known in zip(names, _RGB, strict=True):
        header = re.sub(rb"(?m)^(property \w+ )" + name.encode() + rb"\b", rb"\g<1>" + known.encode(), header)
    return header + end + rest


def _named_colors(header: bytes) -> tuple[tuple[str, ...], set[str | None]]:
    """The names under which a header has colors, and their kinds of numbers; none for none."""
    properties = {name: kind for kind, name in re.findall(rb"(?m)^property (\w+) (\w+)", header)}
    for names in (_RGB, *_PLY_COLORS):
        if {name.encode() for name in names} <= properties.keys():
            return names, {_PLY_NUMBERS.get(properties[name.encode()].decode()) for name in names}
    return (), set()


def _are_shares(kinds: set[str | None], colors: Float[np.ndarray, "vertices 3"] | None) -> bool:
    """Whether these colors are shares of 1."""
    if colors is None or not kinds <= {"f4", "f8"}:
        return False
    return bool(colors.min(initial=0) >= 0 and colors.max(initial=0) <= 1)


def _vertex_columns(header: bytes, body: bytes, names: tuple[str, ...]) -> Float[np.ndarray, "vertices 3"] | None:
    """These columns of the vertices, from what follows `end_header`; None where they can't be read by themselves."""
    elements = re.findall(rb"(?m)^element (\w+) (\d+)", header)
    if not elements or elements[0][0] != b"vertex":
        return None
    own = header.partition(b"element vertex")[2].partition(b"\nelement ")[0].decode("latin-1")
    columns = [(name, _PLY_NUMBERS.get(kind)) for kind, name in re.findall(r"(?m)^property (\w+) (\w+)", own)]
    count = int(elements[0][1])
    body = body.partition(b"\n")[2]  # behind end_header
    if any(kind is None for _, kind in columns) or not set(names) <= {name for name, _ in columns}:
        return None
    if not count or not body.strip():
        return None
    try:
        if b"format ascii" in header:
            wanted = [[name for name, _ in columns].index(name) for name in names]
            return np.loadtxt(io.BytesIO(body), max_rows=count, usecols=wanted, ndmin=2)
        order = ">" if b"big_endian" in header else "<"
        rows = np.frombuffer(body, dtype=[(name, f"{order}{kind}") for name, kind in columns], count=count)
        return np.stack([rows[name].astype(np.float64) for name in names], axis=1)
    except ValueError:  # cut short
        return None
