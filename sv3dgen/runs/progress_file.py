"""How far a run is, for the program that has started it: one line of JSON in the file that it named.

Whoever starts a run names the file in the environment variable `PROGRESS`; it is replaced whole, a few times a second.
"""

import json
import os
from pathlib import Path
from time import perf_counter

PROGRESS = "SV3DGEN_PROGRESS"
PREVIEW = "SV3DGEN_PREVIEW"  # likewise: what a picture of the object as it grows is called, in the run's folder
EVERY_S = 0.2


class ProgressFile:
    """Of one stage. Does nothing where nobody has asked."""

    def __init__(self, stage: str) -> None:
        named = os.environ.get(PROGRESS)
        self._file = Path(named) if named else None
        self._stage, self._told = stage, 0.0

    def tell(self, step: int, of: int, *, now: bool = False) -> None:
        """`of` is 0 where nobody knows; `now` where this is not to wait for the next time."""
        if self._file is None or not (now or perf_counter() - self._told >= EVERY_S):
            return
        self._told = perf_counter()
        partial = self._file.with_suffix(".partial")
        try:
            partial.write_text(json.dumps({"stage": self._stage, "step": step, "of": of}), encoding="utf-8")
            os.replace(partial, self._file)
        except OSError:  # who asked is gone
            self._file = None
