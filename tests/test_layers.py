"""The layers: launch -> systems -> {geometry, guidance} -> sv3dgen, and nothing in their way."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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
