"""A run's folder and its card, `run.json`.

The card is written anew after every stage, whole or not at all, so that a killed run leaves what is known of it. A
resumed run goes on with the card it finds: seconds of a stage add up, its peak memory is the largest seen.
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sv3dgen.atomic import atomic_write
from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError
from sv3dgen.kernels.backend import available
from sv3dgen.runs.card_check import damaged_entry
from sv3dgen.runs.machine import machine, versions
from sv3dgen.runs.stage_timer import StageCost, StageTimer

INTERPOLATION = re.compile(r"(?<!\\)(?:\\\\)*\$\{")  # with an odd number of backslashes it is none
OURS = ("sv3dgen", "systems", "guidance", "geometry")  # the project's packages
CHECKPOINT = "checkpoints/last.ckpt"  # in a run's folder
CARD = "run.json"
POSED = "posed/transforms.json"  # of a run on plain photos
RESULT = "result.json"  # for programs
_EXPORT = "export"  # the stage's name
_HYDRAS = {".hydra", "run.log"}
_HYDRAS_INNER = {"config.yaml", "hydra.yaml", "overrides.yaml", "lock"}
_WITHOUT_WORK = _HYDRAS | {CARD, RESULT, "views"}  # the last a copy of what was given
_MOST_BYTES = 64 << 20  # of a card
# Where a run stands, what it is called, what it need not do, and whether one looks.
_NOT_SETTINGS = {"hydra", "name", "resume", "share", "viewer", "viewer_port"}


class RunCard:
    """`run.json` of a run: what it was made of, its settings, stages, metrics and licences; when it finished."""

    def __init__(self, path: Path, card: dict[str, Any]) -> None:
        self.path, self.card = path, card
        self._begun: str | None = None

    @classmethod
    def begin(
        cls,
        folder: str | Path,
        *,
        config: Mapping[str, Any],
        seed: int,
        device: str = "cpu",
        provenance: Mapping[str, Any] | None = None,
    ) -> "RunCard":
        """Write a new card, or go on with the one in `folder` where that is the same run's: of the same settings, or
        resumed. `config` is the tree as plain values, unresolved, because what refers to the run's folder would make
        every run's hash another. `provenance` is `provenance.py`'s."""
        path = Path(folder) / CARD
        (path.parent / RESULT).unlink(missing_ok=True)  # an earlier end: killed, this one would seem to have come to it
        hashed = config_hash(config)
        earlier = read_card(path.parent) or {}
        if not config.get("resume") and earlier.get("config_sha256") != hashed:
            earlier = {}
        card = {
            "started": earlier.get("started", _now()),
            "updated": _now(),
            **(provenance or {}),
            "versions": versions(),
            "machine": machine(device),
            "seed": seed,
            "config_sha256": hashed,
            "backends": {op.operation: {"backend": op.backend, "why": op.why} for op in available(device)},
            "stages": earlier.get("stages", {}),
            "metrics": earlier.get("metrics", {}),
            "licences": earlier.get("licences", {}),
            "notes": earlier.get("notes", {}),
            "openings": earlier.get("openings", []),
            "shared": earlier.get("shared", {}),
            "warnings": earlier.get("warnings", []),
            "warnings_of_export": earlier.get("warnings_of_export", []),
            "resumed": [*earlier.get("resumed", []), *_changes(earlier, device)] if config.get("resume") else [],
        }
        begun = cls(path, card)
        begun.write()
        return begun

    @contextmanager
    def stage(self, name: str) -> Iterator[StageTimer]:
        """Time a stage under a name, and write the card when it ends, however it ends.

        An export begins anew whenever it does, so that what an earlier one warned of no longer holds.
        """
        timer = StageTimer()
        self._begun = name
        if name == _EXPORT:
            gone, self.card["warnings_of_export"] = self.card["warnings_of_export"], []
            self.card["warnings"] = [line for line in self.card["warnings"] if line not in gone]
        try:
            with timer:
                yield timer
        finally:
            assert timer.cost is not None
            self.add_cost(name, timer.cost)
            self.write()

    def add_cost(self, name: str, cost: StageCost) -> None:
        """Book what a stage took, on top of what an interrupted attempt at it took before."""
        before = self.stages.get(name, StageCost(0.0, 0))
        total = StageCost(
            round(before.seconds + cost.seconds, 3),
            max(before.peak_memory_bytes, cost.peak_memory_bytes),
            max(before.peak_gpu_memory_bytes, cost.peak_gpu_memory_bytes),
            cost.finished,
        )
        self.card["stages"][name] = asdict(total)

    @property
    def stages(self) -> dict[str, StageCost]:
        """What the stages took, in the order they first ran."""
        return {name: StageCost(**cost) for name, cost in self.card["stages"].items()}

    def add_metrics(self, **metrics: float | int | str) -> None:
        """Book results, such as `psnr_train=33.1`, and write the card."""
        self.card["metrics"].update(metrics)
        self.write()

    def add_licence(self, what: str, licence: str) -> None:
        """Say under which licence weights or data that shaped the result stand, and write the card."""
        self.card["licences"][what] = licence
        self.write()

    def add_note(self, what: str, note: str) -> None:
        """Say what whoever reads the result should know of it, and write the card."""
        self.card["notes"][what] = note
        self.write()

    def add_fit(self, fit: Mapping[str, Any], failure: str | None) -> None:
        """Book how the mesh fits the views, and what is wrong with it as a warning, and write the card."""
        self.card["fit"] = dict(fit)
        if failure is not None:
            self._warn(failure)
        self.write()

    def add_openings(self, openings: Sequence[Mapping[str, Any]], told: str) -> None:
        """Say which openings of the object were taken for hollow or solid and by what, in numbers and as a note."""
        self.card["openings"] = [dict(opening) for opening in openings]
        self.add_note("openings", told)

    def add_shared(self, stage: str, folder: Path) -> None:
        """Say where the result of a stage was taken from that another run computed, and write the card."""
        self.card["shared"][stage] = str(folder)
        self.write()

    @property
    def last_stage(self) -> str:
        """The stage that was begun last."""
        return next(reversed(self.card["stages"]), "") if self._begun is None else self._begun

    def stop(self, stage: str, step: int, of: int) -> None:
        """Say that the run was ended before its time: in which stage, after how many steps of how many.

        `of` is 0 where a stage that has no steps, or none yet, was ended.
        """
        if stage in self.card["stages"] and step < of:
            self.card["stages"][stage]["finished"] = False
        self.card["stopped"] = {"stage": stage, "step": step, "of": of, "at": _now()}
        self.write()

    @contextmanager
    def hearing_warnings(self) -> Iterator[None]:
        """Book what is warned of in the block, each warning once."""
        hearer = _Hearer(self._warn)
        logging.getLogger().addHandler(hearer)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(hearer)
            self.write()

    def _warn(self, line: str) -> None:
        if line not in self.card["warnings"]:
            self.card["warnings"].append(line)
            if self._begun == _EXPORT:
                self.card["warnings_of_export"].append(line)

    def as_finished(self) -> dict[str, Any]:
        """The card as `finish` will leave it: what is made of it comes first, lest a kill leave that undone."""
        return {**self.card, "finished": _now()}

    def finish(self) -> None:
        """Say that the run came to its end, with all that was asked for; the last thing a run does."""
        self.card["finished"] = _now()
        self.write()

    def write(self) -> None:
        self.card["updated"] = _now()
        with atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(self.card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


class _Hearer(logging.Handler):
    """Hands on what the project warns of, each a line."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        line = " ".join(record.getMessage().split())
        if record.name.split(".")[0] in OURS:
            self.tell(line)


