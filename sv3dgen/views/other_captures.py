"""Folders of other programs, told by what lies in them, and what makes posed views of them. Standard library only."""

from pathlib import Path

_COLMAP = ("cameras.bin", "cameras.txt")
_PHOTOS = (".png", ".jpg", ".jpeg", ".webp", ".heic")


def what_to_do_with(folder: Path, names: list[str]) -> str:
    """A hint to go behind "no transforms.json in this folder", for the names that lie in it; empty for none."""
    model = next(
        (place for place in (folder, *folder.glob("sparse*"), *folder.glob("sparse*/0")) if _is_colmap(place)), None
    )
    if model is not None:
        return (
            f"; {model} is a model of COLMAP: nerfstudio's ns-process-data, or instant-ngp's colmap2nerf.py, writes "
            "transforms.json of it, and python -m sv3dgen.pose PHOTOS --out FOLDER finds the cameras anew"
        )
    if (folder / "keyframes" / "images").is_dir():
        photos = folder / "keyframes" / "images"
        return (
            "; raw data of Polycam: nerfstudio's ns-process-data polycam writes transforms.json of it, and "
            f"python -m sv3dgen.pose {photos} --out FOLDER finds the cameras anew"
        )
    if (folder / "rgbd").is_dir() and any(name.startswith("metadata") for name in names):
        return "; data of Record3D: nerfstudio's ns-process-data record3d writes transforms.json of it"
    inner = next((path.parent for path in sorted(folder.glob("*/transforms.json"))), None)
    if inner is not None:
        return f"; did you mean views={inner}?"
    if any(name.lower().endswith(_PHOTOS) for name in names):
        return "; of photos without poses, python -m sv3dgen.pose PHOTOS --out FOLDER makes one"
    photos = next((path.parent for path in sorted(folder.glob("*/*")) if path.suffix.lower() in _PHOTOS), None)
    return f"; of the photos in {photos}, python -m sv3dgen.pose {photos} --out FOLDER makes one" if photos else ""


def _is_colmap(place: Path) -> bool:
    return any((place / name).is_file() for name in _COLMAP)
