"""Values in a composed config against the constructors that will get them, before anything heavy is imported.

A component's constructor is its schema. This reads it from the source file without importing it (torch alone takes
seconds), so a wrong type is refused at once. Understood are int, float, bool, str, None, Path, Literal, unions,
mappings, sequences, `Annotated` with a domain (`domains.py`) and aliases of these; every other annotation accepts
anything. An int is an acceptable float, a bool is neither, and neither are NaN and infinity.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sv3dgen.cli.run_settings import SCHEMAS
from sv3dgen.domains import Between, is_number, is_when
from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import OURS

_SCALARS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": is_number,
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "Path": lambda value: isinstance(value, str),
    "None": lambda value: value is None,
}
NEEDED = {"system", "coarse", "fine", "kernels", "trainer", "export", "distillation", "train", "batches"}
ROOT = Path(__file__).resolve().parents[2]
MAY_BE_AUTO = {"elevation_deg"}  # numbers that a run can find out for itself
_MAPPINGS = {"dict", "Mapping", "MutableMapping"}
_SEQUENCES = {"list", "Sequence", "Iterable"}


@dataclass(frozen=True)
class Signature:
    """The annotated arguments of a class or function, and where they stand."""

    name: str
    file: Path
    arguments: dict[str, ast.expr | None]  # None: not annotated
    open_ended: bool  # takes **kwargs


def check_components(config: DictConfig, root: Path) -> None:
    """Raise InputError for the first argument of a `_target_` of ours that its constructor has not, or of a wrong type.

    `root` is the folder that holds the packages. Of other packages, modules on the import path are read as well, which
    is where extensions lie; what is installed under another name than its file's is left to itself.
    """
    for path, node in _components(config):
        target = str(node["_target_"])
        if target.split(".")[0] not in OURS and _module_file(target.rpartition(".")[0], root) is None:
            continue
        signature = read_signature(target, root)
        if signature is None:
            continue
        for key in node:
            if not str(key).startswith("_"):
                _check_argument(f"{path}.{key}".lstrip("."), str(key), node, signature, root)


def check_schemas(config: DictConfig, root: Path) -> None:
    """Raise InputError for the first value at the root of the config, or in a group, that is out of its domain."""
    for place, target in SCHEMAS.items():
        node = OmegaConf.select(config, place) if place else config
        signature = read_signature(target, ROOT)
        if isinstance(node, DictConfig) and signature is not None:
            for key in signature.arguments.keys() & node.keys():
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
        path, value, annotation, file = _narrowed(path, value, annotation, signature.file, root)
        raise InputError(f"{path}={shown(value)}: expected {_spelled(annotation, file, root)}")


def _narrowed(path: str, value: Any, annotation: ast.expr, file: Path, root: Path) -> tuple[str, Any, ast.expr, Path]:
    """Of a value that does not fit: the one entry of a mapping by names that does not, if it is one."""
    while isinstance(annotation, ast.Name) and (alias := find_alias(annotation.id, file, root)) is not None:
        annotation, file = alias
    match annotation:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[ast.Name(id="str"), inner])) if (
            name in _MAPPINGS and isinstance(value, dict)
        ):
            for key, entry in value.items():
                if not accepts(inner, entry, file, root):
                    return f"{path}.{key}", entry, inner, file
    return path, value, annotation, file


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
            if kind in _SCALARS and not _SCALARS[kind](value):
                raise InputError(f"{name}={shown(value)}: expected {kind}, such as {shown(default)}")


def accepts(annotation: ast.expr, value: Any, file: Path, root: Path) -> bool:
    """Whether `value` fits an annotation that stands in `file`; True where the annotation is not understood."""
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str() as quoted):
            return accepts(ast.parse(quoted, mode="eval").body, value, file, root)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return accepts(left, value, file, root) or accepts(right, value, file, root)
        case ast.Name(id=name) if name in _SCALARS:
            return _SCALARS[name](value)
        case ast.Name(id=name) if name in _MAPPINGS:
            return isinstance(value, dict)
        case ast.Name(id=name) if name in _SEQUENCES | {"tuple"}:
            return isinstance(value, list)
        case ast.Name(id=name):
            alias = find_alias(name, file, root)
            return alias is None or accepts(alias[0], value, alias[1], root)
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[base, *domains])):
            fits = (_is_in(domain, value, file, root) for domain in domains)
            return accepts(base, value, file, root) and all(fits)
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _accepts_generic(name, items, value, file, root)
    return True


def _is_in(domain: ast.expr, value: Any, file: Path, root: Path) -> bool:
    """Whether a value is in a domain as it stands in an annotation; True where that is none of `domains.py`."""
    match domain:
        case ast.Call(func=ast.Name(id="Between"), args=[low, high]):
            return value in Between(ast.literal_eval(low), ast.literal_eval(high))
        case ast.Call(func=ast.Name(id="Pairs"), args=[inner]):
            pairs = all(isinstance(pair, list) and len(pair) == 2 and is_when(pair[0]) for pair in value)
            return pairs and len(value) > 0 and all(accepts(inner, pair[1], file, root) for pair in value)
        case ast.Call(func=ast.Name(id="Fields"), args=[ast.Constant(value=str() as name)]):
            fields = _fields(name, file)
            return all(
                key in fields and (fields[key] is None or accepts(fields[key], inner, file, root))
                for key, inner in value.items()
            )
    return True


def _fields(dataclass_name: str, file: Path) -> dict[str, ast.expr]:
    """The annotated fields of a dataclass in a file."""
    (node,) = (n for n in _parse(file).body if isinstance(n, ast.ClassDef) and n.name == dataclass_name)
    return {ast.unparse(field.target): field.annotation for field in node.body if isinstance(field, ast.AnnAssign)}


def _accepts_generic(name: str, items: list[ast.expr], value: Any, file: Path, root: Path) -> bool:
    def fits(annotation: ast.expr, element: Any) -> bool:
        return accepts(annotation, element, file, root)

    if name == "Literal":
        # 1 == True in Python, but not in a config
        return any(isinstance(i, ast.Constant) and i.value == value and type(i.value) is type(value) for i in items)
    if name in ("Optional", "Union"):
        return (name == "Optional" and value is None) or any(fits(item, value) for item in items)
    if name in _MAPPINGS:
        return isinstance(value, dict) and all(fits(items[0], k) and fits(items[-1], v) for k, v in value.items())
    if name in _SEQUENCES:
        return isinstance(value, list) and all(fits(items[0], element) for element in value)
    if name == "tuple":
        if not isinstance(value, list):
            return False
        if isinstance(items[-1], ast.Constant) and items[-1].value is Ellipsis:
            return all(fits(items[0], element) for element in value)
        return len(value) == len(items) and all(map(fits, items, value))
    return True


def read_signature(target: str, root: Path) -> Signature | None:
    """The constructor's arguments of a dotted class or function of ours; None where they can't be read off.

    Raises InputError where the file or the name in it is missing.
    """
    module, _, name = target.rpartition(".")
    file = _module_file(module, root)
    body = _parse(file).body if file else []
    found = [n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name]
    if file is None or not found:
        raise InputError(f"_target_={target}: no such class, expected one in {module.replace('.', '/')}.py")
    node = found[-1]
    if isinstance(node, ast.FunctionDef):
        return _from_function(name, file, node.args)
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _from_function(name, file, statement.args)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        fields = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
        return Signature(name, file, {ast.unparse(f.target): f.annotation for f in fields}, open_ended=False)
    return None


def _from_function(name: str, file: Path, arguments: ast.arguments) -> Signature:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    annotations = {a.arg: a.annotation for a in named if a.arg != "self"}
    return Signature(name, file, annotations, arguments.kwarg is not None)


def find_alias(name: str, file: Path, root: Path) -> tuple[ast.expr, Path] | None:
    """What a name in an annotation is an alias for, and the file that says so; None where it is not one of ours."""
    for statement in _parse(file).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=assigned)], value=value) if assigned == name:
                return value, file
            case ast.ImportFrom(module=str() as module, names=names) if module.split(".")[0] in OURS:
                for alias in names:
                    source = _module_file(module, root)
                    if (alias.asname or alias.name) == name and source is not None:
                        return find_alias(alias.name, source, root)
    return None


def shown(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _spelled(annotation: ast.expr, file: Path, root: Path) -> str:
    """An annotation in words a user knows: aliases spelled out, choices as a list, domains by their bounds."""

    def inner(part: ast.expr) -> str:
        return _spelled(part, file, root)

    match annotation:
        case ast.Name(id=name) if name not in _SCALARS:
            alias = find_alias(name, file, root)
            return name if alias is None else _spelled(alias[0], alias[1], root)
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[base, domain, *_])):
            match domain:
                case ast.Call(func=ast.Name(id="Between"), args=[low, high]):
                    kind = "int" if ast.unparse(base) == "int" else "float"
                    return f"{kind} from {Between(ast.literal_eval(low), ast.literal_eval(high))}"
                case ast.Call(func=ast.Name(id="Pairs"), args=[value]):
                    return f"a list of [step or share, {inner(value)}]"
                case ast.Call(func=ast.Name(id="Fields"), args=[ast.Constant(value=str() as name)]):
                    return f"{{{'; '.join(f'{key}: {inner(kind)}' for key, kind in _fields(name, file).items())}}}"
            return inner(base)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            items = choices.elts if isinstance(choices, ast.Tuple) else [choices]
            named = ", ".join(str(item.value) for item in items if isinstance(item, ast.Constant))
            return named if len(items) == 1 else f"one of {named}"
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[key, value])) if name in _MAPPINGS:
            return f"{name}[{inner(key)}, {inner(value)}]"
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{inner(left)} | {inner(right)}"
    return ast.unparse(annotation).replace("None", "null")


def domain_of(annotation: ast.expr, file: Path, root: Path) -> str | None:
    """The annotation in words where it bounds numbers, else None."""
    told = _spelled(annotation, file, root)
    return told if " from " in told else None


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


def class_number(target: str, name: str, root: Path) -> int | None:
    """A whole number that a class sets in its body, `name = 3`; None where its source can't be read or sets none."""
    module, _, class_name = target.rpartition(".")
    file = _module_file(module, root)
    for node in _parse(file).body if file else []:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for statement in node.body:
                match statement:
                    case (
                        ast.Assign(targets=[ast.Name(id=found)], value=ast.Constant(value=int() as number))
                        | ast.AnnAssign(target=ast.Name(id=found), value=ast.Constant(value=int() as number))
                    ) if found == name:
                        return number
    return None


def defines_class(target: str, root: Path) -> bool:
    """Whether a dotted name is that of a class in a file of the packages below `root`, or of an extension."""
    module, _, name = target.rpartition(".")
    file = _module_file(module, root)
    return file is not None and any(isinstance(n, ast.ClassDef) and n.name == name for n in _parse(file).body)


def outside_sources(config: DictConfig, root: Path) -> list[Path]:
    """The files of the components that are not ours but lie on the import path: an extension's. Sorted."""
    modules = {str(node["_target_"]).rpartition(".")[0] for _, node in _components(config)}
    files = {_module_file(module, root) for module in modules if module.split(".")[0] not in OURS}
    return sorted(file for file in files if file is not None)


def _module_file(module: str, root: Path) -> Path | None:
    """The source of a module of ours, or of an extension on the import path; nothing is imported to find it."""
    name = module.replace(".", "/") + ".py"
    places = [root] if module.split(".")[0] in OURS else [root, *map(Path, sys.path)]
    return next((place / name for place in places if (place / name).is_file()), None)


@cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
