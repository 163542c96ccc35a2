"""How a run is doing, as a piece of the page."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from sv3dgen.app.past_runs import PREVIEW, REPORT, run_folder
from sv3dgen.app.run_queue import Job, RunQueue
from sv3dgen.errors import InputError
from sv3dgen.runs.result import read_result
from sv3dgen.runs.run_folder import RESULT, read_card
from sv3dgen.runs.run_lock import check_free

STAGES = {"views": "Views", "coarse": "Coarse shape", "fine": "Fine mesh", "export": "Texture and files"}
_PAGES = Environment(loader=PackageLoader("sv3dgen.app"), autoescape=True, undefined=StrictUndefined)
_LIVE = "viewer.url"


@dataclass(frozen=True)
class Bar:
    """A stage: what it is called, how much of it is done in percent (None: nobody knows), and whether it is at work."""

    name: str
    percent: int | None
    at_work: bool


@dataclass(frozen=True)
class Status:
    """What the page shows of a run."""

    key: str
    state: str  # waiting, running, finished, stopped, failed
    message: str | None
    bars: tuple[Bar, ...] = ()
    preview: int | None = None  # changes when the picture does
    warnings: tuple[str, ...] = ()
    has_report: bool = False
    live: str | None = None  # address of the run's live view

    @property
    def has_ended(self) -> bool:
        return self.state in ("finished", "stopped", "failed")


def status_of(runs: RunQueue, key: str) -> Status | None:
    """Of a run that this app has started, or that lies in its folder; None where there is none."""
    job = runs.job(key)
    folder = run_folder(runs.folder, key)
    if job is None:
        return None if folder is None else _of_folder(folder, key)
    if job.state == "waiting":
        before = runs.before(job)
        told = f"Waiting: {before} other run{'s' if before > 1 else ''} first. You may close this page."
        return Status(key, "waiting", told)
    bars, picture = _bars(job), None if folder is None else _stamp(folder / PREVIEW)
    if not job.has_ended:
        told = "Finishing with the mesh there is." if job.finish.is_set() else None
        live = None if folder is None else _live(folder)
        return Status(key, "running", "Stopping." if job.cancel.is_set() else told, bars, picture, live=live)
    if folder is None:
        return Status(key, job.state, job.message)
    ended = _of_folder(folder, key)
    return Status(key, job.state, job.message, (), picture, ended.warnings, ended.has_report)


def html_of(status: Status) -> str:
    """The status as HTML; everything in it is escaped."""
    return _PAGES.get_template("status.html.j2").render(status=status, report=REPORT)


def _of_folder(folder: Path, key: str) -> Status:
    """Of a run that another process has made, or is making."""
    has_report = (folder / REPORT).is_file()
    try:
        result = read_result(folder) if (folder / RESULT).is_file() else None
        card = read_card(folder) or {}
    except InputError as error:
        return Status(key, "failed", str(error), has_report=has_report)
    if result is not None:
        return Status(key, result.exit, result.message, (), None, result.warnings, has_report)
    if _is_at_work(folder):
        now = next(reversed(card.get("stages", {})), None)
        bars = tuple(Bar(name, None, True) for stage, name in STAGES.items() if stage == now)
        return Status(key, "running", None, bars, _stamp(folder / PREVIEW), live=_live(folder))
    return Status(key, "stopped", "It was ended before its last step.", has_report=has_report)


def _is_at_work(folder: Path) -> bool:
    try:
        check_free(folder)
    except InputError:
        return True
    return False


def _bars(job: Job) -> tuple[Bar, ...]:
    now = None if job.progress is None else job.progress.stage
    order = list(STAGES)
    at = order.index(now) if now in order else 0
    share = None if job.progress is None or not job.progress.of else job.progress.step / job.progress.of
    if share == 1 and at + 1 < len(order):  # what comes next does not tell before its first step
        at, share = at + 1, None
    bars = []
    for place, name in enumerate(STAGES.values()):
        percent = 100 if place < at else 0
        if place == at:
            percent = None if share is None else round(100 * share)
        bars.append(Bar(name, percent, place == at))
    return tuple(bars)


def _stamp(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.is_file() else None


def _live(folder: Path) -> str | None:
    """The address that the run's live view told, if it is one of this machine's."""
    path = folder / _LIVE
    told = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    return told if told.startswith("http://127.0.0.1:") and told[17:].isdigit() else None
