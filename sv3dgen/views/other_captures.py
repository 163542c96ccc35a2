"""Folders of other programs, told by what lies in them, and what makes posed views of them. Standard library only."""

import re
from pathlib import Path

_COLMAP = ("cameras.bin", "cameras.txt")
_MODELS = ("sparse*", "sparse*/0", "colmap/sparse*", "colmap/sparse*/0")  # the last are nerfstudio's
_PHOTOS = (".png", ".jpg", ".jpeg", ".webp", ".heic")
_USUAL = ("images", "photos", "rgb")  # folders of photos, the first that is there
# Cameras of other programs: which files, how these begin (after that of XML), whose they are, what reads them.
_CAMERAS: tuple[tuple[str, tuple[bytes, ...], str, str], ...] = (
    (
        "*.xml",
        (b"<document ", b"<document>", b"<chunk ", b"<chunk>"),
        "Metashape's cameras",
        "nerfstudio's ns-process-data metashape --xml",
    ),
    ("*.csv", (b"#name,x,y,",), "RealityCapture's cameras", "nerfstudio's ns-process-data realitycapture --csv"),
    ("*.txt", (b"#PhotoID", b"# Cameras ("), "Metashape's angles, without a lens (export its cameras as XML)", ""),
    ("reconstruction.json", (b"[", b"{"), "OpenSfM's cameras", "nerfstudio's ns-process-data odm"),
    ("*.out", (b"# Bundle file",), "Bundler's cameras", ""),
    ("*.nvm", (b"NVM_V3",), "VisualSFM's cameras", ""),
    ("*.sfm", (b"{",), "Meshroom's cameras", ""),
    ("poses_bounds*.npy", (b"\x93NUMPY",), "cameras of LLFF", ""),
    ("cameras*.npz", (b"PK",), "cameras of NeuS", ""),
)
_NO_PHOTOS = ("mask", "depth", "normal")  # how folders of other pictures begin


def what_to_do_with(folder: Path, names: list[str]) -> str:
    """A hint to go behind "no transforms.json in this folder", for the names that lie in it; empty for none."""
    misspelled = next((name for name in names if name.lower() == "transforms.json"), None)
    if misspelled is not None:
        return f"; rename {misspelled} to transforms.json"
    theirs = _others_cameras(folder)
    if theirs:
        photos = _folder_of_photos(folder) or "PHOTOS"
        return f"; {theirs}python -m sv3dgen.pose {photos} --out FOLDER finds the cameras anew"
    places = [folder, *(place for pattern in _MODELS for place in sorted(folder.glob(pattern)))]
    model = next((place for place in places if _is_colmap(place)), None)
    if model is not None:
        return (
            f"; {model} is a model of COLMAP without its images.bin or images.txt, and "
            f"python -m sv3dgen.pose {_folder_of_photos(folder) or 'PHOTOS'} --out FOLDER finds the cameras anew"
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
    photos = _folder_of_photos(folder)
    return f"; of the photos in {photos}, python -m sv3dgen.pose {photos} --out FOLDER makes one" if photos else ""


def _others_cameras(folder: Path) -> str:
    """Whose cameras lie there and what makes transforms.json of them, as the beginning of a hint; empty for none."""
    for pattern, starts, whose, maker in _CAMERAS:
        for file in sorted(folder.glob(pattern)):
            start = re.sub(rb"^\xef\xbb\xbf|<\?xml.*?\?>|\s+(?=<)", b"", _start(file)).lstrip()
            if start.startswith(starts):
                made = f": {maker} writes transforms.json of them, and " if maker else ", which are not read; "
                return f"{file.name} has {whose}{made}"
    return ""


def _start(path: Path) -> bytes:
    """How a file begins; nothing of what is none, or cannot be read."""
    if not path.is_file():  # a pipe would be waited for
        return b""
    try:
        with path.open("rb") as file:
            return file.read(400)
    except OSError:
        return b""


def _folder_of_photos(folder: Path) -> Path | None:
    found = {path.parent for path in folder.glob("*/*") if path.suffix.lower() in _PHOTOS}
    found = {place for place in found if not place.name.lower().startswith(_NO_PHOTOS)}

    def rank(place: Path) -> tuple[int, str]:
        name = place.name.lower()
        return (_USUAL.index(name) if name in _USUAL else len(_USUAL), place.name)

    return min(found, key=rank, default=None)


def _is_colmap(place: Path) -> bool:
    return any((place / name).is_file() for name in _COLMAP)
