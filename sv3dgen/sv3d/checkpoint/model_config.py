"""The config.json that may lie next to a checkpoint and tell its sizes, in the official form or in ours."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from sv3dgen.documents.json_text import read_object
from sv3dgen.errors import InputError
from sv3dgen.sv3d.config import SV3DConfig, misfit, read_official


def read_config_beside(path: Path) -> tuple[SV3DConfig, str] | None:
    """The sizes in the config.json next to `path`, and that file's name; None where there is none that is SV3D's.

    The official form has `official_config` (see `read_official`), ours has the fields of `SV3DConfig`: whichever of
    them are left out are SV3D_p's. Any other config.json belongs to something else and says nothing of the checkpoint.
    """
    file = path.parent / "config.json"
    if not file.is_file():
        return None
    document = read_object(file)
    if "official_config" in document:
        try:
            config = read_official(document)
            # Through our own form, which tells the types.
            return config_from_fields(json.loads(json.dumps(asdict(config))), str(file)), str(file)
        except InputError as error:
            text = str(error)
            raise InputError(text if text.startswith(str(file)) else str(file.parent / text)) from None
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"{file}: not the official configuration ({error})") from error
    if "unet" in document or "image_encoder" in document:
        return config_from_fields(document, str(file)), str(file)
    return None


def config_from_fields(document: Mapping[str, Any], source: str) -> SV3DConfig:
    """The sizes in our form, as the members of a JSON file or a node of a run's config; `source` is for messages.

    Whichever fields are left out are SV3D_p's. Raises InputError for an unknown field, a value of another type or out
    of its domain, and sizes that do not go together.
    """
    config: SV3DConfig = _read(SV3DConfig, dict(document), source)
    wrong = misfit(config)
    if wrong is not None:
        raise InputError(f"{source}: {wrong}")
    return config


def _read(kind: Any, document: Any, file: str, where: str = "") -> Any:
    """A value of a field's type: a dataclass of an object's members, a tuple of a list, or a number as it is."""
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(document, dict):
        types = get_type_hints(kind, include_extras=True)
        for key in document:
            if key not in types:
                raise InputError(f"{file}: {where}{key}: no such key, expected one of {', '.join(types)}")
        return kind(**{key: _read(types[key], value, file, f"{where}{key}.") for key, value in document.items()})
    if get_origin(kind) is Annotated:
        value, domain = _read(get_args(kind)[0], document, file, where), get_args(kind)[1]
        if value not in domain:
            raise InputError(f"{file}: {where.rstrip('.')}: found {value}, expected {domain}")
        return value
    item = get_args(kind)[0] if get_args(kind) else None
    if item is not None and isinstance(document, list):
        values = tuple(_read(item, value, file, where) for value in document)
        if Ellipsis in get_args(kind) or len(values) == len(get_args(kind)):
            return values
    elif kind in (int, float) and type(document) in (int, kind):
        return kind(document)
    raise InputError(f"{file}: {where.rstrip('.')}: found {str(document)[:60]}, expected {_in_words(kind)}")


def _in_words(kind: Any) -> str:
    if is_dataclass(kind):
        return "an object"
    return "a list of numbers" if get_args(kind) else {int: "a whole number", float: "a number"}[kind]
