"""The keys, groups and options that the command line may name; the nearest one where it names another."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from sv3dgen.cli.annotations import shown
from sv3dgen.errors import InputError


def search_path(parsed: Iterable[Override]) -> list[Path]:
    """Folders of further options, which `hydra.searchpath=[DIR,...]` names. InputError where one is not there."""
    given = [override.value() for override in parsed if override.key_or_group == "hydra.searchpath"]
    folders = []
    for entry in map(str, given[-1] if given and isinstance(given[-1], list) else []):
        scheme, separator, path = entry.rpartition("://")
        if separator and scheme != "file":
            continue  # of a package: Hydra knows
        if not Path(path).is_dir():
            raise InputError(f"hydra.searchpath={entry}: no such folder, expected one with folders like those of conf/")
        folders.append(Path(path))
    return folders


def groups_in(places: Iterable[Path]) -> dict[str, list[str]]:
    """Every group as it is written on the command line, `geometry` or `guidance/sds`, and its options."""
    groups: dict[str, list[str]] = {}
    for conf in places:
        for path in sorted(conf.glob("*/**/*.yaml")):
            if path.relative_to(conf).parts[0] == "hydra":
                continue  # those next to Hydra's own options, which Hydra knows
            groups.setdefault(path.parent.relative_to(conf).as_posix(), []).append(path.stem)
    return groups


def chooses(override: Override, groups: Mapping[str, list[str]]) -> bool:
    """Whether a setting picks an option of a group, or says where there are more, rather than changing a value."""
    key = override.key_or_group
    return key in groups or key.startswith("hydra/") or key == "hydra.searchpath"


def check_option(override: Override, groups: Mapping[str, list[str]]) -> None:
    group = override.key_or_group
    if override.is_delete() or group not in groups:
        return  # Hydra's own groups: Hydra knows
    value = override.value()
    if value == []:
        raise InputError(f"{group}=[]: expected one of: {', '.join(groups[group])}")
    for choice in value if isinstance(value, list) else [value]:
        if str(choice) not in groups[group]:
            raise InputError(f"{group}={shown(choice)}: no such option, expected one of: {', '.join(groups[group])}")


def check_key(key: str, tree: Mapping[Any, Any], groups: Iterable[str]) -> None:
    """Raise InputError, with the nearest key, where the composed config has no such key."""
    node: Any = tree
    for part in key.split("."):
        if isinstance(node, str) and "${" in node:
            return  # below a reference: Hydra knows
        if not isinstance(node, dict) or part not in {str(k) for k in node}:
            break
        node = next(value for k, value in node.items() if str(k) == part)
    else:
        return
    known = [name for name in _dotted(tree) if not name.startswith("hydra.")] + sorted(groups)
    by_leaf: dict[str, list[str]] = {}
    for name in known:
        by_leaf.setdefault(name.rpartition(".")[2], []).append(name)
    # The whole path may be nearly right, or its end right and the path to it forgotten.
    near = by_leaf.get(key) or get_close_matches(key, known, 1)
    near = near or [name for leaf in get_close_matches(key, by_leaf, 1) for name in by_leaf[leaf]]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "python launch.py --help lists all"
    raise InputError(f"{key}: no such key; {hint}")


def _dotted(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
