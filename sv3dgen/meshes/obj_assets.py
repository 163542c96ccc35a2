"""What an OBJ or PLY file names next to itself, found where people really have it, for trimesh's readers.

Materials may be named with options, back-slashes, or the paths of another machine; what is not found is told.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from trimesh.resolvers import Resolver

from sv3dgen.errors import InputError
from sv3dgen.meshes.dialects import open_text
from sv3dgen.meshes.nearby_files import find_nearby
from sv3dgen.views.image import one_line
from sv3dgen.views.picture_formats import named_kind

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """How a material lays its texture: coordinates are scaled, then moved; beyond the image it may be continued."""

    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    clamp: bool = False


# How many values the options of map_Kd take (Wavefront's MTL description); those of -o, -s and -t are one to three.
_OPTIONS = {
    "-blendu": 1, "-blendv": 1, "-boost": 1, "-mm": 2, "-texres": 1, "-clamp": 1, "-bm": 1, "-imfchan": 1, "-type": 1,
    "-cc": 1, "-colorspace": 1,
}  # fmt: skip
_VECTORS = ("-o", "-s", "-t")
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "DDS", "GIF", "BMP", "TIFF", "TGA", "PPM", "JPEG2000", "PSD")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


class NearbyAssets(Resolver):
    """The files that a mesh file names, looked for in its folder; `.mtl` files come with the images' found names."""

    def __init__(self, path: Path):
        self.path, self.named = path, {}
        self.placements: dict[str, Placement] = {}  # by the material's name, where it isn't the usual one
        # Now, because trimesh goes on without materials whatever happens while it asks for them.
        self.library = self._materials() if path.suffix.lower() == ".obj" else b""

    def get(self, key: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError, after one warning, where there is none."""
        name = key.strip()
        if self.path.suffix.lower() == ".obj" and name not in self.named:
            return self.library
        found = self.named.get(name) or find_nearby(self.path.parent, name)
        if found is None:
            log.warning("%s: %s is missing; drawn without it", self.path, name)
            raise FileNotFoundError(name)
        return found.read_bytes()

    def _materials(self) -> bytes:
        """All material files of an OBJ as one, their images by names that `get` knows."""
        lines: list[str] = []
        names, used = mtllib_names(self.path), used_materials(self.path)
        if not names and used:
            log.warning("%s: names materials, but no mtllib that holds them; drawn plain", self.path)
        complete = bool(names)
        for name in names:
            found = find_nearby(self.path.parent, name)
            if found is None:
                log.warning("%s: mtllib %s is missing; drawn without its colors and textures", self.path, name)
                complete = False
                continue
            lines += self._found_images(found)
        unknown = sorted(used - {_material(line) for line in lines if _key(line) == "newmtl"})
        if complete and unknown:
            log.warning("%s: usemtl %s is in none of its material files; drawn plain", self.path, ", ".join(unknown))
        return "\n".join(lines).encode()

    def _found_images(self, library: Path) -> list[str]:
        from PIL import Image

        lines, material = [], ""
        for line in _text(library).splitlines():
            key, _, rest = line.strip().replace("\t", " ").partition(" ")
            if key.lower() == "newmtl":
                material = " ".join(rest.split())
            if key.lower() != "map_kd":
                lines.append(line)
                continue
            placement, name = split_options(rest)
            found = find_nearby(self.path.parent, name) or find_nearby(library.parent, name)
            if found is None:
                log.warning("%s: map_Kd %s is missing; the material's plain color is drawn", library, name)
                continue
            try:
                Image.open(found, formats=_FORMATS).load()
            except Exception as error:  # PIL's decoders raise whatever the broken bytes lead to
                kind = named_kind(found)
                reason = f"; {kind}" if kind else f" ({one_line(error)[:80]})"
                raise InputError(f"{found}: not a readable image{reason}") from None
            self.named[f"image{len(self.named)}"] = found
            lines.append(f"map_Kd image{len(self.named) - 1}")
            if placement != Placement():
                self.placements[material] = placement
        return lines

    def keys(self):
        return self.named.keys()

    def namespaced(self, namespace: str) -> "NearbyAssets":
        return self

    def write(self, name: str, data: str | bytes) -> None:
        raise NotImplementedError("meshes are only read")


def mtllib_names(path: Path) -> list[str]:
    """The material files that an OBJ names, each once. A name may hold spaces."""
    names: dict[str, None] = {}
    with open_text(path) as file:
        for line in file:
            if line.lstrip().startswith("mtllib"):
                rest = line.strip()[len("mtllib") :].strip()
                several = rest.split()
                whole = len(several) < 2 or find_nearby(path.parent, rest) is not None
                names |= dict.fromkeys([rest] if whole else several)
    return list(names)


def used_materials(path: Path) -> set[str]:
    """The materials that an OBJ asks for, but for names that can't be read as text."""
    with open_text(path) as file:
        used = {_material(line) for line in file if "usemtl" in line and _key(line) == "usemtl"}
    return {name for name in used if name and "\ufffd" not in name}


def _key(line: str) -> str:
    return line.split(maxsplit=1)[0].lower() if line.strip() else ""


def _material(line: str) -> str:
    """What stands behind the first word."""
    return " ".join(line.split()[1:])


def _text(library: Path) -> str:
    """A material file's text: UTF-8, UTF-16, or what western Windows wrote before them."""
    data = library.read_bytes()
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def split_options(rest: str) -> tuple[Placement, str]:
    """What stands after map_Kd, as what its options say and its file's name, in which there may be spaces."""
    words, at = rest.split(), 0
    pairs: dict[str, tuple[float, ...]] = {option: () for option in _VECTORS}
    clamp = False
    while at < len(words) and words[at].lower() in (*_OPTIONS, *_VECTORS):
        option, first = words[at].lower(), at + 1
        at = first
        if option in _VECTORS:
            while at < min(first + 3, len(words)) and _NUMBER.match(words[at]):
                at += 1
            pairs[option] = tuple(float(word) for word in words[first:at])
        else:
            at += _OPTIONS[option]
            clamp |= option == "-clamp" and words[first:at] == ["on"]
    name = rest
    for word in words[:at]:
        name = name.strip()[len(word) :]
    scale, offset = ((*pairs[key], *[usual] * 2)[:2] for key, usual in (("-s", 1.0), ("-o", 0.0)))
    return Placement((scale[0], scale[1]), (offset[0], offset[1]), clamp), name.strip().strip('"')


def obj_vertex_colors(path: Path) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, "points 3"]] | None:
    """Positions and colors (sRGB in [0, 1]) of the `v x y z r g b` lines, or of ZBrush's `#MRGB`; None for neither."""
    rows, painted = [], ""
    is_painted = b"#MRGB " in path.read_bytes()
    with open_text(path) as file:
        for line in file:
            if line.lstrip()[:2] in ("v ", "v\t"):
                rows.append(line.split()[1:7])
                if len(rows[-1]) < 6 and not is_painted:
                    return None
            elif line.startswith("#MRGB "):
                painted += line[len("#MRGB ") :].strip()
    try:
        values = np.array(rows, dtype=np.float64)
        polypaint = np.frombuffer(bytes.fromhex(painted), dtype=np.uint8).reshape(-1, 4)  # mask, red, green, blue
    except ValueError:
        return None
    if len(values) and len(polypaint) == len(values) and values.shape[1] >= 3:
        return values[:, :3], polypaint[:, 1:] / 255
    if values.ndim != 2 or values.shape[1] < 6:
        return None
    colors = values[:, 3:]
    return values[:, :3], np.clip(colors / 255 if colors.max() > 1 else colors, 0, 1)
