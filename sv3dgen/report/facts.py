"""What a run's card and folder say, in words and rows for its page."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sv3dgen.documents.yaml_text import parse_yaml
from sv3dgen.report.kept_pictures import Compared
from sv3dgen.runs.stopping import told_of_stop

_MOST_BYTES = 1 << 20  # of a file of settings
GIB = 2**30  # the one unit of memory of a run's page, log and console
_OF_THE_PLACE = ("hydra.run.", "hydra.sweep.", "hydra.mode=", "hydra.output_subdir=")  # where a run stood, not what
# Entries of a card that the page shows elsewhere, or that say nothing to a person.
_SHOWN = {
    *("started", "updated", "finished", "stopped", "resumed", "versions", "machine", "backends", "command", "seed"),
    *("config_sha256", "stages", "metrics", "fit", "licences", "notes", "openings", "warnings", "shared"),
}
_METRICS = {
    "psnr_train": ("PSNR of the mesh on its views", "dB"),
    "vertices": ("vertices", ""),
    "faces": ("faces", ""),
    "watertight": ("closed", ""),
    "charts": ("charts of the texture", ""),
    "unseen_share": ("surface that no view saw", "%"),
}

Row = tuple[str, str]


@dataclass(frozen=True)
class Identity:
    """What a run is of, which run it is, and how to start it again."""

    object: str
    run: str
    settings: tuple[str, ...]  # as given on the command line
    command: str
    kind: str  # mesh | views | training

    @property
    def title(self) -> str:
        """Tells a run from all others, also from the other cells of its sweep."""
        return f"{self.object}, {self.run}"


def identity(folder: Path, card: Mapping[str, Any]) -> Identity:
    """Of a run's folder as Hydra and the run have left it; a folder without `.hydra` has its own name alone."""
    hydra = _mapping(_yaml(folder / ".hydra" / "hydra.yaml"), "hydra")
    config = _yaml(folder / ".hydra" / "config.yaml")
    overrides = _mapping(hydra, "overrides")
    settings = tuple(_texts(overrides.get("task")))
    inner = [text for text in _texts(overrides.get("hydra")) if not text.startswith(_OF_THE_PLACE)]
    resolved = folder.resolve()
    run = resolved.name
    if str(hydra.get("mode", "")).endswith("MULTIRUN"):
        run = f"run {run} of {resolved.parent.name}"
    stages = _texts(_mapping(config, "system").get("stages")) or list(card.get("stages", {}))
    kind = "training" if "train" in stages else "views" if set(stages) <= {"views"} else "mesh"
    command = card.get("command") or shlex.join(["python", "launch.py", *settings, *inner])
    if not isinstance(command, str):
        command = shlex.join(map(str, command))
    return Identity(_object(config) or resolved.parent.name, run, settings, command, kind)


def _object(config: Mapping[str, Any]) -> str | None:
    """The name of what was given: the stem of a photo, or of a folder of views or data."""
    name = config.get("name")
    if name and "${" not in str(name):
        return str(name)
    given = config.get("image") or config.get("views") or config.get("data")
    if not isinstance(given, str):
        return None
    path = Path(given)
    return path.stem if path.suffix else path.name


def _yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping; an empty one where it is missing or something else."""
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return {}
    try:
        found = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _mapping(tree: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The mapping that stands under a key, and under another key in that; an empty one where there is none."""
    for key in keys:
        inner = tree.get(key)
        tree = inner if isinstance(inner, dict) else {}
    return dict(tree)


def _texts(values: Any) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list) else []


def state(card: Mapping[str, Any], folder: Path | None = None) -> tuple[str, str]:
    """One word, `finished`, `stopped` or `unfinished`, and a sentence, which names the folder to go on with."""
    if stopped := card.get("stopped"):
        if "finished" not in card:
            resume = f". To go on: {shlex.quote(f'resume={folder}')}" if folder is not None else ""
            return "stopped", f"stopped early, {told_of_stop(stopped)}{resume}"
    if finished := card.get("finished"):
        return "finished", f"finished {day(finished)}"
    return "unfinished", "not finished"


def day(stamp: str) -> str:
    """`2026-11-29 06:28 UTC` of a card's time."""
    try:
        return datetime.fromisoformat(stamp).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return stamp


