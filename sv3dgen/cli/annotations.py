"""Whether a value fits an annotation, as it stands in a source file, and what to tell a user who has another.

Understood are int, float, bool, str, None, Path, Literal, unions, mappings, sequences, `Annotated` with a domain
(`domains.py`) and aliases of these; every other annotation accepts anything. An int is an acceptable float, a bool is
neither, and neither are NaN and infinity.
"""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sv3dgen.cli.class_sources import module_file, parsed
from sv3dgen.domains import Between, is_number, is_when
from sv3dgen.runs.run_folder import OURS

SCALARS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": is_number,
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "Path": lambda value: isinstance(value, str),
    "None": lambda value: value is None,
}

_MAPPINGS = {"dict", "Mapping", "MutableMapping"}

_SEQUENCES = {"list", "Sequence", "Iterable"}


def narrowed(path: str, value: Any, annotation: ast.expr, file: Path, root: Path) -> tuple[str, Any, ast.expr, Path]:
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


def accepts(annotation: ast.expr, value: Any, file: Path, root: Path) -> bool:
    """Whether `value` fits an annotation that stands in `file`; True where the annotation is not understood."""
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str() as quoted):
            return accepts(ast.parse(quoted, mode="eval").body, value, file, root)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return accepts(left, value, file, root) or accepts(right, value, file, root)
        case ast.Name(id=name) if name in SCALARS:
            return SCALARS[name](value)
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
    (node,) = (n for n in parsed(file).body if isinstance(n, ast.ClassDef) and n.name == dataclass_name)
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


def find_alias(name: str, file: Path, root: Path) -> tuple[ast.expr, Path] | None:
    """What a name in an annotation is an alias for, and the file that says so; None where it is not one of ours."""
    for statement in parsed(file).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=assigned)], value=value) if assigned == name:
                return value, file
            case ast.ImportFrom(module=str() as module, names=names) if module.split(".")[0] in OURS:
                for alias in names:
                    source = module_file(module, root)
                    if (alias.asname or alias.name) == name and source is not None:
                        return find_alias(alias.name, source, root)
    return None


def shown(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def spelled(annotation: ast.expr, file: Path, root: Path) -> str:
    """An annotation in words a user knows: aliases spelled out, choices as a list, domains by their bounds."""

    def inner(part: ast.expr) -> str:
        return spelled(part, file, root)

    match annotation:
        case ast.Name(id=name) if name not in SCALARS:
            alias = find_alias(name, file, root)
            return name if alias is None else spelled(alias[0], alias[1], root)
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
        case ast.Subscript(value=ast.Name(id=name), slice=entry) if name in _SEQUENCES:
            return f"a list of {inner(entry)}"
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[entry, *others])):
            number = "" if any(isinstance(other, ast.Constant) for other in others) else f"{len(others) + 1} "
            return f"a list of {number}{inner(entry)}"
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{inner(left)} | {inner(right)}"
    return ast.unparse(annotation).replace("None", "null")


def domain_of(annotation: ast.expr, file: Path, root: Path) -> str | None:
    """The annotation in words where it bounds numbers, else None."""
    told = spelled(annotation, file, root)
    return told if " from " in told else None
