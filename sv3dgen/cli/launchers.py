"""What belongs to a sweep's launcher: its package, and how its cells share the machine (`conf/hydra/cells/`)."""

import os
from importlib.util import find_spec
from pathlib import Path

from sv3dgen.cli.overrides import parse
from sv3dgen.errors import InputError

PLUGINS = {"joblib": "joblib", "ray": "ray", "submitit_local": "submitit", "submitit_slurm": "submitit"}
"""Hydra's launchers of the extra `sweeps`, and what their packages are called after."""


def with_cells(settings: list[str], conf: Path) -> list[str]:
    """The settings, and where they choose a launcher of `PLUGINS`, the file of `hydra/cells` of the same name.

    Hydra merges a file of ours into the launcher's own group only under a deprecated rule, so ours is a group next to
    it; `hydra.launcher.n_jobs=4` and the like still have the last word. Raises InputError where it is not installed.
    """
    chosen = [str(parse(text).value()) for text in settings if parse(text).key_or_group == "hydra/launcher"]
    if not chosen or chosen[-1] not in PLUGINS:
        return settings
    launcher, package = chosen[-1], f"hydra_{PLUGINS[chosen[-1]]}_launcher"
    if find_spec("hydra_plugins") is None or find_spec(f"hydra_plugins.{package}") is None:
        name = package.replace("_", "-")
        install = 'pip install -c constraints.txt -e ".[sweeps]"'
        raise InputError(f"hydra/launcher={launcher}: {name} is not installed; expected {install} before")
    # Ray reads these when it starts; it would tell its makers of every sweep, and drop lines that two cells both print.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    if not (conf / "hydra" / "cells" / f"{launcher}.yaml").is_file():
        return settings
    return [*settings, f"+hydra/cells={launcher}"]
