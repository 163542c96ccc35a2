"""Runs that the app has started: one at a time, each a process of its own; the others wait."""

import queue
import re
import secrets
import traceback
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Literal

from sv3dgen.cli.library import Progress, RunError, photo_to_mesh, views_to_mesh
from sv3dgen.errors import InputError, one_line

Kind = Literal["photo", "views"]
State = Literal["waiting", "running", "finished", "stopped", "failed"]
MOST_WAITING = 5


@dataclass
class Job:
    """A run, from when it was asked for until it has ended."""

    key: str  # NAME/TIME: of its folder, in the folder of all runs
    folder: Path
    kind: Kind
    given: Path
    settings: tuple[str, ...]
    state: State = "waiting"
    message: str | None = None
    progress: Progress | None = None
    finish: Event = field(default_factory=Event)
    cancel: Event = field(default_factory=Event)

    @property
    def has_ended(self) -> bool:
        return self.state in ("finished", "stopped", "failed")

    def end(self, state: State, message: str | None) -> None:
        """The message comes first: the page looks no more once it has seen that the run has ended."""
        self.message = message
        self.state = state


class RunQueue:
    """Starts what is submitted, in order, in `folder/NAME/TIME`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._jobs: dict[str, Job] = {}
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        self._lock = Lock()
        self._thread: Thread | None = None

    def submit(self, kind: Kind, given: Path, settings: tuple[str, ...], name: str) -> Job:
        """Put a run in the queue. Raises InputError where too many wait there already."""
        with self._lock:
            waiting = sum(job.state == "waiting" for job in self._jobs.values())
            if waiting >= MOST_WAITING:
                raise InputError(f"{waiting} runs are waiting already; expected fewer than {MOST_WAITING}: try later")
            # The random part keeps two tabs of one second apart.
            time = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"
            key = f"{plain_name(name)}/{time}"
            job = Job(key, self.folder / key, kind, given, settings)
            self._jobs[key] = job
            if self._thread is None:
                self._thread = Thread(target=self._work, name="runs", daemon=True)
                self._thread.start()
        self._waiting.put(job)
        return job

    def job(self, key: str) -> Job | None:
        """The run of that key, None where this app has not started it."""
        return self._jobs.get(key)

    def before(self, job: Job) -> int:
        """How many runs are to end before this one begins."""
        earlier = list(self._jobs.values())
        return sum(not other.has_ended for other in earlier[: earlier.index(job)])

    def stop(self, job: Job, *, keep_mesh: bool) -> None:
        """End a run: with the mesh that there is, or at once, with a checkpoint. One that waits does not begin."""
        (job.finish if keep_mesh else job.cancel).set()
        if job.state == "waiting":
            job.cancel.set()
            job.end("stopped", "It was taken out of the queue before it began.")

    def close(self) -> None:
        """End all of them, and wait until the one at work has written its checkpoint."""
        for job in list(self._jobs.values()):
            if not job.has_ended:
                self.stop(job, keep_mesh=False)
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            if not job.has_ended:
                job.state = "running"
                job.end(*self._run(job))

    def _run(self, job: Job) -> tuple[State, str | None]:
        """How the run ended, and one sentence about it that a user can read."""

        def note(progress: Progress) -> None:
            job.progress = progress

        call = photo_to_mesh if job.kind == "photo" else views_to_mesh
        try:
            result = call(
                job.given,
                folder=job.folder,
                settings=job.settings,
                on_progress=note,
                cancel=job.cancel,
                finish=job.finish,
            )
        except InputError as error:
            return "failed", told_without_places(str(error), job)
        except RunError as error:
            print(error, flush=True)  # for whoever started the app
            return "failed", "The run ended with an error of its own; the terminal of this app and run.log have more."
        except OSError as error:
            return "failed", one_line(f"{error.filename or job.key}: {error.strerror or error}")
        except Exception:  # the jobs that wait are not to wait forever
            traceback.print_exc()
            return "failed", "The app could not follow this run; its terminal has more."
        return result.exit, result.message


def plain_name(name: str) -> str:
    """A name for a run's folder out of whatever an uploaded file is called."""
    last = re.split(r"[/\\]", name)[-1]
    stem = last.rsplit(".", 1)[0] if "." in last.strip(".") else last
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")[:40] or "object"


def told_without_places(message: str, job: Job) -> str:
    """A refusal as the page tells it: of the uploaded file, not of where the app keeps it."""
    told = one_line(message)
    for prefix in ("image=", "views=", ""):
        told = told.replace(f"{prefix}{job.given.absolute()}/", "").replace(f"{prefix}{job.given.absolute()}: ", "")
        told = told.replace(f"{prefix}{job.given.absolute()}", "it")
    return told
