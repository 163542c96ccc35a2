"""Values in a composed config against the constructors that will get them, before anything heavy is imported.

A component's constructor is its schema: its arguments (`class_sources.py`), and what fits them (`annotations.py`).
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sv3dgen.cli.annotations import SCALARS, accepts, narrowed, shown, spelled
from sv3dgen.cli.class_sources import Signature, module_file, read_signature
from sv3dgen.cli.run_settings import SCHEMAS
from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import OURS

NEEDED = {"system", "coarse", "fine", "kernels", "trainer", "export", "distillation", "train", "batches", "model"}
_ELSEWHERE = {"lightning.Trainer": "lightning.pytorch.trainer.trainer.Trainer"}  # where the class stands
ROOT = Path(__file__).resolve().parents[2]
_SET_BY_RUN = ("max_steps", "callbacks", "use_distributed_sampler")  # of lightning.Trainer
MAY_BE_AUTO = {"elevation_deg"}  # numbers that a run can find out for itself


def check_components(config: DictConfig, root: Path) -> None:
    """Raise InputError for the first argument of a `_target_` of ours that its constructor has not, or of a wrong type.

    `root` is the folder that holds the packages. Of other packages, modules on the import path are read as well, which
    is where extensions lie; what is installed under another name than its file's is left to itself.
    """
    for path, node in _components(config):
        target = str(node["_target_"])
        if target in _ELSEWHERE:
            _check_names(path, node, _ELSEWHERE[target], root)
        if target.split(".")[0] not in OURS and module_file(target.rpartition(".")[0], root) is None:
            continue
        signature = read_signature(target, root)
        if signature is None:
            continue
        for key in node:
            if not str(key).startswith("_"):
                _check_argument(f"{path}.{key}".lstrip("."), str(key), node, signature, root)


def _check_names(path: str, node: DictConfig, target: str, root: Path) -> None:
    """Raise InputError for an argument that Trainer has not, or that the run gives it; others are its affair."""
    for key in _SET_BY_RUN:
        if key in node:
            raise InputError(f"{path}.{key}: the run sets it; expected other arguments (steps are each stage's own)")
    plugins = node.get("plugins")
    is_list = isinstance(plugins, ListConfig)
    if plugins is not None and not (is_list and all(isinstance(one, DictConfig) for one in plugins)):
        raise InputError(f"{path}.plugins={shown(plugins)}: expected a list of components, each with a _target_")
    signature = read_signature(target, root) if module_file(target.rpartition(".")[0], root) is not None else None
    for key in map(str, node):
        if signature is not None and not (key.startswith("_") or key in signature.arguments or signature.open_ended):
            expected = ", ".join(signature.arguments)
            raise InputError(f"{path}.{key}: {signature.name} has no such argument, expected one of: {expected}")


def check_schemas(config: DictConfig, root: Path) -> None:
    """Raise InputError for the first value at the root of the config, or in a group, that is out of its domain."""
    for place, target in SCHEMAS.items():
        node = OmegaConf.select(config, place) if place else config
        above, _, name = place.rpartition(".")
        if above and not isinstance(node, DictConfig) and name in (OmegaConf.select(config, above) or {}):
            raise InputError(
                f"{place}={shown(node)}: expected its settings, which {place}.NAME=VALUE changes one by one"
            )
        signature = read_signature(target, ROOT)
        if isinstance(node, DictConfig) and signature is not None:
            known = node.keys() if place.split(".")[0] == "model" else signature.arguments.keys() & node.keys()
            for key in sorted(map(str, known)):
                _check_argument(f"{place}.{key}".lstrip("."), str(key), node, signature, root)


def _check_argument(path: str, key: str, node: DictConfig, signature: Signature, root: Path) -> None:
    if key not in signature.arguments:
        if signature.open_ended:
            return
        expected = ", ".join(signature.arguments) or "none"
        raise InputError(f"{path}: {signature.name} has no such argument, expected one of: {expected}")
    annotation = signature.arguments[key]
    value = _plain(node, key)
    if annotation is None or value is _UNKNOWN:
        return
    if value == "???":
        raise InputError(f"{path}: needs a value, expected {ast.unparse(annotation)}")
    if not accepts(annotation, value, signature.file, root):
        path, value, annotation, file = narrowed(path, value, annotation, signature.file, root)
        raise InputError(f"{path}={shown(value)}: expected {spelled(annotation, file, root)}")


def check_plain_values(config: DictConfig, defaults: DictConfig) -> None:
    """Raise InputError where a value outside every component has another type than its default.

    A default of null at the root stands for a path, and takes a string.
    """
    plain, before = OmegaConf.to_container(config, resolve=False), OmegaConf.to_container(defaults, resolve=False)
    assert isinstance(plain, dict) and isinstance(before, dict)
    for key, default in before.items():
        value = plain.get(key)
        if key in NEEDED and isinstance(default, dict) and not isinstance(value, dict):
            raise InputError(f"{key}={shown(value)}: expected its settings, which {key}.NAME=VALUE changes one by one")
        if default is None and not (value is None or isinstance(value, str)):
            raise InputError(f"{key}={shown(value)}: expected a path (quote a name that is a number: {key}=\\'3\\')")
    _compare(plain, before, "")


def _compare(values: dict, defaults: dict, path: str) -> None:
    if "_target_" in defaults:
        return
    for key, default in defaults.items():
        value, name = values.get(key), f"{path}{key}"
        if isinstance(default, dict) and isinstance(value, dict):
            _compare(value, default, f"{name}.")
        elif _interpolated(value) or _interpolated(default):
            continue
        else:
            kind = type(default).__name__
            if name in MAY_BE_AUTO and value == "auto":
                continue
            if kind in SCALARS and not SCALARS[kind](value):
                raise InputError(f"{name}={shown(value)}: expected {kind}, such as {shown(default)}")


def _components(config: Any, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every node with a `_target_`, where it is defined: references to it elsewhere are not followed."""
    if isinstance(config, DictConfig) and "_target_" in config:
        yield path, config
    if not isinstance(config, DictConfig | ListConfig):
        return
    keys: Any = config.keys() if isinstance(config, DictConfig) else range(len(config))
    for key in keys:
        if not OmegaConf.is_interpolation(config, key) and not OmegaConf.is_missing(config, key):
            yield from _components(config[key], f"{path}.{key}".lstrip("."))


_UNKNOWN = object()


def _plain(node: DictConfig, key: str) -> Any:
    """The value with references resolved; _UNKNOWN for another component, or what only a running Hydra can resolve."""
    if OmegaConf.is_missing(node, key):
        return "???"
    try:
        value = node[key]
        if isinstance(value, DictConfig | ListConfig):
            value = OmegaConf.to_container(value, resolve=True)
    except (OmegaConfBaseException, ValueError):
        return _UNKNOWN
    return _UNKNOWN if isinstance(value, dict) and "_target_" in value else value


def _interpolated(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def outside_sources(config: DictConfig, root: Path) -> list[Path]:
    """The files of the components that are not ours but lie on the import path: an extension's. Sorted."""
    modules = {str(node["_target_"]).rpartition(".")[0] for _, node in _components(config)}
    files = {module_file(module, root) for module in modules if module.split(".")[0] not in OURS}
    return sorted(file for file in files if file is not None)
