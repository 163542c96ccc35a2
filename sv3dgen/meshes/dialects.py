"""OBJ and PLY files as trimesh's readers expect them: what others write in other words, said in theirs."""

import re
from pathlib import Path

_PLY_HEADER_BYTES = 65536
_PLY_COLORS = (("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"), ("Red", "Green", "Blue"))


def in_trimesh_words(path: Path) -> bytes | None:
    """The file's content where something in it has to be said otherwise; None where it is fine as it is."""
    suffix = path.suffix.lower()
    if suffix == ".obj":
        return _without_tabs(path.read_bytes())
    return _with_known_colors(path.read_bytes()) if suffix == ".ply" else None


def _without_tabs(content: bytes) -> bytes | None:
    """Words parted by one space each, lines without indent: tabs mean the same."""
    if b"\t" not in content and not content.startswith(b" ") and b"\n " not in content:
        return None
    return re.sub(rb"(?m)^ +", b"", content.replace(b"\t", b" "))


def _with_known_colors(content: bytes) -> bytes | None:
    """A header whose vertices' colors are called red, green and blue."""
    header, end, rest = content[:_PLY_HEADER_BYTES].partition(b"end_header")
    properties = set(re.findall(rb"(?m)^property \w+ (\w+)", header))
    if not end or b"red" in properties:
        return None
    names = next((three for three in _PLY_COLORS if {name.encode() for name in three} <= properties), None)
    if names is None:
        return None
    for name, known in zip(names, (b"red", b"green", b"blue"), strict=True):
        header = re.sub(rb"(?m)^(property \w+ )" + name.encode() + rb"\b", rb"\g<1>" + known, header)
    return header + end + rest + content[_PLY_HEADER_BYTES:]
