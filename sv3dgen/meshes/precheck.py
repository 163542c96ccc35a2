"""What can be wrong with a mesh's path, found before torch is imported: standard library only."""

import re
from pathlib import Path

from sv3dgen.errors import InputError
from sv3dgen.meshes.gltf.file import open_gltf
from sv3dgen.meshes.other_kinds import other_kind

COLORLESS = (".stl", ".off", ".3mf")  # read without colors
SUFFIXES = (".glb", ".gltf", ".vrm", ".obj", ".ply", *COLORLESS)
_GLTF = (".glb", ".gltf", ".vrm", ".json")  # the last as some programs name it


def precheck_mesh(path: str | Path) -> None:
    """Raise InputError where the file is missing, not a file, empty, or of a format that is not read.

    A glTF file is refused, too, where it needs an extension that is not read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file, expected a mesh ({', '.join(SUFFIXES)})")
    if not path.is_file():
        raise InputError(f"{path}: not a file, expected a mesh ({', '.join(SUFFIXES)})")
    if path.stat().st_size == 0 and path.suffix.lower() in SUFFIXES:
        raise InputError(f"{path}: empty file, expected a mesh")
    kind = None if path.stat().st_size == 0 or _first_bytes(path) == b"glTF" else other_kind(path)
    if kind is not None:
        raise InputError(f"{path}: not a mesh that is read but {kind}")
    if path.suffix.lower() == ".ply" and not is_gltf(path):
        _refuse_without_faces(path)
    if is_gltf(path):
        if path.suffix.lower() in (".glb", ".vrm") and _first_bytes(path)[:1] not in (b"g", b"{", b" ", b"\n"):
            raise InputError(f"{path}: not a GLB file (it doesn't begin with glTF)")
        open_gltf(path)
    elif path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: unknown mesh format, expected one of {', '.join(SUFFIXES)}")


def is_gltf(path: Path) -> bool:
    """Whether the file is read as glTF: by its name, or as its first bytes say so whatever its name."""
    return path.suffix.lower() in _GLTF or _first_bytes(path) == b"glTF"


def what_else(path: Path) -> str:
    """What a PLY file without triangles holds, in brackets; nothing where that is not known."""
    if path.suffix.lower() != ".ply":
        return ""
    header = _ply_header(path)
    if "f_dc_0" in header or "packed_position" in header:
        return " (Gaussian splats)"
    if _elements("tristrips", header):
        return " (triangle strips, which are not read)"
    return "" if _elements(r"(?!vertex\b)\w+", header) else " (points alone)"


def _refuse_without_faces(path: Path) -> None:
    """Points and splats come by the million: they are told by the header."""
    header = _ply_header(path)
    if re.search(r"(?m)^element[ \t]+vertex\b", header) and not _elements("(?:face|tristrips)", header):
        raise InputError(f"{path}: holds no triangles{what_else(path)}, expected a mesh")


def _elements(name: str, header: str) -> bool:
    """Whether it tells of more than none of them; some programs pad the count with spaces or zeros."""
    return bool(re.search(rf"(?m)^element[ \t]+{name}[ \t]+0*[1-9]", header))


def _ply_header(path: Path) -> str:
    """Empty where it does not end."""
    with path.open("rb") as file:
        header, end, _ = file.read(65536).partition(b"end_header")
    return header.decode("latin-1").replace("\r", "\n") if end else ""


def _first_bytes(path: Path) -> bytes:
    """The four bytes that name the format."""
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
