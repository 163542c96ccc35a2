"""Compose one run from conf/ and the command line, and start it: `python launch.py views=FOLDER`.

What the command line gets wrong is told in one line, before torch is imported and before a folder is made.
"""

import errno
import gc
import logging
import re
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from sv3dgen.cli.allowed_targets import check_targets
from sv3dgen.cli.command import print_through, refused
from sv3dgen.cli.command_line import checked_command, register_resolvers
from sv3dgen.cli.help_text import help_text
from sv3dgen.cli.input_check import run_folder
from sv3dgen.cli.resume import needed_again
from sv3dgen.compiling import ahead
from sv3dgen.compiling.in_a_run import modules_of
from sv3dgen.errors import InputError
from sv3dgen.parallel.cores import usable_cores
from sv3dgen.runs import sweeps
from sv3dgen.runs.compile_cache import settle as settle_compile_cache
from sv3dgen.runs.lean_imports import leave_out_unused
from sv3dgen.runs.plain_log import log_plainly
from sv3dgen.runs.result import told_to_programs
from sv3dgen.runs.run_folder import can_go_on, discard_unused, is_new, read_card
from sv3dgen.runs.run_lock import alone_in
from sv3dgen.runs.stopping import Stopped, handled, left_at_once, raise_stopped, told_of_stop, was_requeued
from sv3dgen.runs.sweep_cell import run_in_subprocess
from sv3dgen.runs.threads import settle_threads
from sv3dgen.views.kept_views import held_lines, tell
from sv3dgen.views.unposed import is_unposed

ROOT = Path(__file__).resolve().parent
MISFITS = re.compile("Can't instantiate abstract class|unexpected keyword argument|missing .* required")  # of a part
_LINES: list[logging.LogRecord] = []  # of what was done before the run, for its log
_BEFORE_THE_RUN = ExitStack()  # what signals do until there is a run


@hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="config")
def start(config: DictConfig) -> None:
    """One run, in the folder that Hydra made."""
    gc.enable()
    _BEFORE_THE_RUN.close()  # signals are the run's own affair from here
    register_resolvers()  # again, because a sweep's launcher may have started this in a process of its own
    runtime = HydraConfig.get().runtime
    folder, top = Path(runtime.output_dir), Path(runtime.cwd)
    new, sweeping = is_new(folder), sweeps.is_sweep()
    try:
        # Of a sweep's process, its launcher may listen for signals; `run_in_subprocess` sees to both.
        with alone_in(folder), nullcontext() if sweeping else handled(raise_stopped):
            if (sweeping or was_requeued()) and not sweeps.should_run(config, folder):
                return
            if sweeping:
                run_in_subprocess("launch.work", config, ROOT)
            else:
                work(config)
            if sweeps.stopped_early(folder):
                raise KeyboardInterrupt  # of a sweep, the runs after it are not wanted either
    except Exception as error:
        mistake = user_message(error)
        if sweeping:
            sweeps.note_failure(folder, mistake or repr(error), "" if mistake else traceback.format_exc())
            return
        if mistake is None:
            raise
        if new:
            discard_unused(folder, top)
        sys.exit(refused(mistake, "sv3dgen"))
    except (KeyboardInterrupt, Stopped):
        way = f"stopped; to go on: {sweeps.how_to_go_on(sweeps.sweep_folder())}" if sweeping else how_to_go_on(folder)
        print(f"sv3dgen: {way}", file=sys.stderr)
        raise


def work(config: DictConfig) -> None:
    """What a run does, once it has its folder."""
    log_plainly()
    tell(_LINES)
    _LINES.clear()
    register_resolvers()  # again, because a sweep does this in a process of its own
    check_targets(config, ROOT, HydraConfig.get().searchpath)  # again, with what only a running Hydra resolves
    settle_compile_cache()
    compile_ahead(config)
    leave_out_unused()
    gc.disable()  # nothing of what the import makes is garbage: looking for it takes a fifth of the import
    folder = Path(HydraConfig.get().runtime.output_dir)
    with nullcontext() if sweeps.is_sweep() else left_at_once(lambda: how_to_go_on(folder)):
        from systems.run import run  # imports torch and lightning, which take seconds

    gc.freeze()
    gc.enable()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its import sets INFO, which is chatter here
    warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")  # Lightning's own affair
    with told_to_programs(folder):
        run(config)


