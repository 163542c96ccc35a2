"""Which `_target_` a config may have built: nothing that the user has not put in its place.

Whoever writes a `_target_` chooses what is called, with which arguments. Accepted are classes of the project's own
packages, what the files of conf/ name (a few of torch and Lightning), and what the files of an extension name whose
folder the user gave as `hydra.searchpath` on the command line. Hydra has a list of names that it refuses; this does not
lean on it.
"""

import re
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sv3dgen.cli.class_sources import defines_class
from sv3dgen.cli.config_check import OURS
from sv3dgen.errors import InputError

_COMMENT = re.compile(r"(?m)(^|\s)#.*$")
_NAMED = re.compile(r"""_target_['"]?\s*:\s*['"]?([\w.]+)""")
_OF_HYDRA = {  # what Hydra's own groups put into its part of the config
    "hydra.launcher": re.compile(
        r"(hydra\._internal\.core_plugins|hydra_plugins\.hydra_\w+_launcher)\.\w+\.\w+Launcher"
    ),
    "hydra.sweeper": re.compile(r"hydra\._internal\.core_plugins\.\w+\.\w+Sweeper"),
}


def check_targets(config: DictConfig, root: Path, search_path: Iterable[str]) -> None:
    """Raise InputError for the first `_target_` of the config that is not accepted.

    `root` holds conf/ and the packages. `search_path` is what `hydra.searchpath` names.
    """
    named = named_targets([root / "conf", *search_folders(search_path)])
    for path, target in _targets(config):
        if path in _OF_HYDRA and isinstance(target, str) and _OF_HYDRA[path].fullmatch(target):
            continue
        if not isinstance(target, str) or not (target in named or _is_our_class(target, root)):
            raise InputError(
                f"{path}._target_={target}: expected a class of {', '.join(OURS)}, one that conf/ names, or one that a "
                "file of an extension names, whose folder hydra.searchpath=[FOLDER] gives on the command line"
            )


def named_targets(folders: Iterable[Path]) -> set[str]:
    """Every `_target_` that the yamls below the folders name."""
    files = (file for folder in folders for file in folder.rglob("*.yaml"))
    texts = (file.read_text(encoding="utf-8", errors="replace") for file in files)
    return {name for text in texts for name in _NAMED.findall(_COMMENT.sub("", text))}


def search_folders(search_path: Iterable[str]) -> Iterator[Path]:
    """The folders that entries of `hydra.searchpath` stand for; of a package, without importing it."""
    for entry in search_path:
        scheme, separator, path = str(entry).rpartition("://")
        if not separator or scheme == "file":
            yield Path(path)
        elif scheme == "pkg":
            package, _, inner = path.replace(".", "/").partition("/")
            spec = PathFinder.find_spec(package)
            for place in (spec.submodule_search_locations or ()) if spec is not None else ():
                yield Path(place) / inner


def _is_our_class(target: str, root: Path) -> bool:
    """Not any function: some call what their arguments name."""
    return target.split(".")[0] in OURS and defines_class(target, root)


def _targets(config: Any, path: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Place and value of every `_target_`, references followed. Left out is what only a running Hydra can resolve."""
    keys: Any = list(config.keys()) if isinstance(config, DictConfig) else range(len(config))
    for key in keys:
        place = f"{path}.{key}".lstrip(".")
        if OmegaConf.is_missing(config, key):
            continue
        try:
            value = config[key]
        except (OmegaConfBaseException, ValueError):
            if key == "_target_":
                raise InputError(f"{place}: expected the name of a class") from None
            continue
        if key == "_target_":
            yield path, value
        elif isinstance(value, DictConfig | ListConfig) and id(value) not in above:  # what refers to itself has no end
            yield from _targets(value, place, (*above, id(value)))
