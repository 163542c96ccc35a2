"""YAML that anybody may have written."""

from typing import Any

import yaml

MOST_VALUES = 100_000  # with all that aliases stand for written out; a long word counts by its length
_ENDLESS = "aliases without end, or too many values"


class _Loader(yaml.SafeLoader):
    """A safe one that counts what mappings hold as they are merged (`<<: [*a, *a]`), which multiplies."""

    merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        self.merged += len(node.value)
        if self.merged > MOST_VALUES:
            raise ValueError(_ENDLESS)


def parse_yaml(text: str) -> Any:
    """What a YAML text holds, as plain values. ValueError for all that is wrong with it."""
    try:
        found = yaml.load(text, Loader=_Loader)
        _refuse_endless(found)
        return found
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except (TypeError, AttributeError, OverflowError) as error:  # of tags whose values are of another kind
        raise ValueError(f"not plain YAML ({error})") from None


def _refuse_endless(tree: Any) -> None:
    """A few lines of aliases can stand for more values than fit into memory, and one that is in itself for no end."""
    sizes: dict[int, int | None] = {}  # None: begun

    def size(value: Any) -> int:
        if not isinstance(value, dict | list | set | tuple):
            return 1 + len(value) // 64 if isinstance(value, str) else 1
        if id(value) not in sizes:
            sizes[id(value)] = None
            inner = [*value, *value.values()] if isinstance(value, dict) else value
            sizes[id(value)] = 1 + sum(map(size, inner))
        known = sizes[id(value)]
        if known is None or known > MOST_VALUES:
            raise ValueError(_ENDLESS)
        return known

    size(tree)
