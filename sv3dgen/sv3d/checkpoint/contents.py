"""What lies in a checkpoint: which model, of which sizes, and that every tensor has the right name, shape and dtype.

Only headers are read here, never values. Two layouts are known: the official one, a single file with the keys of
`keys.py`, and diffusers' folder of unet/, vae/ and image_encoder/, whose names are our own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from sv3dgen.documents.json_text import read_object
from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.diffusers_folder import PARTS, folder_config, folder_table, folder_tensors
from sv3dgen.sv3d.checkpoint.keys import CLIP_PREFIX, ENCODER_PREFIX, LABEL_EMBEDDING, Entry, key_table
from sv3dgen.sv3d.checkpoint.model_config import read_config_beside
from sv3dgen.sv3d.checkpoint.safetensors_header import StoredTensor, read_header, shown
from sv3dgen.sv3d.config import SV3DConfig, sv3d_p, sv3d_u

RELEASED_SIZES = "the released sizes"
FLOAT_DTYPES = ("F16", "BF16", "F32", "F64")
_SVD_VECTOR = 768  # Stable Video Diffusion's width of the vector: frame rate, motion and noise


@dataclass(frozen=True)
class Contents:
    """A checkpoint whose names, shapes and dtypes are right. `sizes_from` says what they were measured by."""

    path: Path
    layout: Literal["official", "diffusers"]
    config: SV3DConfig
    sizes_from: str
    stored: Mapping[str, StoredTensor]
    table: Mapping[str, Entry]

    @property
    def variant(self) -> str:
        """The name of the model."""
        return variant_of(self.config)

    @property
    def used(self) -> list[tuple[Entry, StoredTensor]]:
        """What fills parameters, in the order in which it lies on the disk."""
        found = [(self.table[key], tensor) for key, tensor in self.stored.items() if self.table[key].names]
        return sorted(found, key=lambda pair: (str(pair[1].file), pair[1].first_byte))

    @property
    def unused(self) -> list[str]:
        """Keys of what no inference needs."""
        return [key for key in self.stored if not self.table[key].names]

    def facts(self) -> dict[str, Any]:
        """What there is to tell of it, as plain values."""
        parameters: dict[str, int] = dict.fromkeys(PARTS, 0)
        for entry, tensor in self.used:
            parameters[entry.part] += tensor.size
        return {
            "path": str(self.path),
            "model": self.variant,
            "layout": self.layout,
            "sizes_from": self.sizes_from,
            "bytes": sum(file.stat().st_size for file in {tensor.file for tensor in self.stored.values()}),
            "dtypes": sorted({tensor.dtype for _, tensor in self.used}),
            "tensors": len(self.stored),
            "parameters": parameters,
            "unused_tensors": len(self.unused),
            "unused_values": sum(self.stored[key].size for key in self.unused),
            "unused": sorted({_stem(key) for key in self.unused}),
        }


def variant_of(config: SV3DConfig) -> str:
    """`SV3D_p` or `SV3D_u`."""
    return "SV3D_p" if config.unet.takes_poses else "SV3D_u"


def read_contents(path: Path, config: SV3DConfig | None = None) -> Contents:
    """The contents of a checkpoint: an official file, or a diffusers folder.

    Sizes are those of `config` where it is given, else of a config.json in the same folder, else the released ones of
    the variant that the file holds. Raises InputError, naming the file and the key, where anything is missing,
    unknown, of a wrong shape or not of floats.
    """
    if path.is_dir():
        return _folder_contents(path, config)
    return official_contents(path, read_header(path), config)


def read_key_list(path: Path) -> Contents:
    """The same of a JSON list of an official file's keys and shapes, without any weights."""
    stored = {}
    for key, shape in read_object(path).items():
        if not isinstance(shape, list) or not all(type(side) is int for side in shape):
            raise InputError(f"{path}: {shown(key)}: expected a shape, as in a list of an official checkpoint's keys")
        stored[key] = StoredTensor(path, "F32", tuple(shape), 0)
    return official_contents(path, stored, None)


def official_contents(path: Path, stored: Mapping[str, StoredTensor], config: SV3DConfig | None) -> Contents:
    """The same of the tensors of an official file, however they came to have the official keys."""
    sizes_from = "the sizes asked for"
    if config is None:
        beside = read_config_beside(path)
        config, sizes_from = beside or (_released(path, stored), RELEASED_SIZES)
    table = key_table(config)
    if not any(key in table for key in stored):
        raise InputError(f"{path}: not an SV3D checkpoint: {_what_else(path, stored)}")
    _check_variant(path, stored, config, sizes_from)
    _check(path, stored, table, sizes_from)
    return Contents(path, "official", config, sizes_from, stored, table)


