"""Stages that several runs share are computed once: a photo's views, and the coarse stage.

FOLDER/STAGE-HASH/ holds the result of one, whole or not at all. The hash is of all that the result follows from
(`stage_keys.py`), so that what is found there is what would be computed, bit by bit on one machine. Runs that want the
same stage at once wait for the first of them.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig

from sv3dgen.atomic import flush_to_disk
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.runs.sweeps import is_sweep, sweep_folder

log = logging.getLogger(__name__)

POLL_S = 1.0


def share_folder(config: DictConfig) -> Path | None:
    """Where this run's stages are shared: `share=`, or a place of the sweep's own; None for nowhere."""
    if config.share is not None:
        return Path(str(config.share))
    return sweep_folder() / "shared" if is_sweep() else None


class SharedStages:
    """Results of stages in `folder`, each in a place of its own:

    with shared.place("coarse", cache_key) as place:
        if place.holds_result:
            with place.reading() as folder:
                ...  # what can't be read is removed, and `place.taken` stays False
        if not place.taken:
            ...  # compute it
            if place.may_write:
                with place.writing() as folder:
                    ...
    """

    def __init__(self, folder: Path, card: RunCard, stopping: Callable[[], bool] = lambda: False):
        """`stopping` says whether the user wants an end: then nothing is waited for, and what comes out is not kept."""
        self.folder, self.card, self.stopping = folder, card, stopping

    @contextmanager
    def place(self, stage: str, cache_key: Mapping[str, Any]) -> Iterator["Place"]:
        """The place of a stage's result, kept from other runs for the block."""
        folder = self.folder / f"{stage}-{digest(cache_key)}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone(folder) as alone:
            yield Place(stage, folder, self, alone)

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[bool]:
        """Keep other runs from the same stage for the block; False where the user wants an end before that."""
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))
        told = False
        while not lock.is_locked:
            if self.stopping():
                yield False
                return
            try:
                lock.acquire(timeout=POLL_S)
            except Timeout:
                if not told:
                    log.info("waiting for another run, which is at work on %s", folder)
                told = True
        try:
            yield True
        finally:
            lock.release()


class Place:
    """Where the result of one stage lies, or will."""

    def __init__(self, stage: str, folder: Path, shared: SharedStages, alone: bool):
        self.stage, self.folder, self.shared, self.alone = stage, folder, shared, alone
        self.taken = False

    @property
    def holds_result(self) -> bool:
        return self.folder.is_dir()

    @property
    def may_write(self) -> bool:
        """Not where the user ends the run, whose result is then half of one, or another run is at work here."""
        return self.alone and not self.shared.stopping()

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """The folder that holds the result; where the block can't read it, it is removed, to be made anew."""
        try:
            yield self.folder
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except OSError as error:
            if error.errno not in (None, errno.ENOENT):  # of a disk or of rights, here or in the run's own folder
                raise
            self._remove(error)
        except Exception as error:  # what readers of tensors, pictures and JSON raise for damaged files is of all kinds
            self._remove(error)
        else:
            self.taken = True
            log.info("%s: taken from %s", self.stage, self.folder)
            self.shared.card.add_shared(self.stage, self.folder)

    def _remove(self, error: Exception) -> None:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        log.warning("%s: %s is damaged (%s); computed anew", self.stage, self.folder, reason)
        shutil.rmtree(self.folder)

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A folder to fill, which gets its name when the block has filled it. Only where `may_write`."""
        for left in self.folder.parent.glob(f".{self.folder.name}.*"):
            shutil.rmtree(left)  # of a run that was killed here
        temporary = self.folder.with_name(f".{self.folder.name}.{uuid.uuid4().hex[:8]}")
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    flush_to_disk(file)
            os.replace(temporary, self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def digest(cache_key: Mapping[str, Any]) -> str:
    """16 characters for plain values, the same for any order of keys."""
    return hashlib.sha256(json.dumps(cache_key, sort_keys=True).encode()).hexdigest()[:16]
