"""Where a run's views come from: given by the user, or made of one photo. Either way they end up in RUN/views."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image

from sv3dgen.atomic import atomic_write
from sv3dgen.color import over_white
from sv3dgen.normals.source import NormalSource
from sv3dgen.nvs_interfaces import NVSAbilities, ViewMaker
from sv3dgen.photo.prepare import prepare_photo
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.sfm.pose_photos import DOCUMENT, pose_photos
from sv3dgen.sv3d.picture import conditioning_picture
from sv3dgen.views.checked_views import read_checked
from sv3dgen.views.image import WHITE_LEVEL
from sv3dgen.views.orbits import Orbit, OrbitRecipe, SineOrbit, StaticOrbit
from sv3dgen.views.posed_folder import resized
from sv3dgen.views.posed_views import PosedViews, read_views, write_views
from sv3dgen.views.transforms_json import read_transforms
from sv3dgen.views.unposed import is_unposed
from sv3dgen.views.video import write_video
from systems.shared_stages import SharedStages
from systems.stage_keys import posed_key
from systems.view_sizes import photo_px, read_px

log = logging.getLogger(__name__)

POSED = "posed"  # a run's folder of plain photos that it has found cameras for
FILM, FILM_FRAMES_PER_S = "orbit.mp4", 10
REFERENCE_AMPLITUDE_DEG = 30.0  # of the orbit that suits the 3D stages best (SV3D, table 8)


def given_views(config: DictConfig, folder: Path, shared: SharedStages | None = None) -> PosedViews:
    """The views named by `views=`, checked against what is declared of their cameras, and copied into the run."""
    source = Path(config.views)
    if is_unposed(source):
        source = posed_photos(config, source, folder.parent / POSED, shared)
    views = read_checked(config, source, read_px(config))
    normals = instantiate(config.normals, _convert_="all")
    if isinstance(normals, NormalSource):
        normals.bring_along(views, source, folder)
    write_views(views, folder)
    _write_film(views, folder / FILM)
    return views


def posed_photos(config: DictConfig, photos: Path, folder: Path, shared: SharedStages | None = None) -> Path:
    """Plain photos with the cameras that are found for them: in `folder`, or in the place that runs of a sweep share.

    A resumed run keeps those it has.
    """
    if config.resume and (folder / DOCUMENT).is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)  # an earlier run's
    if shared is None:
        return pose_photos(photos, folder, matting=config.matting)
    with shared.place("posed", posed_key(photos, config.matting)) as place:
        if place.holds_result:
            with place.reading() as source:
                read_transforms(source)
        if place.taken:
            return place.folder
        if not place.may_write:
            return pose_photos(photos, folder, matting=config.matting)
        with place.writing() as target:
            pose_photos(photos, target, matting=config.matting)
        return place.folder


def white_views(views: PosedViews) -> int:
    """In how many views most of what is seen of the object is as white as the background that it is shown on."""
    darkest = views.images[:, :3].amin(1)
    white, seen = (darkest > WHITE_LEVEL) & views.masks, views.masks
    return int((white.sum((1, 2)) > 0.5 * seen.sum((1, 2))).sum())


def generate_views(config: DictConfig, nvs: ViewMaker, folder: Path, card: RunCard) -> None:
    """Have the folder hold what a model makes of the photo named by `image=`; a resumed run keeps what it has made."""
    film, document = folder / FILM, folder / "transforms.json"
    if config.resume and document.is_file():
        if not film.is_file():
            _write_film(read_views(folder), film)
        return
    for stale in (film, document):  # of an earlier run in this folder
        stale.unlink(missing_ok=True)
    views = _made_views(config, nvs, folder, card)
    write_views(views, folder)
    _write_film(views, film)  # after the views, which it can be made of again


def _made_views(config: DictConfig, nvs: ViewMaker, folder: Path, card: RunCard) -> PosedViews:
    abilities = nvs.abilities
    if abilities.note:
        log.warning("nvs: %s", abilities.note)
        card.add_note("nvs", abilities.note)
    size_px = abilities.size_px
    photo = prepare_photo(
        config.image,
        foreground_ratio=config.foreground_ratio,
        size_px=size_px,
        matting=config.matting,
        large_px=photo_px(config, size_px),
    )
    with atomic_write(folder / "input.png") as temporary:
        photo.image.save(temporary)
    picture = conditioning_picture(photo.image, size_px)
    elevation_deg = config.elevation_deg
    if elevation_deg == "auto":
        elevation_deg = nvs.elevation_deg(picture, seed=config.seed)
        card.add_metrics(elevation_deg=elevation_deg)
    recipe = instantiate(config.orbit) if config.get("orbit") else None
    orbit = recipe_or_reference(recipe, abilities, elevation_deg, config.seed)
    views = nvs.views(picture, orbit, seed=config.seed)
    card.add_licence("nvs weights", abilities.licence)
    if nvs.knows_object:
        return views
    assert photo.large is not None
    return beside_photo(views, photo.large if nvs.keep_picture else None, size_px)


def beside_photo(views: PosedViews, photo: Image.Image | None, size_px: int) -> PosedViews:
    """A model's views said to be generated, of the `size_px` that it has; the photo (RGBA) in the place of the last."""
    own_px = min(size_px, max(views.images.shape[2:]))
    pictures = [resized(image, own_px, own_px) for image in views.images]
    generated = [True] * len(views)
    if photo is not None:
        pictures[-1] = torch.from_numpy(np.array(photo)).permute(2, 0, 1).contiguous()
        generated[-1] = False
    largest = max(picture.shape[2] for picture in pictures)
    images = torch.stack([resized(picture, largest, largest) for picture in pictures])
    small = tuple(picture if picture.shape[2] < largest else None for picture in pictures)
    cameras = views.cameras.resized(largest, largest)
    return replace(views, images=images, cameras=cameras, generated=tuple(generated), small=small)


def _write_film(views: PosedViews, film: Path) -> None:
    frames = over_white(views.rgba[:, :3], views.rgba[:, 3:])
    write_video(film, (frames * 255).round().byte(), fps=FILM_FRAMES_PER_S)


def recipe_or_reference(recipe: OrbitRecipe | None, abilities: NVSAbilities, elevation_deg: float, seed: int) -> Orbit:
    """The orbit of a recipe; without one, the paper's reference: sine-30 for a model that takes poses, else static.

    A photo from beyond 30 degrees has no sine-30 orbit through it, and gets a static one too.
    """
    if recipe is None:
        sine = abilities.takes_poses and abs(elevation_deg) <= REFERENCE_AMPLITUDE_DEG
        recipe = SineOrbit(amplitude_deg=REFERENCE_AMPLITUDE_DEG) if sine else StaticOrbit()
        log.info("orbit: %s", "sine30" if sine else "static")
    return recipe(elevation_deg, abilities.frames, torch.Generator().manual_seed(seed))
