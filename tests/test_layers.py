"""The layers: launch -> systems -> {geometry, guidance} -> sv3dgen, and nothing in their way."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT

# The rooms of sv3dgen/, and its loose modules: each may import those of the lines above.
ROOMS = (
    "errors",
    "atomic devices documents schedules color losses seeding",
    "compiling domains parallel",
    "cutout",
    "views",
    "kernels",
    "stereo",
    "meshes",
    "nvs_interfaces",
    "interfaces",
    "materials renderers",
    "runs",
    "procedural photo metrics normals",
    "data export sfm sv3d",
    "report viewer",
    "nvs",
    "cli",
    "tables bench app",
    "commands",
)
BELOW = {
    "systems": {"geometry", "guidance", "sv3dgen"},
    "geometry": {"sv3dgen"},
    "guidance": {"sv3dgen"},
    "sv3dgen": set(),
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import in a file, also of those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import; write the full path"
            yield node.lineno, str(node.module).split(".")[0]


@pytest.mark.parametrize("layer", BELOW)
def test_imports_point_downwards(layer: str) -> None:
    upwards = [
        f"{path.relative_to(ROOT)}:{line} imports {package}"
        for path in (ROOT / layer).rglob("*.py")
        for line, package in imports(path)
        if package in BELOW.keys() - BELOW[layer] - {layer} or package in ("launch", "tests")
    ]
    assert upwards == []


def room_of(module: str) -> str:
    """`sv3dgen.views.cameras` -> views; what one runs (`__main__`) counts as a command."""
    return "commands" if module.endswith("__main__") else module.split(".")[1]


def modules() -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of each module of sv3dgen/, packages' `__init__` left out."""
    for path in sorted((ROOT / "sv3dgen").rglob("*.py")):
        if path.name != "__init__.py":
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module or package of sv3dgen) of every import in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [
                name if (ROOT / name.replace(".", "/")).with_suffix(".py").is_file() else str(node.module)
                for name in whole
            ]
        yield from ((node.lineno, name) for name in names if name.startswith("sv3dgen."))


def test_rooms_import_one_way() -> None:
    rank = {room: level for level, rooms in enumerate(ROOMS) for room in rooms.split()}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {other}"
        for module, path in modules()
        for line, other in imported(path)
        if room_of(module) != room_of(other) and rank[room_of(other)] >= rank[room_of(module)]
    ]
    assert wrong == []


def test_few_modules_stand_outside_of_a_room() -> None:
    loose = [path.name for path in (ROOT / "sv3dgen").glob("*.py") if path.name != "__init__.py"]
    assert len(loose) <= 10, loose


def test_what_is_private_to_a_folder_stays_there() -> None:
    files = [path for top in ("sv3dgen", "systems", "geometry", "guidance") for path in (ROOT / top).rglob("*.py")]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {other}"
        for path in files
        for line, other in imported(path)
        if any(part.startswith("_") and part != "__main__" for part in other.split("."))
        and path.parent != (ROOT / other.replace(".", "/")).parent
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", sorted((ROOT / "sv3dgen").rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_a_folder_says_what_it_is_about(folder: Path) -> None:
    body = ast.parse(folder.read_text(encoding="utf-8")).body
    assert body and isinstance(body[0], ast.Expr), f"{folder}: expected a sentence on what the folder is about"


@pytest.mark.parametrize("layer", BELOW)
def test_the_checkout_is_what_gets_imported(layer: str) -> None:
    """`guidance`, `geometry` and `systems` are names of other people's packages too."""
    spec = importlib.util.find_spec(layer)
    assert spec is not None and spec.origin is not None, f"{layer}/__init__.py is missing: it keeps others from winning"
    assert Path(spec.origin).parent == ROOT / layer


@pytest.mark.parametrize("layer", ["systems", "geometry", "guidance"])
def test_part_folders_export_nothing(layer: str) -> None:
    """One docstring and no code: `_target_` names the file, so that a part costs nobody else its imports."""
    body = ast.parse((ROOT / layer / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1 and isinstance(body[0], ast.Expr)


def test_what_answers_early_is_light() -> None:
    """Bad input is refused before torch is imported: nothing that launch.py imports at its top may need it."""
    heavy = {"torch", "lightning", "numba", "numpy", "jaxtyping", "trimesh"}
    seen, queue = set(), [ROOT / "launch.py"]
    while queue:
        path = queue.pop()
        seen.add(path)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in heavy, f"{path.relative_to(ROOT)}:{node.lineno} imports {name}"
                file = ROOT / (name.replace(".", "/") + ".py")
                if file.is_file() and file not in seen:
                    queue.append(file)
    assert ROOT / "sv3dgen" / "cli" / "config_check.py" in seen
