"""What a file is that is given as a mesh and none that is read: by its first bytes, else by its suffix."""

from pathlib import Path

_EXPORT = "export it as GLB (Blender opens it)"
_CAD = "export it as STL or 3MF from a CAD program"
_SPLATS = "Gaussian splats have no surface; expected a mesh"
_POINTS = "points have no surface; expected a mesh made of them, as MeshLab does"
_STL_HEAD, _STL_TRIANGLE = 84, 50  # bytes of a binary one: 80 that are free, a count of triangles, these
_BINARY: tuple[tuple[bytes, str, str], ...] = (  # how a file begins, what it is, what to do
    (b"Kaydara FBX", "an FBX scene", _EXPORT),
    (b"BLENDER", "a Blender file", "export it as GLB"),
    (b"PXR-USDC", "a USD scene", _EXPORT),
    (b"LASF", "a point cloud (LAS)", _POINTS),
    (b"ASTM-E57", "a point cloud (E57)", _POINTS),
    (b"DRACO", "bare Draco data", "expected the GLB that holds it"),
)
_TEXTS: tuple[tuple[bytes, str, str], ...] = (  # whatever the case, behind a byte order mark and blanks
    (b"; FBX", "an FBX scene", _EXPORT),
    (b"#usda", "a USD scene", _EXPORT),
    (b"ISO-10303", "a STEP or IFC model", _CAD),
    (b"#VRML", "a VRML scene", "export it as GLB"),
    (b"#X3D", "an X3D scene", _EXPORT),
    (b"version https://git-lfs", "a pointer of Git LFS", "git lfs pull fetches the file itself"),
    (b"<!doctype html", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
)
_ARCHIVE = (b"PK\x03\x04", "a ZIP archive", "unpack it first")
_SUFFIXES: dict[tuple[str, ...], tuple[str, str]] = {
    (".fbx",): ("an FBX scene", _EXPORT),
    (".blend",): ("a Blender file", "export it as GLB"),
    (".usd", ".usda", ".usdc", ".usdz"): ("a USD scene", _EXPORT),
    (".dae", ".x3d", ".abc"): ("a scene", _EXPORT),
    (".3ds", ".wrl", ".c4d", ".max", ".ma", ".mb", ".skp"): (
        "a scene",
        "export it as GLB where it was made",
    ),
    (".step", ".stp", ".iges", ".igs", ".3dm", ".ifc"): ("a CAD model", _CAD),
    (".splat", ".ksplat", ".spz", ".sog"): ("a file of Gaussian splats", _SPLATS),
    (".las", ".laz", ".e57", ".xyz", ".pts", ".pcd"): ("a point cloud", _POINTS),
    (".zip",): _ARCHIVE[1:],
}


def other_kind(path: Path) -> str | None:
    """A name for the file and what to do with it; None for what is not known here, as meshes that are read."""
    with path.open("rb") as file:
        start = file.read(256)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    suffix = path.suffix.lower()
    if suffix == ".stl" and _is_binary_stl(start, path.stat().st_size):
        return None
    told = next((told for mark, *told in _BINARY if start.startswith(mark)), None)
    told = told or next((told for mark, *told in _TEXTS if text.startswith(mark.lower())), None)
    told = told or next((list(told) for suffixes, told in _SUFFIXES.items() if suffix in suffixes), None)
    if told is None and start.startswith(_ARCHIVE[0]) and suffix != ".3mf":
        told = list(_ARCHIVE[1:])
    for mark, name in ((b"ply\n", ".ply"), (b"ply\r", ".ply"), (b"mtllib ", ".obj"), (b"solid ", ".stl")):
        if told is None and text.startswith(mark) and suffix != name:
            told = [f"{name[1:].upper()}, whatever its name", f"rename it to {path.stem}{name}"]
    return None if told is None else "; ".join(told)


def _is_binary_stl(start: bytes, size: int) -> bool:
    """Whether a file is as long as its count of triangles says; less than one more may follow, as in `docs/inputs.md`.

    What stands in the first 80 bytes is anything, also the name of the program that wrote it.
    """
    count = int.from_bytes(start[_STL_HEAD - 4 : _STL_HEAD], "little")
    return 0 <= size - _STL_HEAD - _STL_TRIANGLE * count < _STL_TRIANGLE
