"""A small run that is killed, or whose disk is full, at a seam of its way: for `test_faults.py`, in processes apart."""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkout import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from small_run import GRID, SIZES

import sv3dgen.atomic
import sv3dgen.export.exporter
import systems.fitting
import systems.run
import systems.view_sources
from sv3dgen.cli.command_line import register_resolvers
from systems.run import Run
from systems.sv3d_dmtet import Sv3dDmtet

CONF = ROOT / "conf"
SETTINGS = (
    *SIZES,
    *GRID,
    "preset=draft",
    "logger=none",
    "checkpoint_every_steps=5",
    "coarse.steps=20",
    "coarse.geometry.levels_open=[[0,4],[15,6]]",
    "fine.steps=16",
)


def config_of(views: str, *settings: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"views={views}", *SETTINGS, *settings])
    config.fine.geometry.resolutions = [[0, 20], [10, 28]]
    config.coarse.data.milestones = [[0, {"size_px": 48, "layout": "patches", "patches": 128}]]
    config.fine.data.milestones = [[0, {"size_px": 48, "layout": "frames", "views": 4, "crop_margin_px": 4}]]
    return config


def run(views: str, folder: str, seam: str | None = None, *settings: str) -> None:
    """One run, to its end or to the seam, where this process is killed."""
    if seam is not None:
        SEAMS[seam]()
    Run(config_of(views, *settings), Path(folder)).execute()


def kill(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before_renaming(name: str, nth: int) -> Callable[[], None]:
    """Killed with the nth file of a name written, but not in its place."""

    def arm() -> None:
        replace, left = os.replace, [nth]

        def replaced(source: Any, target: Any) -> None:
            left[0] -= Path(target).name == name
            if left[0] == 0:
                kill()
            replace(source, target)

        sv3dgen.atomic.os.replace = replaced  # type: ignore[assignment]

    return arm


def at(owner: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(owner, name, kill)


def in_fine_step(step: int) -> Callable[[], None]:
    def arm() -> None:
        training_step = Sv3dDmtet.training_step

        def killed(self: Sv3dDmtet, *args: Any) -> Any:
            return kill() if self.global_step == step else training_step(self, *args)

        Sv3dDmtet.training_step = killed  # type: ignore[method-assign]

    return arm


SEAMS = {
    "views, before their film": at(systems.view_sources, "_write_film"),
    "views done": at(Run, "_reference"),
    "first checkpoint, not renamed": before_renaming("last.ckpt", 1),
    "second checkpoint, not renamed": before_renaming("last.ckpt", 2),
    "between the stages": at(Sv3dDmtet, "start_from"),
    "fine, before its first checkpoint": in_fine_step(3),
    "fine": in_fine_step(12),
    "export": at(sv3dgen.export.exporter, "write_turntable"),
    "mesh.glb, not renamed": before_renaming("mesh.glb", 1),
    "report": at(systems.run, "write_report"),
}


def fill_disk(name: str, nth: int = 1) -> Callable[[Path], None]:
    """A stand-in for `atomic.flush_to_disk` that finds no room for the nth file of a name."""
    flush, left = sv3dgen.atomic.flush_to_disk, [nth]

    def full(path: Path) -> None:
        stem, _, suffix = name.rpartition(".")
        left[0] -= path.name.startswith(f".{stem}.") and path.suffix == f".{suffix}"
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        flush(path)

    return full
