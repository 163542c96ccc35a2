"""Stages that several runs share are computed once: a photo's views, and the coarse stage.

FOLDER/STAGE-HASH/ holds the result of one, whole or not at all. The hash is of all that the result follows from:
content of the input, settings, seed, kernels, versions and our own source, so that what is found there is what would
be computed, bit by bit on one machine. Runs that want the same stage at once wait for the first of them.
"""

import errno
import hashlib
import importlib.util
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from sv3dgen.atomic import atomic_write, flush_to_disk
from sv3dgen.cli.config_check import outside_sources
from sv3dgen.cli.saved_settings import refuse_links_out
from sv3dgen.devices import find_device
from sv3dgen.interfaces import Guidance, Reference
from sv3dgen.kernels.backend import available
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.nvs_interfaces import ViewMaker
from sv3dgen.runs.machine import versions
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.runs.sweeps import is_sweep, sweep_folder
from sv3dgen.views.posed_views import PosedViews
from systems.sv3d_nerf import Sv3dNerf
from systems.view_sources import photo_px

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("sv3dgen", "geometry", "guidance", "systems")
STATE, TOLD = "state.pt", "card.json"
TOLD_OF_VIEWS = ("licences", "notes")  # entries of the run card that a run with the same views has to have too
VIEWS_METRICS = ("elevation_deg",)
LAST_OF_VIEWS = "transforms.json"  # a folder that has it is complete
POLL_S = 1.0


def share_folder(config: DictConfig) -> Path | None:
    """Where this run's stages are shared: `share=`, or a place of the sweep's own; None for nowhere."""
    if config.share is not None:
        return Path(str(config.share))
    return sweep_folder() / "shared" if is_sweep() else None


class SharedStages:
    """Results of stages in `folder`; without one, every stage is computed."""

    def __init__(self, folder: Path | None, card: RunCard, stopping: Callable[[], bool] = lambda: False):
        """`stopping` says whether the user wants an end: then nothing is waited for, and what comes out is not kept."""
        self.folder, self.card, self.stopping = folder, card, stopping

    def obtain(
        self,
        stage: str,
        cache_key: Callable[[], Mapping[str, Any]],
        *,
        make: Callable[[], None],
        save: Callable[[Path], None],
        load: Callable[[Path], None],
    ) -> None:
        """Have a stage's result: `load` it from the folder that holds it, else `make` it and `save` it to a new one."""
        if self.folder is None:
            make()
            return
        target = self.folder / f"{stage}-{digest(cache_key())}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone(target) as alone:
            if target.is_dir() and self._taken(stage, target, load):
                return
            make()
            if alone and not self.stopping():
                _publish(target, save)

    def _taken(self, stage: str, target: Path, load: Callable[[Path], None]) -> bool:
        """Whether the result in `target` could be loaded; where it is damaged, it is removed, to be made anew."""
        try:
            load(target)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            return self._removed(stage, target, error)
        except Exception as error:  # what readers of tensors, pictures and JSON raise for damaged files is of all kinds
            return self._removed(stage, target, error)
        log.info("%s: taken from %s", stage, target)
        self.card.add_shared(stage, target)
        return True

    def _removed(self, stage: str, target: Path, error: Exception) -> bool:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        log.warning("%s: %s is damaged (%s); computed anew", stage, target, reason)
        shutil.rmtree(target)
        return False

    @contextmanager
    def _alone(self, target: Path) -> Iterator[bool]:
        """Keep other runs from the same stage for the block; False where the user wants an end before that."""
        lock = FileLock(target.with_name(f"{target.name}.lock"))
        told = False
        while not lock.is_locked:
            if self.stopping():
                yield False
                return
            try:
                lock.acquire(timeout=POLL_S)
            except Timeout:
                if not told:
                    log.info("waiting for another run, which is at work on %s", target)
                told = True
        try:
            yield True
        finally:
            lock.release()


def obtain_views(
    shared: SharedStages, config: DictConfig, nvs: ViewMaker, folder: Path, make: Callable[[], None]
) -> None:
    """Have `folder`, a run's views, hold what a model makes of a photo; `make` has the model make it there."""
    card = shared.card

    def save(target: Path) -> None:
        for file in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
            shutil.copy2(file, target / file.name)
        told = {entry: dict(card.card[entry]) for entry in TOLD_OF_VIEWS}
        for use in [use for use in told["licences"] if use.startswith("kernels.")]:
            del told["licences"][use]  # each run says itself what it computes with
        told["metrics"] = {name: card.card["metrics"][name] for name in VIEWS_METRICS if name in card.card["metrics"]}
        (target / TOLD).write_text(json.dumps(told), encoding="utf-8")

    def load(source: Path) -> None:
        (folder / LAST_OF_VIEWS).unlink(missing_ok=True)
        refuse_links_out(source)
        files = [path for path in source.iterdir() if path.is_file() and path.name not in (TOLD, LAST_OF_VIEWS)]
        for file in [*sorted(files), source / LAST_OF_VIEWS]:
            with atomic_write(folder / file.name) as temporary:
                shutil.copyfile(file, temporary)
        told = json.loads((source / TOLD).read_text(encoding="utf-8"))
        for entry in (*TOLD_OF_VIEWS, "metrics"):
            card.card[entry].update(told[entry])

    shared.obtain("views", lambda: views_key(config, nvs), make=make, save=save, load=load)


