"""A run on Weights & Biases: settings, numbers, pictures, turntable, mesh and card. Imported only where it is chosen.

The key is wandb's own affair (WANDB_API_KEY, or what `wandb login` has left): nothing here reads, writes or tells it.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

import wandb
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import WandbLogger

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError
from sv3dgen.runs.sweeps import is_sweep, sweep_folder

log = logging.getLogger(__name__)

RUN_ID = "wandb/run_id.txt"  # a run that resumes goes on under it


class WandbLog(WandbLogger):
    """Lightning's logger of numbers and pictures, and next to them what a run is and leaves as a whole.

    Offline it keeps all in `folder`/wandb until `wandb sync`. `group` null is, in a sweep, the sweep's folder.
    """

    def __init__(
        self, *, folder: str, project: str, name: str, offline: bool = False, group: str | None = None
    ) -> None:
        sweep, job = _sweep_and_job()
        super().__init__(
            save_dir=folder,
            project=project,
            name=name if job is None else f"{name}-{job}",
            offline=offline,
            mode="offline" if offline else None,  # Lightning says it in the environment, which wandb reads but once
            id=_run_id(Path(folder)),
            group=group or sweep,
            # Our own line and RUN/run.log tell the rest.
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._wandb_init.pop("anonymous", None)  # Lightning passes on what wandb has done away with
        self.folder, self.offline = Path(folder), offline

    def begin(self, config: Mapping[str, Any]) -> None:
        """Open the run and log its settings; InputError where there is no key, or no way to the server."""
        if wandb.run is not None:  # of a job before, in the same process, that failed
            wandb.finish(exit_code=1)
        run = opened(lambda: self.experiment, self.folder, offline=self.offline)
        with atomic_write(self.folder / RUN_ID) as temporary:
            temporary.write_text(run.id, encoding="utf-8")
        run.config.update(_with_text_keys(config), allow_val_change=True)
        log.info(told_where(run, offline=self.offline))

    def end(self, *, failed: bool = False) -> None:
        """Log what the run has left in its folder, and close it."""
        run = self.experiment
        films = {"turntable": "turntable.mp4", "views": "views/orbit.mp4"}
        media: dict[str, Any] = {
            name: wandb.Video(str(self.folder / film), format="mp4")
            for name, film in films.items()
            if (self.folder / film).is_file()
        }
        mesh, card = self.folder / "mesh" / "mesh.glb", self.folder / "run.json"
        if mesh.is_file():
            media["mesh"] = wandb.Object3D(str(mesh))
        if media and not failed:
            run.log(media)
        if card.is_file():
            run.summary.update(dict(_flat(json.loads(card.read_text(encoding="utf-8")), "run")))
        run.finish(exit_code=int(failed))


def opened(start: Callable[[], Any], folder: Path, *, offline: bool) -> Any:
    """The run that `start` opens, whose files go to `folder`/wandb; InputError without a key or a way to the server."""
    if not offline and not wandb.login(prompt=False, verify=False):
        raise InputError(
            "logger=wandb: no key; expected WANDB_API_KEY, or a `wandb login` before, or logger.offline=true"
        )
    (folder / "wandb").mkdir(parents=True, exist_ok=True)  # or wandb takes its files elsewhere
    try:
        run = start()
    except wandb.Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"logger=wandb: {reason}; logger.offline=true does without the server") from error
    return run


def told_where(run: Any, *, offline: bool) -> str:
    """One line on where a run of wandb's can be seen."""
    return f"wandb: offline; to send it: wandb sync {Path(run.dir).parent}" if offline else f"wandb: {run.url}"


def _sweep_and_job() -> tuple[str | None, str | None]:
    """The name of the sweep's folder and the number of this job in it; None and None outside a sweep."""
    if not HydraConfig.initialized() or not is_sweep():
        return None, None
    return sweep_folder().name, str(HydraConfig.get().job.num)


def _run_id(folder: Path) -> str:
    file = folder / RUN_ID
    return file.read_text(encoding="utf-8").strip() if file.is_file() else token_hex(4)


def _with_text_keys(tree: Any) -> Any:
    """The tree with its keys as text: a schedule's are steps, and wandb's are text."""
    if isinstance(tree, Mapping):
        return {str(key): _with_text_keys(value) for key, value in tree.items()}
    return [_with_text_keys(value) for value in tree] if isinstance(tree, list) else tree


def _flat(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    """`run/metrics/psnr_train` and so on: what a table of runs can be sorted by."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flat(value, f"{path}/{key}")
    else:
        yield path, tree
