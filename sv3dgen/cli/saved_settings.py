"""What is taken of the settings in a run's folder: such a folder may come from anybody.

Taken are choices of options and plain values: numbers, words, null, and lists and mappings of these. Not taken is what
could name code (`_target_` and its like, `hydra.*`), ask the environment (`${...}`), or lead to a place that the user
did not name (a path in any key but those of the run's input). What is refused can be given again on the command line:
then it is the user's own.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override

from sv3dgen.cli.launchers import PLUGINS
from sv3dgen.cli.overrides import parse
from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import INTERPOLATION

INPUTS = {"views", "image", "weights", "data"}  # files that are read, by readers that run nothing of theirs
_LAUNCHERS = {"basic", *PLUGINS}


def trusted(file: Path, saved: list[str], given: list[str]) -> list[str]:
    """The settings of `file` that are taken: all of them, but for those that are not to be and are `given` anew.

    Raises InputError for the first that is not to be taken and is not given.
    """
    anew = {_key(text) for text in given}
    taken = []
    for text in saved:
        reason = distrust(text)
        if reason is None or text in given:
            taken.append(text)
        elif _key(text) not in anew:
            raise InputError(
                f"{file}: {text}: {reason}, which is not taken from a folder; where it is meant, expected it next to "
                "resume= as well"
            )
    return taken


def distrust(text: str) -> str | None:
    """Why a saved setting is not to be taken, in a few words; None where it is."""
    override = parse(text)
    key, package = override.key_or_group, override.package or ""
    if any(part.startswith("_") for name in (key, package) for part in re.split(r"[./]", name)):
        return "names what is to be called"
    if re.match(r"hydra\b", key) or re.match(r"hydra\b", package):
        return None if _is_launchers(override) else "a setting of Hydra's"
    if INTERPOLATION.search(text):
        return "refers to something else"
    for value in _values(override):
        if isinstance(value, str) and (INTERPOLATION.search(value) or value == "???"):
            return "refers to something else"
        if isinstance(value, str) and value.startswith("_"):
            return "names what is to be called"
        if key not in INPUTS and isinstance(value, str) and re.search(r"[/\\~]|^\.\.?$", value):
            return "a path of its own"
        if not (value is None or isinstance(value, bool | int | float | str)):
            return "not a plain value"
    return None


def refuse_links_out(folder: Path) -> None:
    """Raise InputError for a link in a folder that leads out of it: what is written there would land elsewhere."""
    home = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent) / name
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise InputError(f"{path}: a link that leads out of the folder; expected a file or folder in its place")


def _is_launchers(override: Override) -> bool:
    """Whether a setting of Hydra's only says how many of a sweep's runs there are at a time, and of which kind."""
    value, key = override.value(), override.key_or_group
    if override.is_sweep_override() or override.is_delete() or override.package is not None:
        return False
    if key in ("hydra/launcher", "hydra/cells"):
        return value in _LAUNCHERS
    return key.startswith("hydra.launcher.") and (value is None or isinstance(value, bool | int | float))


def _values(override: Override) -> Iterator[Any]:
    """Every plain value in a setting, and every key of its mappings."""
    if override.is_delete():
        return
    if not override.is_sweep_override():
        yield from _plain(override.value())
    elif isinstance(override.value(), ChoiceSweep):  # the other kinds are of numbers, or of options' names
        for text in override.sweep_string_iterator():
            yield from _plain(parse(f"{override.key_or_group}={text}").value())


def _plain(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _plain(key)
            yield from _plain(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _plain(inner)
    else:
        yield value


def _key(text: str) -> tuple[str, str | None]:
    override = parse(text)
    return override.key_or_group, override.package
