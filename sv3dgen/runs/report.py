"""A run on one page: RUN/report.html, of what lies in the run's folder; it needs no network and no server."""

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from sv3dgen.atomic import atomic_write

NAME = "report.html"
_FILMS = (("views/orbit.mp4", "the views"), ("turntable.mp4", "the mesh"))
_FILES = ("mesh/mesh.glb", "mesh/mesh.obj", "light.json", "views/transforms.json", "run.json", "logs/metrics.csv")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "figure{display:inline-block;margin:0 1rem 1rem 0;vertical-align:top}video,img{height:16rem;background:#fff}"
    "table{border-collapse:collapse;margin:0 0 1.5rem}td,th{padding:.15rem .8rem .15rem 0;text-align:left}"
    ".note{border-left:.3rem solid #d90;background:#fff6e0;padding:.6rem 1rem}"
)


def write_report(folder: Path, card: Mapping[str, Any]) -> Path:
    """Write the page of a run's folder and its card (`RunCard.card`); what is not there is left out."""
    parts = [
        f"<h1>{escape(folder.resolve().parent.name)}</h1>",
        f"<p>{escape(card['started'])}, seed {card['seed']}, {escape(card['machine']['device_name'])}</p>",
        *_stopped(card.get("stopped")),
        *(f'<p class="note">{escape(line)}</p>' for line in _warnings(card)),
        *(f'<p class="note"><b>{escape(what)}</b>: {escape(note)}</p>' for what, note in card["notes"].items()),
        *_pictures(folder),
        _table("Stages", ("stage", "seconds", "peak memory"), _stages(card["stages"])),
        _table("Results", ("what", "value"), card["metrics"].items()),
        _table("Licences", ("of", "licence"), card["licences"].items()),
        _table("Files", ("file",), ((_link(name),) for name in _FILES if (folder / name).is_file()), escaped=True),
        _table("Versions", ("package", "version"), card["versions"].items()),
        f"<p>Settings: <code>{card['config_sha256']}</code>, {_link('.hydra/config.yaml')}</p>",
    ]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>sv3dgen run</title><style>{_STYLE}</style>'
        + "\n".join(part for part in parts if part)
        + "</html>\n"
    )
    with atomic_write(folder / NAME) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / NAME


def _warnings(card: Mapping[str, Any]) -> Iterable[str]:
    """Those that no note says."""
    notes = {f"{what}: {note}" for what, note in card["notes"].items()}
    return (line for line in card.get("warnings", ()) if line not in notes)


def _stopped(stopped: Mapping[str, Any] | None) -> Iterable[str]:
    if stopped is not None:
        yield f'<p class="note"><b>stopped early</b>: {escape(told_of_stop(stopped))}; to go on: resume=RUN_FOLDER</p>'


def told_of_stop(stopped: Mapping[str, Any]) -> str:
    """`in fine, at step 20 of 60`: of a card's `stopped`."""
    at = f", at step {stopped.get('step')} of {stopped['of']}" if stopped.get("of") else ""
    return f"in {stopped['stage']}{at}" if stopped.get("stage") else "before its first stage"


def _pictures(folder: Path) -> Iterable[str]:
    if (folder / "views" / "input.png").is_file():
        yield '<figure><img src="views/input.png" alt="photo"><figcaption>the photo, cut out</figcaption></figure>'
    for name, caption in _FILMS:
        if (folder / name).is_file():
            yield (
                f'<figure><video src="{name}" autoplay loop muted playsinline controls></video>'
                f"<figcaption>{caption}</figcaption></figure>"
            )


def _stages(stages: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, str, str]]:
    for name, cost in stages.items():
        unfinished = "" if cost["finished"] else " (interrupted)"
        yield name + unfinished, f"{cost['seconds']:.1f}", f"{cost['peak_memory_bytes'] / 1e9:.2f} GB"


def _table(title: str, head: Iterable[str], rows: Iterable[Iterable[Any]], escaped: bool = False) -> str:
    """Nothing where there are no rows. Cells are text, unless they are `escaped` already."""
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if escaped else escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    columns = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<h2>{title}</h2><table><tr>{columns}</tr>{body}</table>" if body else ""


def _link(name: str) -> str:
    return f'<a href="{name}">{name}</a>'
