"""`light.json` read, before anything looks at what it says. Standard library only."""

from pathlib import Path
from typing import Any

from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError


def read_light(path: Path) -> dict[str, Any]:
    """What a light.json holds, for `material_from_light`. Raises InputError for a file that holds no JSON object."""
    try:
        light = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected a light.json") from error
    except ValueError as error:
        raise InputError(f"{path}: expected the JSON that a run writes next to its mesh ({error})") from error
    if not isinstance(light, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(light).__name__}")
    return light