def look_at_views(config: DictConfig) -> None:
    """Have given views refused before Hydra composes the run and lightning is imported, which takes seconds; good ones
    are kept for the run.

    Not where it goes on in a folder: an earlier run's result is not to outlast a refusal. Nor in a sweep, each run of
    which leaves a record of how it ended, also of a refusal: it has to have begun.
    """
    stages = OmegaConf.select(config, "system.stages") or ()
    if "coarse" not in stages or config.get("views") is None or is_unposed(Path(config.views)):
        return
    if was_requeued() or not is_new(run_folder(config, sweeping=False)):
        return
    with on_console():
        log_plainly()
        with held_lines(logging.getLogger("sv3dgen")) as lines:
            settle_compile_cache()
            compile_ahead(config)
        _LINES.extend(lines)  # for the run's log, which is not there yet
        from sv3dgen.cli.views_ahead import read_ahead  # imports torch
        from systems.view_sizes import read_px

        read_ahead(config, read_px(config))


@contextmanager
def on_console() -> Iterator[None]:
    """Have what is logged printed, as Hydra does in a run."""
    root, handler = logging.getLogger(), logging.StreamHandler(sys.stdout)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def compile_ahead(config: DictConfig) -> None:
    """Have what the run's stages call compiled while it imports and reads, where it is not yet."""
    other = {str(name) for name, backend in config.get("kernels", {}).items() if backend not in ("auto", "numba")}
    gpu = ahead.sees_gpu(str(config.get("device", "cpu")))
    stages = list(OmegaConf.select(config, "system.stages") or ())
    _compile_once(tuple(modules_of(stages, gpu, other)))


@cache
def _compile_once(modules: tuple[str, ...]) -> None:
    ahead.start(modules, usable_cores())


def user_message(error: BaseException) -> str | None:
    """The one line to tell the user, if the error is something only the user can fix."""
    building = isinstance(error, InstantiationException)
    for cause in causes(error):
        if isinstance(cause, InputError) or (building and isinstance(cause, ValueError)):
            return str(cause)
        if building and isinstance(cause, TypeError) and MISFITS.search(str(cause)):
            return f"{str(error).partition('full_key: ')[2].strip()}: {cause}"
        if building and isinstance(cause, ImportError):
            return " ".join(str(error).split())
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return (
                f"{cause.filename or 'the disk of the run folder'}: {cause.strerror}; make room, then resume=RUN_FOLDER"
            )
    return None


def how_to_go_on(folder: Path) -> str:
    """What to tell who has quit a run, or whose scheduler has."""
    where = (read_card(folder) or {}).get("stopped")
    told = f" {told_of_stop(where)}" if where and can_go_on(folder) else ""
    what = f"stopped{told}; to go on" if can_go_on(folder) else "stopped before the first checkpoint; to start again"
    return f"{what}: python launch.py {shlex.join([f'resume={folder}', *needed_again(folder)])}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and the ones it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


if __name__ == "__main__":
    settle_threads()
    again = f"stopped before the run began; to start again: {shlex.join(['python', 'launch.py', *sys.argv[1:]])}"
    _BEFORE_THE_RUN.enter_context(left_at_once(lambda: again))
    if not {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(sys.argv[1:]):
        gc.disable()  # nothing of what is read and composed here is garbage; of a sweep, each run's config is
    try:
        command = checked_command(sys.argv[1:], ROOT)
        sys.argv[1:] = command.arguments
        if {"--help", "-h"} & set(sys.argv[1:]):
            print_through(help_text([text for text in sys.argv[1:] if not text.startswith("-")], ROOT))
            sys.exit()
        if command.run is not None:
            look_at_views(command.run)
        else:
            _BEFORE_THE_RUN.close()  # a sweep's launcher may run all in other processes
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        mistake = user_message(error)
        if mistake is None:
            raise
        sys.exit(refused(mistake, "sv3dgen"))
    try:
        start()
    except KeyboardInterrupt:
        sys.exit(130)
    except Stopped as stop:
        sys.exit(stop.status)
