"""A sweep's runs: which are done, which failed and why, and how the sweep goes on.

A run that fails must not take the others with it. It leaves the reason in its folder, and the sweep goes on; at its end
it says which runs failed, and its exit status is 1. Whoever launches the runs, and in which process, is Hydra's affair.
"""

import logging
import shlex
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import can_go_on, config_hash, escaped, read_card
from sv3dgen.runs.stopping import was_requeued

log = logging.getLogger(__name__)

ERROR = "error.txt"  # in a run's folder: the reason in its first line, below it the traceback where that may help


def is_sweep() -> bool:
    """Whether the run that Hydra has started is one of a sweep's."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def sweep_folder() -> Path:
    """The folder of the sweep that the run belongs to."""
    hydra = HydraConfig.get()  # not its sweep.dir, whose time of day would be asked anew
    return Path(hydra.runtime.output_dir).parents[len(Path(str(hydra.sweep.subdir)).parts) - 1]


def should_run(config: DictConfig, folder: Path) -> bool:
    """Whether the run in `folder` has anything to do; `config.resume` then says whether it has something to go on with.

    In a resumed sweep some runs are finished, some have begun, and some have not. Raises InputError where what is in
    the folder was made with other settings.
    """
    (folder / ERROR).unlink(missing_ok=True)
    card = None if config.resume is None and not was_requeued() else read_card(folder)
    config.resume = None
    if card is None:
        return True
    settings = OmegaConf.to_container(config, resolve=False)
    assert isinstance(settings, dict)
    if card.get("config_sha256") != config_hash({str(key): value for key, value in settings.items()}):
        raise InputError(f"{folder}: made with other settings than the sweep has now; expected it to be moved away")
    if "finished" in card:
        log.info("%s: finished before", folder)
        return False
    config.resume = escaped(str(folder)) if can_go_on(folder) else None
    return True


def stopped_early(folder: Path) -> bool:
    """Whether the user has ended the run before its time, content with what there was."""
    card = read_card(folder)
    return card is not None and "finished" not in card


def note_failure(folder: Path, reason: str, details: str = "") -> None:
    """Leave in a run's folder why it failed, and tell it."""
    line = " ".join(reason.split())
    print(f"{details}sv3dgen: {folder}: {line}", file=sys.stderr)
    with atomic_write(folder / ERROR) as temporary:
        temporary.write_text(f"{line}\n{details}", encoding="utf-8")


def failure(folder: Path) -> str | None:
    """Why a run failed, in one line, if it did."""
    path = folder / ERROR
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]


def how_to_go_on(folder: Path) -> str:
    """The command that goes on with a sweep."""
    return f"python launch.py -m {shlex.quote(f'resume={folder}')}"


class FailedRuns(Callback):
    """Says at the end of a sweep which of its runs failed; the exit status is then 1."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        failures = {path.parent: failure(path.parent) for path in sorted(folder.rglob(ERROR))}
        if failures:
            told = "; ".join(f"{run} ({reason})" for run, reason in failures.items())
            print(f"sv3dgen: failed: {told}; to try again: {how_to_go_on(folder)}", file=sys.stderr)
            # The way out that is left: Hydra ignores what a sweep's runs return, and turns a callback's exceptions
            # into warnings.
            sys.exit(1)
