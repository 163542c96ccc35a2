"""What a class in a source file takes and sets, read without importing it.

Importing torch alone takes seconds, and a refusal must not.
"""

import ast
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import OURS


@dataclass(frozen=True)
class Signature:
    """The annotated arguments of a class or function, and where they stand."""

    name: str
    file: Path
    arguments: dict[str, ast.expr | None]  # None: not annotated
    open_ended: bool  # takes **kwargs


def read_signature(target: str, root: Path) -> Signature | None:
    """The constructor's arguments of a dotted class or function of ours; None where they can't be read off.

    Raises InputError where the file or the name in it is missing.
    """
    module, _, name = target.rpartition(".")
    file = module_file(module, root)
    body = parsed(file).body if file else []
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


def class_number(target: str, name: str, root: Path) -> int | None:
    """A whole number that a class sets in its body, `name = 3`; None where its source can't be read or sets none."""
    module, _, class_name = target.rpartition(".")
    file = module_file(module, root)
    for node in parsed(file).body if file else []:
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
    file = module_file(module, root)
    return file is not None and any(isinstance(n, ast.ClassDef) and n.name == name for n in parsed(file).body)


def module_file(module: str, root: Path) -> Path | None:
    """The source of a module of ours, or of an extension on the import path; nothing is imported to find it."""
    name = module.replace(".", "/") + ".py"
    places = [root] if module.split(".")[0] in OURS else [root, *map(Path, sys.path)]
    return next((place / name for place in places if (place / name).is_file()), None)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
