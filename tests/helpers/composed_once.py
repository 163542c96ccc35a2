"""Hydra puts the same files together once in a process; each composed config then takes settings of its own.

The suite composes hundreds of configs of a few choices of options. Which files they are made of follows from the
options that are chosen, never from other settings. What is kept of them is known by its folders, with all files in
them as they are at the time; each composed config is a copy.
"""

import os
from collections.abc import Callable
from typing import Any

from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import DefaultsList, InputDefault, Overrides
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig
from yamls_once import copies_of

_listed: dict[tuple, DefaultsList] = {}
_keys: dict[int, tuple] = {}  # of each list of files in there
_merged: dict[tuple, Callable[[], DictConfig]] = {}
_list_files = config_loader_impl.create_defaults_list
_merge_files = ConfigLoaderImpl._compose_config_from_defaults_list
_map_choices = defaults_list._create_interpolation_map


def compose_once() -> None:
    """Have Hydra keep which files a choice of options stands for, and what they are together."""
    config_loader_impl.create_defaults_list = _files_of
    ConfigLoaderImpl._compose_config_from_defaults_list = _merged_files  # type: ignore[method-assign]
    defaults_list._create_interpolation_map = _mapped_choices  # type: ignore[assignment]


def _files_of(
    repo: IConfigRepository, config_name: str | None, overrides_list: list[Override], **options: Any
) -> DefaultsList:
    choices, values = [], []
    for override in overrides_list:
        (choices if _chooses(override, repo) else values).append(override)
    told = tuple(str(override.input_line) for override in choices)
    key = (config_name, *options.items(), told, *map(_state, repo.get_sources()))
    if key not in _listed:
        kept = _list_files(repo, config_name, choices, **options)
        _listed[key], _keys[id(kept.defaults)] = kept, key
    kept = _listed[key]
    values = Overrides(repo, values).config_overrides
    return DefaultsList(kept.defaults, kept.defaults_tree, values, kept.overrides)


def _merged_files(loader: ConfigLoaderImpl, defaults: list, repo: IConfigRepository) -> DictConfig:
    key = _keys.get(id(defaults))
    if key is None:
        return _merge_files(loader, defaults, repo)
    if key not in _merged:
        _merged[key] = copies_of(_merge_files(loader, defaults, repo))
    return _merged[key]()


def _mapped_choices(overrides: Overrides, defaults: list[InputDefault], self_added: bool) -> DictConfig | None:
    """What entries of a list of defaults may refer to, which takes a quarter of the time; hardly any list does."""
    refers = any(default.is_interpolation() for default in defaults)
    return _map_choices(overrides, defaults, self_added) if refers else None


def _chooses(override: Override, repo: IConfigRepository) -> bool:
    """Whether it names an option, and so decides which files there are."""
    if override.is_sweep_override() or not repo.group_exists(override.key_or_group):
        return False
    return not isinstance(override.value(), dict)  # which are settings of the group's options


def _state(source: Any) -> tuple:
    """Where configs come from; of a folder, with each file's time and size."""
    found = []
    if source.scheme() == "file":
        for folder, _, names in os.walk(source.path.removeprefix("file://")):
            for name in names:
                state = os.stat(os.path.join(folder, name))
                found.append((folder, name, state.st_mtime_ns, state.st_size, state.st_ino))
    return source.provider, source.path, *sorted(found)
