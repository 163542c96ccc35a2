"""Hydra reads a yaml of conf/ once in a process, which composes hundreds of configs of the same few files.

Each load is a copy of its own, since Hydra writes to what it loads; a file that has changed is read again.
"""

import os
import pickle
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource

Load = Callable[[ConfigSource, str], ConfigResult]


def read_yamls_once() -> None:
    """Have Hydra's sources of configs keep what they have loaded, until this process ends."""
    Plugins.instance()  # imports the sources' modules anew: what was changed in them before is lost
    resolve = SourcesRegistry.instance().resolve
    for scheme in ("file", "pkg", "structured"):
        source = resolve(scheme)
        state = _state_of_file if scheme == "file" else _no_state  # Hydra's own do not change
        source.load_config = _kept(source.load_config, state)  # type: ignore[method-assign]


def _kept(load: Load, state: Callable[[str, str], tuple]) -> Load:
    results: dict[tuple, Callable[[], ConfigResult]] = {}

    def load_config(self: ConfigSource, config_path: str) -> ConfigResult:
        key = (self.provider, self.path, config_path, *state(self.path, config_path))
        if key not in results:
            results[key] = copies_of(load(self, config_path))
        return results[key]()

    return load_config


def copies_of(value: Any) -> Callable[[], Any]:
    """What makes a copy at each call: of a pickle, in a sixth of the time, where there can be one."""
    try:
        kept = pickle.dumps(value)
        pickle.loads(kept)
    except (pickle.PicklingError, AttributeError, TypeError):
        # Of Hydra's own configs: their modules were imported twice, so that a pickle does not find their classes.
        return partial(deepcopy, value)
    return partial(pickle.loads, kept)


def _state_of_file(path: str, name: str) -> tuple:
    file = Path(path.removeprefix("file://"), name if name.endswith(".yaml") else f"{name}.yaml")
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _no_state(path: str, name: str) -> tuple:
    return ()
