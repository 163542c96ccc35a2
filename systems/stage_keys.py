"""What the result of a shared stage follows from, so that what is found is what would be computed."""

import hashlib
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sv3dgen.cli.config_check import outside_sources
from sv3dgen.devices import find_device
from sv3dgen.kernels.backend import available
from sv3dgen.nvs_interfaces import ViewMaker
from sv3dgen.runs.machine import versions
from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.unposed import photos_in
from systems.view_sizes import photo_px

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("sv3dgen", "geometry", "guidance", "systems")


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


def posed_key(photos: Path, matting: str) -> dict[str, Any]:
    """All that the cameras and masks of plain photos follow from."""
    files = photos_in(photos)
    return {
        "photos": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        "matting": matting,
        "rembg": importlib.util.find_spec("rembg") is not None,
        **_program(),
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
