"""Finished and unfinished runs of a sweep as a table of them needs to know them: of what, with which settings."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sv3dgen.cli.command_line import stem
from sv3dgen.cli.overrides import parse
from sv3dgen.documents.yaml_text import parse_yaml
from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import CARD, read_card
from sv3dgen.runs.sweeps import failure

MESH = "mesh/mesh.glb"
# What a run is of, and where it stands: no settings that a table compares.
_NOT_COMPARED = re.compile(r"views|image|seed|name|resume|share|hydra[./].+")
_UNKNOWN = "-"


@dataclass(frozen=True)
class AblationRun:
    """One run's folder. `problem` says why its result does not count, where it does not."""

    folder: Path
    name: str = ""  # of the object: the stem of what was given
    seed: str = _UNKNOWN
    given: Mapping[str, str] = field(default_factory=dict)  # on the command line, or by the experiment
    choices: Mapping[str, str] = field(default_factory=dict)  # options of all groups
    config: Mapping[str, Any] = field(default_factory=dict)
    views: Path | None = None  # that it was given
    problem: str | None = None

    def value(self, key: str) -> str:
        """A setting as text, whether it was given or is a default."""
        if key in self.given:
            return self.given[key]
        if key in self.choices:
            return self.choices[key]
        node: Any = self.config
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                return _UNKNOWN
            node = node[part]
        return "null" if node is None else str(node)

    def mesh_digest(self) -> str:
        """The same for runs whose meshes are the same, byte by byte; empty where the run does not count."""
        if self.problem is not None:
            return ""
        return hashlib.sha256((self.folder / MESH).read_bytes()).hexdigest()


def find_runs(folders: Sequence[Path]) -> list[AblationRun]:
    """The runs in folders that are runs themselves or hold some, in their order; InputError where there are none."""
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder, expected one of runs")
        inside = [folder] if _is_run(folder) else sorted({path.parent for path in folder.rglob(".hydra")}, key=_natural)
        if not inside:
            raise InputError(f"{folder}: no runs in this folder, expected those of python launch.py -m ...")
        found |= dict.fromkeys(inside)
    return [read_run(folder) for folder in found]


def read_run(folder: Path) -> AblationRun:
    """What a run's folder says of it."""
    try:
        config, hydra = _mapping(folder, "config.yaml"), _mapping(folder, "hydra.yaml")
        given = _settings(_read(folder, "overrides.yaml"))
    except InputError as error:
        return AblationRun(folder, problem=str(error))
    runtime = _inner(_inner(hydra, "hydra"), "runtime")
    choices = {str(key): str(value) for key, value in _inner(runtime, "choices").items()}
    paths = [_absolute(config.get(key), runtime.get("cwd")) for key in ("views", "image")]
    return AblationRun(
        folder,
        stem(*(None if path is None else str(path) for path in paths)),
        str(config.get("seed", _UNKNOWN)),
        given,
        choices,
        config,
        paths[0],
        _problem(folder),
    )


def varying(runs: Sequence[AblationRun]) -> list[str]:
    """The settings in which runs differ, but for what they are of and their seeds; in the order they were given."""
    keys = dict.fromkeys(key for run in runs for key in run.given if not _NOT_COMPARED.fullmatch(key))
    return [key for key in keys if len({run.value(key) for run in runs if run.config}) > 1]


def _problem(folder: Path) -> str | None:
    reason = failure(folder)
    if reason is not None:
        return f"failed: {reason}"
    try:
        card = read_card(folder)
    except InputError as error:
        return str(error)
    if card is None or "finished" not in card:
        return f"not finished, by its {CARD}"
    return None if (folder / MESH).is_file() else f"no {MESH}"


def _is_run(folder: Path) -> bool:
    return (folder / ".hydra").is_dir() or (folder / CARD).is_file()


def _natural(path: Path) -> list[tuple[int, str]]:
    """Numbers in names by their value: run 10 after run 2."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def _read(folder: Path, name: str) -> Any:
    path = folder / ".hydra" / name
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected the settings of a run, as Hydra writes them") from error


def _mapping(folder: Path, name: str) -> dict[str, Any]:
    found = _read(folder, name)
    if not isinstance(found, dict):
        raise InputError(f"{folder / '.hydra' / name}: expected the settings of a run, as Hydra writes them")
    return found


def _inner(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = tree.get(key)
    return found if isinstance(found, dict) else {}


def _settings(texts: Any) -> dict[str, str]:
    given = {}
    for override in map(parse, map(str, texts) if isinstance(texts, list) else []):
        if not override.is_delete():
            given[override.get_key_element().lstrip("+")] = override.get_value_element_as_str()
    return given


def _absolute(path: Any, cwd: Any) -> Path | None:
    """A path as it was meant where the run was started."""
    return None if path is None else Path(str(cwd or "")) / str(path)
