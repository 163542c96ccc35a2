"""YAML that anybody may have written."""

from typing import Any

import yaml


def parse_yaml(text: str) -> Any:
    """What a YAML text holds, as plain values. ValueError for all that is wrong with it."""
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except (TypeError, AttributeError, OverflowError) as error:  # of tags whose values are of another kind
        raise ValueError(f"not plain YAML ({error})") from None
