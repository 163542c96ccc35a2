"""One cell of a sweep in a process of its own.

Launchers run several cells in one worker process, and give the whole sweep up where that is killed (out of memory, a
fault in a native library). So whatever the launcher, a cell is worked on in a process that ends with it: what ends it
ends nothing else, and the memory it took is given back.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf

from sv3dgen.runs.stopping import ENDING, Stopped, end_with, handled, raise_stopped


def run_in_subprocess(function: str, config: DictConfig, root: Path) -> None:
    """Call `module.name` of the checkout `root` with the config, in a new process that has this one's HydraConfig.

    Raises what the function raised, with its causes and its traceback as a note, or RuntimeError where the process was
    killed. An interruption is left to that process, which may finish what it has; what a scheduler sends is handed on
    to it, and to who listened for it before, once that process has ended. It ends with this one.
    """
    # As plain containers: Hydra's schemas are classes that a pickle does not find again.
    settings = [OmegaConf.to_container(part, resolve=False) for part in (config, HydraConfig.instance().cfg)]
    # Not multiprocessing, which starts processes joblib's way inside joblib's.
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    with TemporaryDirectory(prefix="sv3dgen-cell-") as folder:
        result = Path(folder) / "errors.pickle"
        process = subprocess.Popen(
            [sys.executable, "-m", "sv3dgen.runs.sweep_cell"],
            stdin=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
        received: list[int] = []

        def hand_on(number: int, *_: object) -> None:
            received.append(number)
            process.send_signal(number)

        before = {number: signal.getsignal(number) for number in ENDING}
        try:
            with handled(lambda *_: None, (signal.SIGINT,)), handled(hand_on):
                process.communicate(pickle.dumps((function, *settings, result, os.getpid())))
        finally:
            process.kill()  # where it still runs, its sweep has been ended
        for number in received:
            if callable(listener := before[number]):
                listener(number, None)  # submitit's puts the cell in the queue again, and ends here
        if not result.is_file() and process.returncode in (-signal.SIGINT, 128 + signal.SIGINT):
            raise KeyboardInterrupt  # before it could say so itself
        if not result.is_file():
            raise RuntimeError(f"the run's process {how_it_ended(process.returncode)}")
        errors = pickle.loads(result.read_bytes())
    if errors:
        raise _chained(errors)


def how_it_ended(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with status {status} and without a word"
    known = {entry.value: entry.name for entry in signal.Signals}
    return f"was killed by {known.get(-status, -status)}" + (" (out of memory?)" if status == -signal.SIGKILL else "")


def _work(function: str, settings: dict, hydra_settings: dict, result: Path, parent: int) -> None:
    """The new process: Hydra's state as a run finds it, then the call; what it raised is written to `result`."""
    end_with(parent)
    setup_globals()
    config, hydra_config = OmegaConf.create(settings), OmegaConf.create(hydra_settings)
    OmegaConf.set_struct(config, True)
    hydra_config.hydra._set_parent(OmegaConf.create(settings | hydra_settings))  # which its settings may refer to
    HydraConfig.instance().cfg = hydra_config  # type: ignore[assignment]
    configure_log(hydra_config.hydra.job_logging, hydra_config.hydra.verbose)
    module, _, name = function.rpartition(".")
    errors: list[BaseException] = []
    try:
        with handled(raise_stopped):
            getattr(import_module(module), name)(config)
    except (Exception, KeyboardInterrupt, Stopped) as error:
        errors = [_portable(one) for one in _causes(error)]
        errors[0].add_note(traceback.format_exc())
    partial = result.with_suffix(".partial")
    partial.write_bytes(pickle.dumps(errors))
    partial.replace(result)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _portable(error: BaseException) -> BaseException:
    """The error itself where it comes back from a pickle, else one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # whatever its constructor makes of the arguments that pickle kept
        return RuntimeError(f"{type(error).__name__}: {error}")


def _chained(errors: list[BaseException]) -> BaseException:
    """The first one, raised from the second, and so on: a pickle forgets that."""
    for error, cause in zip(errors, errors[1:], strict=False):
        error.__cause__ = cause
    return errors[0]


if __name__ == "__main__":
    _work(*pickle.loads(sys.stdin.buffer.read()))
