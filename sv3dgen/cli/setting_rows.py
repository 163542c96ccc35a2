"""Every setting of a composed config: its key, its value, what it may be, and what conf/ says of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from sv3dgen.cli.annotations import shown, spelled
from sv3dgen.cli.class_sources import read_signature
from sv3dgen.cli.conf_comments import said_of_keys
from sv3dgen.cli.run_settings import SCHEMAS
from sv3dgen.runs.run_folder import OURS

ROOT = Path(__file__).resolve().parents[2]
_MAPPING = "Mapping[str, "
_SCHEDULE = re.compile(r"((?:int|float) from \S+ to [^\s|\]]+) \| a list of \[step or share, \1\]")


@dataclass(frozen=True)
class Setting:
    """One `key=value`."""

    key: str
    value: str  # as it is typed on the command line
    domain: str  # what it may be; "" where nothing bounds it
    said: str  # by conf/


def setting_rows(config: DictConfig, choices: Mapping[Any, Any], places: list[Path]) -> Iterator[Setting]:
    """The settings without Hydra's own: what a run is given, then its parts in the order of the config.

    `choices` is `hydra.runtime.choices`; `places` are conf/ and further folders like it.
    """
    said = said_of_keys({str(group): option for group, option in choices.items()}, places)
    keys = [key for key in map(str, config) if key != "hydra"]
    alone = [key for key in keys if OmegaConf.is_interpolation(config, key) or not OmegaConf.is_config(config[key])]
    for key in [*alone, *(key for key in keys if key not in alone)]:
        yield from _rows(config, key, key, said, "")


def _rows(node: DictConfig, key: str, path: str, said: Mapping[str, str], inherited: str) -> Iterator[Setting]:
    told = _spelled(node, key, path.rpartition(".")[0]) or inherited
    words = said.get(path, "")
    if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key):
        raw = OmegaConf.to_container(node, resolve=False)
        assert isinstance(raw, dict)
        yield Setting(path, str(raw[key]), "", words)
    elif isinstance(node[key], DictConfig) and len(node[key]):
        inner = told.removeprefix(_MAPPING)[:-1] if told.startswith(_MAPPING) else ""
        for name in map(str, node[key]):
            if name != "_target_":
                yield from _rows(node[key], name, f"{path}.{name}", said, inner)
    else:
        yield Setting(path, _typed(node[key]), _bounds(told), words)


def _spelled(node: DictConfig, key: str, parent: str) -> str:
    """The annotation of a constructor's argument, or of a field of `run_settings.py`, in words."""
    own = str(node.get("_target_") or "")
    target = own if own.split(".")[0] in OURS else SCHEMAS.get(parent, "")
    signature = read_signature(target, ROOT) if target else None
    annotation = None if signature is None else signature.arguments.get(key)
    return "" if annotation is None or signature is None else spelled(annotation, signature.file, ROOT)


def _bounds(told: str) -> str:
    """The words of an annotation that say which values there are; "" for a mere type."""
    if told == "bool":
        return "true or false"
    if " from " not in told and "one of " not in told:
        return ""
    told = _SCHEDULE.sub(r"\1, or a schedule [[when, value], ...]", told)
    told = told.replace("list of int from", "list of whole numbers from")
    return told.replace("int from", "whole number from").replace("float from", "number from").replace(" | ", " or ")


def _typed(value: Any) -> str:
    """A value as it is typed: lists and mappings on one line."""
    if isinstance(value, DictConfig | ListConfig):
        value = OmegaConf.to_container(value, resolve=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_typed(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_typed, value)) + "]"
    return shown(value)
