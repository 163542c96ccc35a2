"""The main job as a call: `from sv3dgen import photo_to_mesh, views_to_mesh`.

The run is a process of its own, as from the command line: it takes its memory with it when it ends, can be cancelled,
and leaves the caller's threads, random numbers and signals alone. It imports nothing heavy into the caller.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Event
from time import monotonic

from sv3dgen.cli.overrides import parse
from sv3dgen.cli.resume import in_quotes
from sv3dgen.errors import InputError
from sv3dgen.runs.progress_file import PROGRESS
from sv3dgen.runs.result import RESULT, Result, read_result, result_of
from sv3dgen.runs.run_folder import read_card
from sv3dgen.runs.stopping import told_of_stop

LAUNCH = Path(__file__).parents[2] / "launch.py"
LOOK_EVERY_S = 0.2
PATIENCE_S = 60.0  # for a cancelled run to write its checkpoint
_REFUSAL = "sv3dgen: "


@dataclass(frozen=True)
class Progress:
    """A stage, and how many of its steps are done; `of` is 0 where nobody knows how many there are."""

    stage: str
    step: int
    of: int


class RunError(RuntimeError):
    """A run that failed for another reason than its input; its message ends with what the run said last."""


def photo_to_mesh(
    photo: str | Path,
    *,
    folder: str | Path | None = None,
    settings: Sequence[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
    cancel: Event | None = None,
    finish: Event | None = None,
) -> Result:
    """One photo of an object to a textured mesh, as `python launch.py image=PHOTO`.

    `settings` are those of the command line, such as `["preset=draft", "seed=3"]`; `folder` is the run's, which is
    made, and by default `outputs/NAME/TIME`. `on_progress` is called in this thread a few times a second.
    `cancel.set()`, from any thread, ends the run after the step that it is in; its result then says `stopped`, and
    `python launch.py resume=FOLDER` goes on with it. `finish.set()` is Ctrl+C: the run ends with the mesh that there
    is, or with none where it had not begun to fit. Raises InputError for what only the user can fix, RunError for
    anything else that ended the run.
    """
    return _run("image", Path(photo), folder, settings, on_progress, cancel, finish)


def views_to_mesh(
    views: str | Path,
    *,
    folder: str | Path | None = None,
    settings: Sequence[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
    cancel: Event | None = None,
    finish: Event | None = None,
) -> Result:
    """Posed views, a folder or a film, to a textured mesh, as `python launch.py views=VIEWS`; see `photo_to_mesh`."""
    return _run("views", Path(views), folder, settings, on_progress, cancel, finish)


def _run(
    key: str,
    given: Path,
    folder: str | Path | None,
    settings: Sequence[str],
    on_progress: Callable[[Progress], None] | None,
    cancel: Event | None,
    finish: Event | None,
) -> Result:
    place = Path(folder) if folder is not None else _own_folder(given, settings)
    if (place / RESULT).exists():
        raise InputError(f"folder={place}: holds the result of another run, expected a folder of its own")
    command = [sys.executable, str(LAUNCH), f"{key}={in_quotes(given.absolute())}", *settings]
    command.append(f"hydra.run.dir={in_quotes(place.absolute())}")
    step: Progress | None = None
    with tempfile.TemporaryDirectory(prefix="sv3dgen-") as own:
        progress, output = Path(own) / "progress", Path(own) / "output"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=os.environ | {PROGRESS: str(progress)},
                start_new_session=True,  # Ctrl+C is the caller's, who hands it on
            )
            try:
                for step in _steps(process, progress, cancel, finish):
                    if on_progress is not None:
                        on_progress(step)
            except BaseException:  # the caller's own, also Ctrl+C: the run is not wanted any more
                _end(process)
                raise
        said = output.read_text(encoding="utf-8", errors="replace")
    if process.returncode == 2:
        refusals = [line.removeprefix(_REFUSAL) for line in said.splitlines() if line.startswith(_REFUSAL)]
        raise InputError(refusals[-1] if refusals else said.strip()[-500:])
    ended_early = _is_set(cancel) or _is_set(finish)
    if process.returncode != 0 and not (ended_early and (place / RESULT).is_file()):
        if ended_early:
            return _killed(place.absolute(), step)
        raise RunError(f"{place}: the run ended with status {process.returncode}; its last words:\n{said[-2000:]}")
    return read_result(place)


def _steps(
    process: subprocess.Popen[bytes], file: Path, cancel: Event | None, finish: Event | None
) -> Iterator[Progress]:
    """What the run says of its progress, until it has ended."""
    last, deadline, finishing = "", None, False
    while True:
        try:
            process.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            pass
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if text != last and text:
            last = text
            yield Progress(**json.loads(text))
        if process.poll() is not None:
            return
        if _is_set(finish) and not finishing:
            finishing = True
            process.send_signal(signal.SIGINT)
        if _is_set(cancel):
            if deadline is None:
                process.send_signal(signal.SIGTERM)
                deadline = monotonic() + PATIENCE_S
            elif monotonic() > deadline:
                process.kill()


def _is_set(event: Event | None) -> bool:
    return event is not None and event.is_set()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _killed(place: Path, last: Progress | None) -> Result:
    """Of a cancelled run that came to write no result: what its card says, and the last that it told."""
    card = read_card(place)
    if card is None:
        return Result("stopped", place, message=f"stopped {told_of_stop({})}")
    ended = next(reversed(card.get("stages", {})), None)
    where = told_of_stop(asdict(last)) if last is not None else f"after {ended}" if ended else told_of_stop({})
    return replace(result_of(place, card), exit="stopped", message=f"killed {where}: it did not stop when told to")


def _own_folder(given: Path, settings: Sequence[str]) -> Path:
    """As the command line has it."""
    from sv3dgen.cli.command_line import stem  # takes half a second

    named = [override.value() for override in map(parse, settings) if override.key_or_group == "name"]
    name = str(named[-1]) if named else stem(str(given))
    return Path("outputs") / name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
