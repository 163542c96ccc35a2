"""JSON and YAML that anybody may have written. Standard library, and yaml where it is asked for."""

import json
from collections.abc import Callable
from typing import Any


def parse_json(text: str | bytes, *, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a JSON text holds. ValueError for all that is wrong with it, nesting without end as well."""
    try:
        return json.loads(text, object_pairs_hook=object_pairs_hook)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """What a YAML text holds, as plain values. ValueError for all that is wrong with it."""
    import yaml

    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except (TypeError, AttributeError, OverflowError) as error:  # of tags whose values are of another kind
        raise ValueError(f"not plain YAML ({error})") from None
