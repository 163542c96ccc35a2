"""Which files a mesh is written as."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from sv3dgen.export.gltf import write_glb
from sv3dgen.export.obj import write_obj
from sv3dgen.export.origin import Origin
from sv3dgen.export.ply import write_ply
from sv3dgen.export.printing import write_3mf, write_stl
from sv3dgen.export.usdz import write_usdz
from sv3dgen.meshes.textured_mesh import TexturedMesh

Format = Literal["glb", "obj", "ply", "stl", "3mf", "usdz"]
_SUFFIXES: dict[str, tuple[str, ...]] = {  # of the files of each
    **{form: (form,) for form in get_args(Format)},
    "obj": ("obj", "mtl", "png"),
}


def write_formats(
    folder: Path,
    formats: Iterable[Format],
    mesh: TexturedMesh,
    *,
    size_mm: float,
    unlit: bool,
    origin: Origin,
    light: dict | None = None,
) -> list[Path]:
    """Write `mesh.FORMAT` for each format, and `mesh.glb` in any case: the run's own numbers are taken from it.

    `light` is for the GLB to hold.
    """
    write_glb(folder / "mesh.glb", mesh, unlit=unlit, origin=origin, light=light)
    files = [folder / "mesh.glb"]
    for form in dict.fromkeys(formats):
        path = folder / f"mesh.{form}"
        match form:
            case "glb":
                continue
            case "obj":
                files += write_obj(path, mesh)
                continue
            case "ply":
                write_ply(path, mesh)
            case "stl":
                write_stl(path, mesh, size_mm)
            case "3mf":
                write_3mf(path, mesh, size_mm, origin)
            case "usdz":
                write_usdz(path, mesh, size_mm, unlit=unlit, origin=origin)
        files.append(path)
    return files


def remove_others(folder: Path, formats: Iterable[Format], lods: Iterable[int]) -> None:
    """Remove what an export of other formats, or with other LODs, has left in a run's `mesh`."""
    kept = {f"mesh.{suffix}" for form in {"glb", *formats} for suffix in _SUFFIXES[form]}
    kept |= {f"lod_{faces}.glb" for faces in lods}
    ours = {f"mesh.{suffix}" for suffixes in _SUFFIXES.values() for suffix in suffixes}
    ours |= {path.name for path in folder.glob("lod_*.glb") if path.stem[4:].isdecimal()}
    for name in ours - kept:
        (folder / name).unlink(missing_ok=True)


def is_unlit(shading: Literal["auto", "lit", "unlit"], light: dict) -> bool:
    """Whether viewers should add no light of theirs: with "auto", where the light is in the colors already."""
    return shading == "unlit" or (shading == "auto" and light.get("type") == "constant")
