"""The triangles of a 3MF file (3MF core specification 1.3); its colors are left out."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import cast
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import torch
from jaxtyping import Float

from sv3dgen.errors import InputError, one_line
from sv3dgen.meshes.mesh_parts import placed_part
from sv3dgen.meshes.textured_mesh import TexturedMesh

Matrix = Float[np.ndarray, "4 4"]

_MODEL_TYPE = "3dmanufacturing/2013/01/3dmodel"  # ends the type of the relation that names the model
_LARGEST_BYTES = 1 << 30
_DEEPEST = 32
_MOST_OBJECTS = 10_000  # in their places: each level of a few bytes can double them
# Extensions by the last words of their namespaces: what they add neither moves nor adds triangles that are read.
_KNOWN = ("material/2015/02", "production/2015/06", "trianglesets/2021/07", "displacement/2022/07")


def read_3mf(path: Path) -> list[TexturedMesh]:
    """Every object of the build, in its place, in the file's own unit.

    Raises InputError for what is not a 3MF file, and by name for required extensions that are not read.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(content) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_BYTES:
                raise InputError(f"{path}: unpacks to more than 1 GiB, expected a smaller mesh")
            package = _Package(path, archive)
            main = package.main_part()
            return [
                placed_part(path, mesh, transform)
                for item in package.model(main).iterfind("{*}build/{*}item")
                for mesh, transform in package.placed(_part_of(item, main), item.attrib["objectid"], _matrix(item))
                if len(mesh.faces)
            ]
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and expat raise whatever the broken bytes lead to
        raise InputError(f"{path}: not a readable 3MF mesh ({one_line(str(error))[:100]})") from error


class _Package:
    """The parts of a 3MF file, each parsed once."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self.path, self.archive = path, archive
        self.models: dict[str, Element] = {}
        self.meshes: dict[Element, TexturedMesh] = {}
        self.visits = 0

    def main_part(self) -> str:
        """The name of the model that the package says is its first."""
        relations = ElementTree.fromstring(self.archive.read("_rels/.rels"))
        for relation in relations:
            if relation.attrib.get("Type", "").endswith(_MODEL_TYPE):
                return relation.attrib["Target"]
        raise ValueError("it names no model")

    def model(self, part: str) -> Element:
        if part not in self.models:
            self.models[part] = self._parsed(self.archive.read(part.lstrip("/")))
        return self.models[part]

    def _parsed(self, text: bytes) -> Element:
        """The root, after its required extensions were found to be known; only events tell what prefixes mean."""
        spaces: dict[str, str] = {}
        root: Element | None = None
        for event, found in ElementTree.iterparse(io.BytesIO(text), events=("start-ns", "start")):
            if event == "start-ns":
                prefix, space = cast(tuple[str, str], found)
                spaces.setdefault(prefix, space)
            elif root is None:
                root = cast(Element, found)
                for prefix in root.attrib.get("requiredextensions", "").split():
                    space = spaces.get(prefix, prefix)
                    if not space.rstrip("/").endswith(_KNOWN):
                        raise InputError(f"{self.path}: requires {space}, which is not read; export it without")
        if root is None:
            raise ValueError("an empty model")
        return root

    def placed(
        self, part: str, number: str, transform: Matrix, depth: int = 0
    ) -> Iterator[tuple[TexturedMesh, Matrix]]:
        """An object's mesh, and those of the objects that it is put together from."""
        self.visits += 1
        if depth > _DEEPEST or self.visits > _MOST_OBJECTS:
            raise ValueError("objects are parts of themselves, or too many")
        found = next(
            (each for each in self.model(part).iterfind("{*}resources/{*}object") if each.attrib["id"] == number), None
        )
        if found is None:
            raise ValueError(f"object {number} is missing in {PurePosixPath(part).name}")
        mesh = found.find("{*}mesh")
        if mesh is not None:
            if mesh not in self.meshes:
                self.meshes[mesh] = _triangles(mesh)
            yield self.meshes[mesh], transform
        for each in found.iterfind("{*}components/{*}component"):
            moved = transform @ _matrix(each)
            yield from self.placed(_part_of(each, part), each.attrib["objectid"], moved, depth + 1)


def _triangles(mesh: Element) -> TexturedMesh:
    points = [[float(each.attrib[axis]) for axis in "xyz"] for each in mesh.iterfind("{*}vertices/{*}vertex")]
    corners = [
        [int(each.attrib[corner]) for corner in ("v1", "v2", "v3")]
        for each in mesh.iterfind("{*}triangles/{*}triangle")
    ]
    return TexturedMesh(
        torch.tensor(points, dtype=torch.float64).reshape(-1, 3),
        torch.tensor(corners, dtype=torch.int64).reshape(-1, 3),
    )


def _part_of(element: Element, part: str) -> str:
    """The model part that an item or component points into (production extension), else the one it stands in."""
    return next((value for key, value in element.attrib.items() if key.endswith("}path")), part)


def _matrix(element: Element) -> Matrix:
    """The transform of an item or a component: twelve numbers that multiply points from the right."""
    matrix = np.eye(4)
    if "transform" in element.attrib:
        matrix[:3] = np.array(element.attrib["transform"].split(), dtype=np.float64).reshape(4, 3).T
    return matrix