def obtain_coarse(
    shared: SharedStages,
    config: DictConfig,
    reference: Reference,
    coarse: Sv3dNerf,
    nvs: ViewMaker | None,
    make: Callable[[], Mesh],
) -> Mesh:
    """Have the coarse stage's parts as they are after its last step, and its mesh, which `make` computes."""
    found: list[Mesh] = []
    learned = {"geometry": coarse.geometry, "material": coarse.material, "corrections": coarse.corrections}

    def save(target: Path) -> None:
        state: dict[str, Any] = {name: part.state_dict() for name, part in learned.items()}
        torch.save({"vertices": found[0].vertices, "faces": found[0].faces, **state}, target / STATE)

    def load(source: Path) -> None:
        state = torch.load(source / STATE, weights_only=True, map_location="cpu")
        mesh = Mesh(state["vertices"], state["faces"])
        coarse.corrections.start_from(reference.views)
        for name, part in learned.items():
            before = {key: value.clone() for key, value in part.state_dict().items()}
            try:
                part.load_state_dict(state[name])
            except Exception:
                part.load_state_dict(before)  # some of it may have been taken
                raise
        coarse.eval()
        found.append(mesh)

    def make_mesh() -> None:
        found.append(make())

    def cache_key() -> dict[str, Any]:
        parts = {
            name: part.cache_key(reference) for name, part in coarse.guidance.items() if isinstance(part, Guidance)
        }
        return coarse_key(config, reference.views, nvs, parts)

    shared.obtain("coarse", cache_key, make=make_mesh, save=save, load=load)
    return found[0]


def views_key(config: DictConfig, nvs: ViewMaker) -> dict[str, Any]:
    """All that decides what a model makes of the photo."""
    keys = ("seed", "matting", "foreground_ratio", "elevation_deg", "orbit")
    return {
        "photo": hashlib.sha256(Path(config.image).read_bytes()).hexdigest(),
        "settings": {key: _plain(config.get(key)) for key in keys},
        "photo_px": photo_px(config, 0),
        "nvs": _model(config, nvs),
        "rembg": importlib.util.find_spec("rembg") is not None,
        **_program(),
        "extensions": _extensions(config),
    }


def coarse_key(
    config: DictConfig, views: PosedViews, nvs: ViewMaker | None, guidance: Mapping[str, str | None]
) -> dict[str, Any]:
    """All that decides what the coarse stage leaves. `nvs` is the model that a guidance may ask, where one does, and
    `guidance` what guidances say that they follow from."""
    trainer = {key: _plain(config.trainer[key]) for key in config.trainer if key != "logger"}
    device = find_device(config.device)
    return {
        "views": digest_of_views(views),
        "coarse": _plain(config.coarse),
        "trainer": trainer,
        "seed": config.seed,
        "device": device.type,
        "kernels": {operation.operation: operation.backend for operation in available(device)},
        "nvs": None if nvs is None else _model(config, nvs),
        "guidance": dict(guidance),
        **_program(),
        "extensions": _extensions(config),
    }


def digest(cache_key: Mapping[str, Any]) -> str:
    """16 characters for plain values, the same for any order of keys."""
    return hashlib.sha256(json.dumps(cache_key, sort_keys=True).encode()).hexdigest()[:16]


def digest_of_views(views: PosedViews) -> str:
    """Of pictures and cameras, whatever the files are called."""
    told = (views.cameras.width_px, views.cameras.height_px, views.splits, views.generated, views.trust)
    found = hashlib.sha256(repr(told).encode())
    cameras = views.cameras
    for tensor in (
        views.images,
        cameras.camera_to_world,
        cameras.focal_px,
        cameras.center_px,
        views.elevation_deg,
        views.azimuth_deg,
        views.source_to_world,
        *(image for image in views.small if image is not None),
    ):
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _model(config: DictConfig, nvs: ViewMaker) -> dict[str, Any]:
    """Settings of the model, and what else its views depend on."""
    return {"settings": _plain(config.nvs), **nvs.cache_key()}


@cache
def _program() -> dict[str, Any]:
    """Versions, and our own source, as they are when this process first asks."""
    source = hashlib.sha256()
    for package in SOURCES:
        for file in sorted((ROOT / package).rglob("*.py")):
            source.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return {"versions": versions(), "source": source.hexdigest()}


def _extensions(config: DictConfig) -> list[str]:
    """What the files of parts from outside the project hold, by content."""
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in outside_sources(config, ROOT)]


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _publish(target: Path, save: Callable[[Path], None]) -> None:
    """Have `save` fill a folder, and give it its name when it is whole. Only for who holds the lock."""
    for left in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(left)  # of a run that was killed here
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    temporary.mkdir()
    try:
        save(temporary)
        for file in temporary.iterdir():
            flush_to_disk(file)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
