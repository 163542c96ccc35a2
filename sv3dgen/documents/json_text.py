"""JSON that anybody may have written."""

import json
from collections.abc import Callable
from typing import Any


def parse_json(text: str | bytes, *, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a JSON text holds. ValueError for all that is wrong with it, nesting without end as well."""
    try:
        return json.loads(text, object_pairs_hook=object_pairs_hook)
    except RecursionError:
        raise ValueError("nested too deeply") from None
