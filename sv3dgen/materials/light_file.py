"""`light.json` read, before anything looks at what it says. Standard library only."""

from pathlib import Path
from typing import Any

from sv3dgen.documents.json_text import read_object


def read_light(path: Path) -> dict[str, Any]:
    """What a light.json holds, for `material_from_light`. Raises InputError for a file that holds no JSON object."""
    return read_object(path, "the light.json that a run writes next to its mesh")
