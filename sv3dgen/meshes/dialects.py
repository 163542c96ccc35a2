"""OBJ and PLY files as trimesh's readers expect them: what others write in other words, said in theirs."""

import io
import re
from pathlib import Path

import numpy as np

_PLY_HEADER_BYTES = 65536
_PLY_COLORS = (("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"), ("Red", "Green", "Blue"))
_PLY_NUMBERS = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2"},
    **{"uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}


def in_trimesh_words(path: Path) -> bytes | None:
    """The file's content where something in it has to be said otherwise; None where it is fine as it is."""
    suffix = path.suffix.lower()
    if suffix == ".obj":
        return _plain_lines(path.read_bytes())
    return _with_known_colors(path.read_bytes()) if suffix == ".ply" else None


def _plain_lines(content: bytes) -> bytes | None:
    """Words parted by spaces, lines whole and without indent: tabs and lines that go on in the next mean the same."""
    said = re.sub(rb"\\\r?\n", b" ", content)  # first: an indent parts the last word from what it goes on with
    if b"\t" in said or said.startswith(b" ") or b"\n " in said:
        said = re.sub(rb"(?m)^ +", b"", said.replace(b"\t", b" "))
    return None if said == content else said


def _with_known_colors(content: bytes) -> bytes | None:
    """A header whose vertices' colors are called red, green and blue.

    Only where they are bytes, or shares of 1: other numbers under these names become wrong colors.
    """
    header, end, rest = content[:_PLY_HEADER_BYTES].partition(b"end_header")
    properties = {name: kind for kind, name in re.findall(rb"(?m)^property (\w+) (\w+)", header)}
    if not end or b"red" in properties:
        return None
    names = next((three for three in _PLY_COLORS if {name.encode() for name in three} <= properties.keys()), None)
    if names is None:
        return None
    kinds = {_PLY_NUMBERS.get(properties[name.encode()].decode()) for name in names}
    if kinds != {"u1"} and not (
        kinds <= {"f4", "f8"} and _are_shares(header, rest + content[_PLY_HEADER_BYTES:], names)
    ):
        return None
    for name, known in zip(names, (b"red", b"green", b"blue"), strict=True):
        header = re.sub(rb"(?m)^(property \w+ )" + name.encode() + rb"\b", rb"\g<1>" + known, header)
    return header + end + rest + content[_PLY_HEADER_BYTES:]


def _are_shares(header: bytes, body: bytes, names: tuple[str, ...]) -> bool:
    """Whether these columns of the vertices lie in [0, 1]; False where they can't be read by themselves."""
    elements = re.findall(rb"(?m)^element (\w+) (\d+)", header)
    if not elements or elements[0][0] != b"vertex":
        return False
    own = header.partition(b"element vertex")[2].partition(b"\nelement ")[0].decode("latin-1")
    columns = [(name, _PLY_NUMBERS.get(kind)) for kind, name in re.findall(r"(?m)^property (\w+) (\w+)", own)]
    count = int(elements[0][1])
    body = body.partition(b"\n")[2]  # behind end_header
    if any(kind is None for _, kind in columns) or not count or not body.strip():
        return False
    try:
        if b"format ascii" in header:
            wanted = [[name for name, _ in columns].index(name) for name in names]
            colors = np.loadtxt(io.BytesIO(body), max_rows=count, usecols=wanted, ndmin=2)
        else:
            order = ">" if b"big_endian" in header else "<"
            rows = np.frombuffer(body, dtype=[(name, f"{order}{kind}") for name, kind in columns], count=count)
            colors = np.stack([rows[name] for name in names])
    except ValueError:  # cut short, or of faces
        return False
    return bool(colors.min() >= 0 and colors.max() <= 1)
