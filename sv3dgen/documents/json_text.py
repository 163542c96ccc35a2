"""JSON that anybody may have written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sv3dgen.errors import InputError


def parse_json(text: str | bytes, *, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a JSON text holds. ValueError for all that is wrong with it, nesting without end as well."""
    try:
        return json.loads(text, object_pairs_hook=object_pairs_hook)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_object(path: Path, expected: str = "a JSON file") -> dict[str, Any]:
    """The object that a file holds. Raises InputError, naming what was `expected`, for anything else."""
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected {expected}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}), expected {expected}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: holds a {type(document).__name__}, expected {expected}, which holds an object")
    return document
