"""Given views as a run takes them: read by what its config declares of them, and checked against it."""

from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from sv3dgen.errors import InputError
from sv3dgen.views.kept_views import asked_for, held_lines, keep
from sv3dgen.views.pose_check import check_poses
from sv3dgen.views.posed_views import PosedViews, read_views


def read_checked(config: DictConfig, source: Path, max_size_px: int) -> PosedViews:
    """The views of `source`, as `check_poses` trusts them; InputError for what it and `read_views` refuse."""
    settings = _settings(config, max_size_px)
    views = read_views(source, **settings)
    if config.check_poses:
        orbit, declared = settings["orbit"], None
        if orbit is not None and source.is_dir():
            declared = orbit(config.elevation_deg, len(views), torch.Generator().manual_seed(config.seed))
            declared = declared.mirrored() if config.clockwise else declared
        try:
            views = check_poses(views, declared)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
    return views


def keep_checked(config: DictConfig, source: Path, max_size_px: int) -> None:
    """Have the next `read_checked` of the same find its views read and checked, and say then what is to be said."""
    with held_lines() as lines:
        views = read_checked(config, source, max_size_px)
    keep(asked_for(source, **_settings(config, max_size_px)), views, lines, checked=bool(config.check_poses))


def _settings(config: DictConfig, max_size_px: int) -> dict[str, Any]:
    """What `read_views` is asked for, by its names."""
    return {
        "split": "train",
        "orbit": instantiate(config.orbit) if config.get("orbit") else None,
        "elevation_deg": config.elevation_deg,
        "fov_deg": config.fov_deg,
        "distance": config.distance,
        "clockwise": config.clockwise,
        "seed": config.seed,
        "check_orbit": config.check_poses,
        "max_size_px": max_size_px,
    }
