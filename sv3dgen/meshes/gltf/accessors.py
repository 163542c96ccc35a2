"""The arrays of a glTF file: strided, normalized, sparse, or packed by Draco (glTF 2.0, section 3.6.2)."""

import numpy as np

from sv3dgen.errors import InputError
from sv3dgen.meshes.gltf.file import DRACO, GltfFile

_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_MOST_ROWS = 50_000_000  # of zeros that no bytes stand behind
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def read_accessor(file: GltfFile, index: int) -> np.ndarray:
    """The accessor's values, `count` rows; normalized integers as the fractions that they stand for (float32).

    Raises InputError where the bytes end before the values do.
    """
    return fractions(_stored(file, index), file.items("accessors")[index])


def fractions(values: np.ndarray, accessor: dict) -> np.ndarray:
    """Normalized integers as float32: unsigned ones over their maximum, signed ones likewise and not below -1."""
    if not accessor.get("normalized") or values.dtype.kind == "f":
        return values
    largest = np.float32(np.iinfo(values.dtype).max)
    return np.maximum(values.astype(np.float32) / largest, -1)


def _stored(file: GltfFile, index: int) -> np.ndarray:
    accessor = file.items("accessors")[index]
    count, width = accessor["count"], _WIDTHS[accessor["type"]]
    if "bufferView" in accessor:
        values = _rows(file, accessor["bufferView"], accessor.get("byteOffset", 0), accessor, count, width)
    else:  # zeros, which sparse values may replace
        if count > _MOST_ROWS:
            raise InputError(f"{file.path}: accessor {index} has {count} values and no bytes for them")
        values = np.zeros((count, width), _TYPES[accessor["componentType"]])
    if "sparse" in accessor:
        sparse = accessor["sparse"]
        where, new = sparse["indices"], sparse["values"]
        rows = _rows(file, where["bufferView"], where.get("byteOffset", 0), where, sparse["count"], 1)[:, 0]
        if len(rows) and int(rows.max()) >= count:
            raise InputError(f"{file.path}: accessor {index} replaces value {rows.max()} of {count}")
        values = values.copy()
        values[rows] = _rows(file, new["bufferView"], new.get("byteOffset", 0), accessor, sparse["count"], width)
    return values


def _rows(file: GltfFile, view: int, offset: int, kind: dict, count: int, width: int) -> np.ndarray:
    """`count` rows of `width` numbers that stand `byteStride` apart."""
    data, dtype = file.view(view), np.dtype(_TYPES[kind["componentType"]])
    stride = file.items("bufferViews")[view].get("byteStride") or dtype.itemsize * width
    if count and offset + stride * (count - 1) + dtype.itemsize * width > len(data):
        raise InputError(f"{file.path}: buffer view {view} holds {len(data)} bytes, too few for {count} values")
    return np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize))


class Attributes:
    """The arrays of one primitive, by name, wherever they are stored."""

    def __init__(self, file: GltfFile, primitive: dict):
        self.file, self.named = file, primitive["attributes"]
        self.indices_at = primitive.get("indices")
        self.unpacked: dict[str, np.ndarray] = {}
        self.faces: np.ndarray | None = None
        packed = primitive.get("extensions", {}).get(DRACO)
        if packed is not None:
            self._unpack(packed)

    def __contains__(self, name: str) -> bool:
        return name in self.named

    def __getitem__(self, name: str) -> np.ndarray:
        accessor = self.named[name]
        if name in self.unpacked:
            return fractions(self.unpacked[name], self.file.items("accessors")[accessor])
        return read_accessor(self.file, accessor)

    def indices(self, count: int) -> np.ndarray:
        """Vertex numbers in drawing order; all `count` in turn where the file has none."""
        if self.faces is not None:
            return self.faces.reshape(-1).astype(np.int64)
        if self.indices_at is None:
            return np.arange(count)
        return read_accessor(self.file, self.indices_at)[:, 0].astype(np.int64)

    def _unpack(self, packed: dict) -> None:
        """What Draco holds; what it doesn't stays to be read as usual. InputError where it can't be unpacked."""
        try:
            import DracoPy  # pyright: ignore[reportMissingImports]  (an extra)
        except ImportError:
            if any("bufferView" not in self.file.items("accessors")[at] for at in self.named.values()):
                raise self.file.refused(DRACO) from None
            return  # the plain arrays stand next to the packed ones
        try:
            found = DracoPy.decode(self.file.view(packed["bufferView"]))
        except Exception as error:  # whatever its C++ part fails with
            raise InputError(f"{self.file.path}: {DRACO}: damaged ({error})") from None
        names = {number: name for name, number in packed["attributes"].items()}
        for attribute in found.attributes:
            name = names.get(attribute["unique_id"])
            if name is not None and name in self.named:
                self.unpacked[name] = np.asarray(attribute["data"])
        self.faces = np.asarray(found.faces)