def _folder_contents(folder: Path, config: SV3DConfig | None) -> Contents:
    sizes_from = "the sizes asked for"
    if config is None:
        beside = read_config_beside(folder / "unet")
        config, sizes_from = beside or (folder_config(folder), "the parts' config.json")
    table, stored = folder_table(config), folder_tensors(folder)
    _check(folder, stored, table, sizes_from)
    return Contents(folder, "diffusers", config, sizes_from, stored, table)


def _released(path: Path, stored: Mapping[str, StoredTensor]) -> SV3DConfig:
    """The released variant that has this width of the conditioning vector."""
    if LABEL_EMBEDDING not in stored:
        return sv3d_p()
    width = stored[LABEL_EMBEDDING].shape[-1:]
    for config in (sv3d_p(), sv3d_u()):
        if width == (sum(config.unet.vector_dims),):
            return config
    found = "Stable Video Diffusion, not SV3D" if width == (_SVD_VECTOR,) else "no model that is known"
    raise InputError(
        f"{path}: {LABEL_EMBEDDING} has shape {_shape(stored[LABEL_EMBEDDING].shape)}: {found}; "
        "expected a width of 1280 (SV3D_p) or 256 (SV3D_u), or a config.json next to the file that tells the sizes"
    )


def _check_variant(path: Path, stored: Mapping[str, StoredTensor], config: SV3DConfig, sizes_from: str) -> None:
    """Raise InputError where the file is of another variant than the sizes say."""
    found = stored.get(LABEL_EMBEDDING)
    wanted = sum(config.unet.vector_dims)
    if found is not None and len(found.shape) == 2 and found.shape[1] != wanted:
        raise InputError(
            f"{path}: conditions a frame by {found.shape[1]} numbers ({LABEL_EMBEDDING} has shape "
            f"{_shape(found.shape)}), expected the {wanted} of {variant_of(config)} by {sizes_from}"
        )


def _check(path: Path, stored: Mapping[str, StoredTensor], table: Mapping[str, Entry], sizes_from: str) -> None:
    known = {key: tensor for key, tensor in stored.items() if key in table and table[key].names}
    wrong = [key for key, tensor in known.items() if tensor.shape != table[key].shape]
    if wrong:
        key, more = wrong[0], f"; {len(wrong)} shapes are wrong in all" if len(wrong) > 1 else ""
        raise InputError(
            f"{path}: {key} has shape {_shape(known[key].shape)}, expected {_shape(table[key].shape or ())} "
            f"by {sizes_from}{more}"
        )
    missing = [key for key, entry in table.items() if entry.names and key not in stored]
    unknown = [key for key in stored if key not in table]
    if missing:
        needed = sum(1 for entry in table.values() if entry.names)
        instead = f"; {len(unknown)} others are unknown: {_first_few(unknown)}" if unknown else ""
        raise InputError(
            f"{path}: {len(missing)} of the {needed} tensors needed are missing: {_first_few(missing)}{instead}"
        )
    if unknown:
        raise InputError(f"{path}: {len(unknown)} tensors that SV3D doesn't have: {_first_few(unknown)}")
    for key, tensor in known.items():
        if tensor.dtype not in FLOAT_DTYPES:
            raise InputError(f"{path}: {key} is stored as {tensor.dtype}, expected F16, BF16 or F32")


def _what_else(path: Path, stored: Mapping[str, StoredTensor]) -> str:
    if not stored:
        return "no tensors in it"
    if path.parent.name in ("unet", "vae", "image_encoder") and path.with_name("config.json").is_file():
        return f"one part of a diffusers folder; expected the folder itself, {path.parent.parent}"
    return f"none of its {len(stored)} keys is known ({_first_few(stored)})"


def _first_few(keys: Iterable[str]) -> str:
    listed = [shown(key) for key in islice(keys, 4)]
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")


def _stem(key: str) -> str:
    """What an unused key is a piece of: the decoder half of an autoencoder, or one of OpenCLIP's leftovers."""
    prefix = next((prefix for prefix in (ENCODER_PREFIX, CLIP_PREFIX) if key.startswith(prefix)), "")
    return f"{prefix}{key.removeprefix(prefix).split('.')[0]}"


def _shape(shape: tuple[int, ...]) -> str:
    return str(list(shape))
