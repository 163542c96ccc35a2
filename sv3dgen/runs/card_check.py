"""Whether a run's card is one that a run has written: a disk may have damaged it, and a folder may come from anybody.

Checked is what readers rely on, a resumed run and its page; whatever else stands in a card is only shown.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

MOST = 10**18  # bytes, seconds, or anything else that a run counts


def damaged_entry(card: Mapping[str, Any]) -> str | None:
    """The first entry that no run writes so; None where all are as they should be. An entry may be missing."""
    damaged = next((entry for entry, holds in _HOLDS.items() if entry in card and not holds(card[entry])), None)
    return damaged or next((entry for entry, value in card.items() if not _can_be_written({entry: value})), None)


def _can_be_written(value: Any) -> bool:
    """Whether all texts and keys are of letters: escapes may also stand for halves of some, which no file takes."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
        return True
    except (UnicodeEncodeError, RecursionError):
        return False


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _number(value: Any) -> bool:
    """NaN and infinities count: results may be."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST)


def _amount(value: Any) -> bool:
    return _number(value) and 0 <= value <= MOST


def _list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


def _mapping_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(holds, value.values()))


def _stage(cost: Any) -> bool:
    """As `StageCost`; older runs did not tell the last two."""
    if not isinstance(cost, dict) or not {"seconds", "peak_memory_bytes"} <= cost.keys() <= _COST:
        return False
    amounts = [value for key, value in cost.items() if key != "finished"]
    return all(map(_amount, amounts)) and isinstance(cost.get("finished", True), bool)


def _machine(value: Any) -> bool:
    return isinstance(value, dict) and (value.get("memory_bytes") is None or _amount(value["memory_bytes"]))


def _kernel(value: Any) -> bool:
    return isinstance(value, dict) and _text(value.get("backend")) and _text(value.get("why"))


def _metrics(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("watertight") not in (None, True, False):
        return False
    numbers = [value[key] for key in ("psnr_train", "unseen_share") if key in value]
    return all(map(_number, numbers)) and all(_amount(one) for key, one in value.items() if key.startswith("seconds_"))


def _view(value: Any) -> bool:
    return isinstance(value, dict) and _text(value.get("name")) and all(_number(value.get(key)) for key in _OF_A_VIEW)


def _fit(value: Any) -> bool:
    """Older runs have a mapping of the views, which is only shown."""
    every = value.get("per_view") if isinstance(value, dict) else None
    return value is None or (isinstance(value, dict) and (not isinstance(every, list) or _list_of(_view)(every)))


_COST = {"seconds", "peak_memory_bytes", "peak_gpu_memory_bytes", "finished"}
_OF_A_VIEW = ("mask_iou", "psnr")
_HOLDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("started", "updated", "finished"), _text),
    **dict.fromkeys(("versions", "licences", "shared"), _mapping),
    "command": lambda value: value is None or _text(value) or _list_of(_text)(value),
    "notes": _mapping_of(_text),
    "machine": _machine,
    "stages": _mapping_of(_stage),
    "metrics": _metrics,
    "backends": _mapping_of(_kernel),
    "openings": lambda value: isinstance(value, list),
    **dict.fromkeys(("warnings", "warnings_of_export"), _list_of(_text)),
    "resumed": _list_of(_mapping),
    "stopped": lambda value: value is None or isinstance(value, dict),
    "fit": _fit,
}