def duration(seconds: float | int) -> str:
    """`9.9 s`, `4 min 31 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def gib(size: float | int | None) -> str:
    """Bytes in GiB, `1.63 GiB`; nothing for none."""
    return f"{size / GIB:.2f} GiB" if size else ""


@dataclass(frozen=True)
class StageRow:
    """What a stage took; `share` of the longest, for a bar."""

    name: str
    seconds: str
    memory: str
    gpu_memory: str
    share: float | int
    finished: bool


def stage_rows(card: Mapping[str, Any]) -> list[StageRow]:
    """The stages of a card, in their order."""
    stages = card.get("stages", {})
    longest = max((cost["seconds"] for cost in stages.values()), default=0.0) or 1.0
    return [
        StageRow(
            name,
            duration(cost["seconds"]),
            gib(cost["peak_memory_bytes"]),
            gib(cost.get("peak_gpu_memory_bytes")),
            cost["seconds"] / longest,
            cost.get("finished", True),
        )
        for name, cost in stages.items()
    ]


def total_seconds(card: Mapping[str, Any]) -> float | int:
    """Of all stages."""
    return sum(cost["seconds"] for cost in card.get("stages", {}).values())


def peak_bytes(card: Mapping[str, Any]) -> int:
    """The largest resident memory of any stage."""
    return max((cost["peak_memory_bytes"] for cost in card.get("stages", {}).values()), default=0)


def told(card: Mapping[str, Any]) -> list[Row]:
    """Notes by their subject, and warnings that no note says, under an empty one."""
    notes = card.get("notes", {})
    said = {f"{what}: {note}" for what, note in notes.items()}
    return [*notes.items(), *(("", line) for line in card.get("warnings", ()) if line not in said)]


def result_rows(card: Mapping[str, Any]) -> list[Row]:
    """The metrics in words, the seconds of parts left out."""
    rows = []
    for key, value in card.get("metrics", {}).items():
        if not key.startswith("seconds_"):
            name, unit = _METRICS.get(key, (key.replace("_", " "), ""))
            shown = round(100 * value, 1) if unit == "%" else value
            rows.append((name, f"{spoken(shown)} {unit}".strip()))
    return rows


def part_rows(card: Mapping[str, Any]) -> list[Row]:
    """The seconds of the export's parts."""
    metrics = card.get("metrics", {})
    return [
        (key.removeprefix("seconds_"), duration(value)) for key, value in metrics.items() if key.startswith("seconds_")
    ]


def decided_rows(folder: Path, card: Mapping[str, Any]) -> list[Row]:
    """What was chosen: the seed, Hydra's groups, and whatever else a card says about the run."""
    hydra = _mapping(_yaml(folder / ".hydra" / "hydra.yaml"), "hydra")
    choices = {str(group): option for group, option in _mapping(hydra, "runtime", "choices").items()}
    rows = [("seed", str(card.get("seed", "")))]
    rows += [
        (group.replace("@", " of "), str(option))
        for group, option in sorted(choices.items())
        if not group.startswith("hydra/") and option not in (None, "null")
    ]
    rows += [row for key, value in card.items() if key not in _SHOWN for row in _flat(key, value)]
    rows += [(f"{stage}, taken from", str(where)) for stage, where in card.get("shared", {}).items()]
    rows += [("resumed", day(str(one.get("at", "")))) for one in card.get("resumed", ())]
    return rows


def fit_rows(card: Mapping[str, Any]) -> list[Row]:
    """How well the mesh meets its views, as far as the card says it: numbers, not those of each view."""
    return [
        (name, text)
        for key, value in (card.get("fit") or {}).items()
        if not isinstance(value, list)
        for name, text in _flat(key, value)
        if not (isinstance(value, dict) and len(value) > 8)
    ]


def numbers_of_view(card: Mapping[str, Any], view: Compared) -> str:
    """How a view and the mesh agree: by the run's own numbers, or at the size of the pictures where it has none."""
    every = (card.get("fit") or {}).get("per_view")
    if isinstance(every, list) and view.index is not None and 0 <= view.index < len(every):
        own = every[view.index]
        if own["name"] == view.name:
            return f"PSNR {own['psnr']:.1f} dB, mask IoU {own['mask_iou']:.3f}"
    return f"PSNR {view.psnr_db:.1f} dB, mask IoU {view.mask_iou:.3f} at this size"


def _flat(key: str, value: Any) -> Iterator[Row]:
    """Plain values as rows, mappings of them too; what is nested deeper, or a list, is in run.json."""
    name = key.replace("_", " ")
    if isinstance(value, Mapping):
        yield from ((f"{name}: {inner.replace('_', ' ')}", spoken(one)) for inner, one in value.items() if plain(one))
    elif plain(value):
        yield name, spoken(value)


def plain(value: Any) -> bool:
    """Whether a value is a number, a word, or null."""
    return value is None or isinstance(value, str | int | float | bool)


def spoken(value: Any) -> str:
    """A plain value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def machine_rows(card: Mapping[str, Any]) -> list[Row]:
    """The machine of a card, memory in GiB."""
    machine = dict(card.get("machine", {}))
    memory = machine.pop("memory_bytes", None)
    rows = [(key.replace("_", " "), spoken(value)) for key, value in machine.items() if plain(value)]
    return [*rows, *([("memory", gib(memory))] if memory else [])]
