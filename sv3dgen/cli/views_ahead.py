"""Given views are read, and checked, before a run imports what it computes with: faults are told seconds sooner."""

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from sv3dgen.errors import InputError
from sv3dgen.views.kept_views import asked_for, held_lines, keep
from sv3dgen.views.pose_check import check_poses
from sv3dgen.views.posed_views import read_views


def read_ahead(config: DictConfig, max_size_px: int) -> None:
    """Read the views that `views=` names as the run will, which then takes them from `kept_views`.

    InputError for what `read_views` and `check_poses` refuse, in the words that the run would have.
    """
    source = Path(config.views)
    orbit = instantiate(config.orbit) if config.get("orbit") else None
    settings = {
        "split": "train",
        "orbit": orbit,
        "elevation_deg": config.elevation_deg,
        "fov_deg": config.fov_deg,
        "distance": config.distance,
        "clockwise": config.clockwise,
        "seed": config.seed,
        "check_orbit": config.check_poses,
        "max_size_px": max_size_px,
    }
    with held_lines() as lines:
        views = read_views(source, **settings)
        if config.check_poses:
            declared = None
            if orbit is not None and source.is_dir():
                declared = orbit(config.elevation_deg, len(views), torch.Generator().manual_seed(config.seed))
                declared = declared.mirrored() if config.clockwise else declared
            try:
                check_poses(views, declared)
            except InputError as error:
                raise InputError(f"{source}: {error}") from None
    keep(asked_for(source, **settings), views, lines, checked=bool(config.check_poses))