def _changes(earlier: Mapping[str, Any], device: str) -> list[dict[str, Any]]:
    """When a run went on, and what differed then: of the versions and the machine, those that it had before."""
    before = {
        name: {key: value for key, value in earlier[name].items() if now.get(key) != value}
        for name, now in (("versions", versions()), ("machine", machine(device)))
        if isinstance(earlier.get(name), dict)
    }
    stopped = {"stopped": earlier["stopped"]} if "stopped" in earlier else {}
    return [{"at": _now(), **stopped, **{f"{name}_before": was for name, was in before.items() if was}}]


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card of a run's folder, None where it has none; InputError where it is none that a run has written."""
    path = folder / CARD
    if not path.is_file():
        return None
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path}: {path.stat().st_size >> 20} MB, expected the JSON that a run writes")
    try:
        card = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: expected the JSON that a run writes ({error})") from error
    if not isinstance(card, dict):
        raise InputError(f"{path}: expected the JSON that a run writes, an object")
    if (entry := damaged_entry(card)) is not None:
        raise InputError(f"{path}: {entry} is damaged; expected the JSON that a run writes")
    return card


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of the settings, the same for any order of keys, whatever the run is called and wherever it resumes."""
    content = {key: value for key, value in config.items() if key not in _NOT_SETTINGS}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def is_new(folder: Path) -> bool:
    """Whether a folder holds nothing but what Hydra puts there before a run: then all else in it will be the run's."""
    return _names(folder) <= _HYDRAS and _names(folder / ".hydra") <= _HYDRAS_INNER


def discard_unused(folder: Path, top: Path) -> None:
    """Remove the folder of a refused run where none of its stages but the first, the reading of views, has begun.

    Parents below `top` that are empty then go with it. Only for a folder that `is_new` held for when the run began:
    whatever was there before is the user's. Views that a model made stay: they may have taken hours.
    """
    if not folder.is_dir() or not _names(folder) <= _WITHOUT_WORK or holds_made_views(folder):
        return
    if not set((read_card(folder) or {}).get("stages", {})) <= {"views"}:
        return
    shutil.rmtree(folder)
    for parent in list(folder.parents)[:2]:  # outputs/NAME/TIME
        if top not in parent.parents:
            return
        try:
            parent.rmdir()
        except OSError:
            return  # other runs are in there


def escaped(text: str) -> str:
    """Text in which `${` is no reference for OmegaConf."""
    return INTERPOLATION.sub(lambda found: f"{found[0][:-2]}\\${{", text)


def can_go_on(folder: Path) -> bool:
    """Whether a run left anything that it need not do again: a checkpoint, a model's views, the cameras of photos."""
    return any((folder / name).is_file() for name in (CHECKPOINT, POSED)) or holds_made_views(folder)


def holds_made_views(folder: Path) -> bool:
    """Whether a run's folder holds the whole of the views that a model made of a photo."""
    return all((folder / "views" / name).is_file() for name in ("input.png", "transforms.json"))


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
