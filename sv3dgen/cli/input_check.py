"""What a run is asked to work on, and where it would write, checked before a folder is made."""

import errno
import os
import shutil
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from sv3dgen.cli.annotations import shown
from sv3dgen.cli.extras import is_installed
from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.contents import read_contents
from sv3dgen.sv3d.checkpoint.weights import check_obtainable, find_weights, is_on_hub
from sv3dgen.viewer.ports import free_port
from sv3dgen.views.image import precheck_photo
from sv3dgen.views.precheck import precheck_views
from sv3dgen.views.unposed import check_unposed, is_unposed
from sv3dgen.views.view_files import ViewFiles

MATTING = ("auto", "rembg", "classical", "learned")  # the methods of matting.py, which imports too much to ask it

LEAST_FREE_BYTES = 50 * 2**20  # a run's folder holds tens of megabytes


def check_inputs(config: DictConfig, *, sweeps_nvs: bool, sweeping: bool = False) -> ViewFiles | None:
    """Raise InputError for an input that can't be used; gives back what was parsed of a folder of views.

    The runs of a sweep may be on other machines, and take a free port where theirs is taken.
    """
    if "train" in (OmegaConf.select(config, "system.stages") or ()):
        _check_dataset(config.data)
        return None
    if config.get("viewer"):
        if not is_installed("viser"):
            raise InputError('viewer=true: it needs viser: pip install -c constraints.txt -e ".[view]"')
        if not sweeping:
            free_port(config.viewer_port, "viewer_port")
    if config.views is not None and config.image is not None:
        raise InputError(f"views={config.views} and image={config.image}: expected one of them")
    if config.image is not None:
        _check_photo(config, sweeps_nvs=sweeps_nvs)
    elif OmegaConf.select(config, "system.stages") == []:
        raise InputError("nothing to make views of: expected image=PHOTO")
    elif config.views is not None:
        if is_unposed(Path(config.views)):
            check_unposed(Path(config.views))
            _check_matting(config.matting)
            return None
        files = precheck_views(config.views)
        if files is not None and OmegaConf.select(config, "elevation_deg") == "auto":
            raise InputError("elevation_deg=auto: estimated of a photo or a video only; expected degrees")
        if Path(config.views).is_file() and Path(config.views).suffix != ".json" and config.get("orbit") is None:
            raise InputError(f"{config.views}: a video has no cameras; expected its orbit to be declared: orbit=static")
        return files
    else:
        raise InputError(
            "nothing to work on: expected image=PHOTO, or views=FOLDER (posed views, plain photos, or a video)"
        )
    return None


def _check_dataset(folder: str | None) -> None:
    """Raise InputError where there are no rendered orbits to train on; what is in them is looked at later."""
    if folder is None:
        raise InputError("nothing to train on: expected data=FOLDER, made by python -m sv3dgen.render_dataset")
    from sv3dgen.data.orbit_files import check_rendered  # imports numpy, for which other runs need not wait

    check_rendered(Path(folder))


def _check_matting(matting: object) -> None:
    if matting not in MATTING:
        raise InputError(f"matting={shown(matting)}: expected one of {', '.join(MATTING)}")


def _check_photo(config: DictConfig, *, sweeps_nvs: bool) -> None:
    """Raise InputError for a photo, or for weights on this machine, that can't be used.

    A sweep over models may have one with weights of its own next to those that `weights` is for.
    """
    precheck_photo(config.image)
    _check_matting(config.matting)
    if not 0.05 <= config.foreground_ratio <= 1:
        raise InputError(f"foreground_ratio={shown(config.foreground_ratio)}: expected at least 0.05, at most 1")
    if config.elevation_deg != "auto" and not abs(config.elevation_deg) < 90:
        raise InputError(f"elevation_deg={shown(config.elevation_deg)}: expected auto, or more than -90 and below 90")
    variant, weights = OmegaConf.select(config, "nvs.variant"), OmegaConf.select(config, "nvs.weights")
    given = config.weights is not None and weights is not None
    if given and weights != config.weights and not sweeps_nvs:
        raise InputError(f"weights={config.weights}: nvs has {weights} of its own; expected one or the other")
    if weights is None and variant not in ("auto", None):
        raise InputError(
            f"nvs={variant}: no weights; expected weights=FILE ({variant}.safetensors), or weights=stabilityai/sv3d "
            "after accepting the licence at https://huggingface.co/stabilityai/sv3d"
        )
    if weights is None:
        return
    wanted = "sv3d_u" if variant == "sv3d_u" else "sv3d_p"
    if is_on_hub(weights):
        check_obtainable(weights, wanted)
    else:
        read_contents(find_weights(weights, wanted))


def run_folder(config: DictConfig, *, sweeping: bool) -> Path:
    """The folder of the run, or of the sweep. InputError where it has no name, which would be the current one."""
    key = "sweep" if sweeping else "run"
    name = str(config.hydra[key].dir)
    if not name.strip():
        raise InputError(f"hydra.{key}.dir={name}: expected a folder")
    return Path(name)


def check_folder(folder: Path) -> None:
    """Raise InputError where a folder of the run's can't be made or the disk is full."""
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"{folder}: a link that leads nowhere, expected a folder for the run")
    parent = folder.absolute()
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise InputError(f"{folder}: expected a folder for the run, but {parent} is a file")
    if not os.access(parent, os.W_OK):
        raise InputError(f"{folder}: expected a folder that can be written to")
    free = shutil.disk_usage(parent).free
    if free < LEAST_FREE_BYTES:
        raise InputError(f"{folder}: {os.strerror(errno.ENOSPC)}, expected at least {LEAST_FREE_BYTES >> 20} MB free")


def check_not_overwritten(files: ViewFiles, views: Path, folder: Path, *, sweeping: bool) -> None:
    """Raise InputError where the run would write its copy of the views over the pictures that are given."""
    sources = {frame.image.resolve().parent for frame in files.transforms.frames}
    sources.add(views.resolve() if views.is_dir() else views.resolve().parent)
    for source in sources:
        if source.name == "views" and (
            source.parent == folder.resolve() or sweeping and folder.resolve() in source.parents
        ):
            raise InputError(f"hydra.run.dir={folder}: the run would write over the views given in {source}")
