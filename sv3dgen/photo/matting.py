"""Cut the object of a photo out: by its alpha, else by rembg where that is installed, else by its background and a
small network.

The background is told by a segmentation of our own that is made for the usual product picture, one object on a
background that is plain or varies smoothly: its edges and holes are the better ones. The network is better before
anything else, and knows cast shadows. `matte_choice` has the rule; docs/inputs.md has what it was measured on.
"""

import importlib.util
import logging
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from scipy import ndimage

from sv3dgen.cutout.background import Background, border_band, border_mask, fit_background, positions
from sv3dgen.cutout.color_segmentation import segment_by_colors
from sv3dgen.cutout.masks import grown, nearest_outside, part_sizes, parts, shrunk
from sv3dgen.cutout.segmentation import segment_plain, sharp_edges
from sv3dgen.cutout.soft_edges import soft_cutout
from sv3dgen.errors import InputError
from sv3dgen.photo.learned_matte import is_available, learned_matte
from sv3dgen.photo.matte_choice import FAR, SAME, difference, why_in_parts, why_undecided
from sv3dgen.views.image import has_cutout

log = logging.getLogger(__name__)

Method = Literal["auto", "rembg", "classical", "learned"]

# Named here because rembg's own default has become bria-rmbg (by 2.0.86), whose weights are not for commercial use.
# U2-Net and its weights are Apache-2.0 (github.com/xuebinqin/U-2-Net), and were the default when SV3D came out.
REMBG_MODEL, REMBG_LICENCE = "u2net", "Apache-2.0"

_REMBG_MAX_PX = 768  # as in the official script
_MAX_PX = 1024  # of what the classical segmentation works on
_BUSY_MAX_PX = 320
_HELP = "give an RGBA picture with the object cut out, or pip install 'rembg[cpu]'"


@dataclass(frozen=True)
class Cutout:
    """An object with transparent surroundings, in the frame of its photo (perhaps scaled down)."""

    image: Image.Image  # RGBA, straight alpha
    method: str
    doubt: str | None = None  # why the result may be wrong, one line


def cut_out(image: Image.Image, name: str, *, method: Method = "auto") -> Cutout:
    """Cut the object out of an RGBA photo (`image.read_photo`); `name` is for messages.

    A cut-out alpha is kept as it is, whatever the method. Raises InputError where no object is found.
    """
    if has_cutout(image, name):
        return Cutout(image, "alpha")
    rgb, found = image.convert("RGB"), None
    if method == "rembg" or method == "auto" and importlib.util.find_spec("rembg") is not None:
        found = _by_rembg(rgb, name, required=method == "rembg")
    if method == "learned" and not is_available():
        raise InputError("matting=learned: it needs onnxruntime; pip install onnxruntime")
    if found is None and method in ("auto", "learned") and is_available():
        found = _by_network(rgb, name) if method == "learned" else _by_either(rgb, name)
    found = found or _by_background(rgb, name)
    if found.doubt is not None:
        log.warning("%s: %s", name, found.doubt)
    return found


def _by_rembg(rgb: Image.Image, name: str, *, required: bool) -> Cutout | None:
    """By U2-Net and closed-form matting, as in the official script; None, and a warning, where that can't be had."""
    try:
        from rembg import new_session, remove  # pyright: ignore[reportMissingImports]  (an extra)
    except (ImportError, SystemExit) as error:  # without onnxruntime it tells so and exits
        reason = "it has no onnxruntime" if isinstance(error, SystemExit) else str(error)
        if required:
            raise InputError(f"matting=rembg: {reason}; pip install 'rembg[cpu]'") from None
        log.warning("rembg is installed but can't be imported (%s); the background is cut out without it", reason)
        return None
    small = rgb.copy()
    small.thumbnail((_REMBG_MAX_PX, _REMBG_MAX_PX), Image.Resampling.LANCZOS)
    try:
        session = new_session(REMBG_MODEL)
    except Exception as error:  # whatever the download of the weights fails with
        message = f"rembg's model {REMBG_MODEL} can't be had ({' '.join(str(error).split())[:200]})"
        if required:
            raise InputError(f"matting=rembg: {message}") from None
        log.warning("%s; the background is cut out without it", message)
        return None
    log.info("%s: background removed by rembg, model %s (%s)", name, REMBG_MODEL, REMBG_LICENCE)
    cut = remove(small, session=session, alpha_matting=True)
    if not isinstance(cut, Image.Image) or not has_cutout(cut, f"{name}, after rembg"):
        return Cutout(small.convert("RGBA"), "rembg", f"rembg found no background; {_HELP}")
    return Cutout(cut, "rembg")


def _by_either(photo: Image.Image, name: str) -> Cutout:
    """By the background where it is plain and the network agrees, else by the network."""
    scale = min(1.0, _MAX_PX / max(photo.size))
    if _why_not_plain(fit_background(np.asarray(_scaled(photo, scale), dtype=np.float32))) is not None:
        return _by_network(photo, name)
    classical = _by_background(photo, name)
    matte = learned_matte(_scaled(photo, scale))
    if matte is None:
        return classical
    alpha = np.asarray(classical.image.getchannel("A"), dtype=np.float32) / 255
    learned = np.asarray(Image.fromarray(matte).resize(classical.image.size, Image.Resampling.BILINEAR))
    differing = difference(alpha > 0.5, learned)
    if differing < SAME:
        parts_doubt = why_in_parts(alpha > 0.5)
        return replace(classical, doubt=None if parts_doubt is None else f"{parts_doubt}; {_HELP}")
    log.info("%s: the network is followed, which differs on %.0f%% of the object", name, 100 * differing)
    found = _cut_by(_scaled(photo, scale), matte, name)
    if found.doubt is None and (differing > FAR or classical.doubt is not None):
        return replace(found, doubt=f"two ways to cut the object out differ on {differing:.0%} of it; {_HELP}")
    return found


def _by_network(photo: Image.Image, name: str) -> Cutout:
    """By the network alone. Raises InputError where it sees no object."""
    small = _scaled(photo, min(1.0, _MAX_PX / max(photo.size)))
    matte = learned_matte(small)
    if matte is None:
        raise InputError(f"{name}: no object can be told from the background; {_HELP}")
    return _cut_by(small, matte, name)


def _cut_by(photo: Image.Image, matte: Float[np.ndarray, "height width"], name: str) -> Cutout:
    """The network's object with the soft edges that the photo shows."""
    matte = _without_specks(matte)
    if (matte > 0.5).sum() < 16 or (matte > 0.5).mean() > 0.98:
        raise InputError(f"{name}: no object can be told from the background; {_HELP}")
    colors, alpha = soft_cutout(np.asarray(photo, dtype=np.float32), matte)
    rgba = np.concatenate([colors, alpha[..., None] * 255], axis=-1)
    doubt = why_undecided(matte) or why_in_parts(alpha > 0.5)
    return Cutout(
        Image.fromarray(rgba.round().clip(0, 255).astype(np.uint8)),
        "learned",
        None if doubt is None else f"unsure what is background ({doubt}); {_HELP}",
    )


def _by_background(photo: Image.Image, name: str) -> Cutout:
    """By a model of the background; a second, closer look where the object is small in a large photo."""
    scale = min(1.0, _MAX_PX / max(photo.size))
    found = _classical(_scaled(photo, scale), name)
    box = found.image.getchannel("A").getbbox()
    assert box is not None
    margin = max(8, round(0.15 * max(box[2] - box[0], box[3] - box[1])))
    left, top = max(0, box[0] - margin), max(0, box[1] - margin)
    right, bottom = min(found.image.width, box[2] + margin), min(found.image.height, box[3] + margin)
    closer = min(1.0, _MAX_PX * scale / max(right - left, bottom - top))
    if found.doubt is not None or closer < 1.5 * scale:
        return found
    part = photo.crop((round(left / scale), round(top / scale), round(right / scale), round(bottom / scale)))
    try:
        close_up = _classical(_scaled(part, closer), name)
    except InputError:
        return found
    if close_up.doubt is not None:
        return found
    whole = Image.new("RGBA", (round(photo.width * closer), round(photo.height * closer)))
    whole.paste(close_up.image, (round(left * closer / scale), round(top * closer / scale)))
    return Cutout(whole, close_up.method)


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    if scale == 1:
        return image
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def _classical(photo: Image.Image, name: str) -> Cutout:
    rgb = np.asarray(photo, dtype=np.float32)
    background = fit_background(rgb)
    doubt = _why_not_plain(background)
    if doubt is None:
        probability, distance = segment_plain(rgb, background)
        probability = _without_specks(probability, distance)
        behind = _backdrop(rgb, probability, background)
        doubt = _why_unsure(rgb, probability)
    else:
        scale = min(1.0, _BUSY_MAX_PX / max(photo.size))
        small = segment_by_colors(np.asarray(_scaled(photo, scale), dtype=np.float32))
        large = Image.fromarray(small).resize(photo.size, Image.Resampling.BILINEAR)
        probability, behind = _without_specks(np.array(large)), None
    if (probability > 0.5).sum() < 16 or (probability > 0.5).mean() > 0.98:
        raise InputError(f"{name}: no object can be told from the background; {_HELP}")
    colors, alpha = soft_cutout(rgb, probability, behind)
    if alpha.max() < 0.5:
        raise InputError(f"{name}: no object can be told from the background; {_HELP}")
    rgba = np.concatenate([colors, alpha[..., None] * 255], axis=-1)
    return Cutout(
        Image.fromarray(rgba.round().clip(0, 255).astype(np.uint8)),
        "classical",
        None if doubt is None else f"unsure what is background ({doubt}); {_HELP}",
    )


def _why_not_plain(background: Background) -> str | None:
    if not background.sheets or background.explained < 0.6:
        return f"only {background.explained:.0%} of the border looks plain"
    if background.sheets[0].spread > 14:
        return "the border is patterned"
    return None


def _why_unsure(rgb: Float[np.ndarray, "height width 3"], probability: Float[np.ndarray, "height width"]) -> str | None:
    """What speaks against a segmentation of a plain photo."""
    solid = probability > 0.5
    share = float(solid.mean())
    if not 0.001 < share < 0.9:
        return f"the object would be {share:.1%} of the picture"
    height, width = solid.shape
    on_border = float(solid[border_mask(height, width, border_band(height, width))].mean())
    if on_border > 0.4:
        return f"the object would take {on_border:.0%} of the border"
    outline = solid & ~shrunk(solid, 1)
    blurred = float((~grown(sharp_edges(rgb), 3))[outline].mean())
    if blurred > 0.05:
        return f"{blurred:.0%} of the object's outline fades into the background"
    return None


def _backdrop(
    rgb: Float[np.ndarray, "height width 3"], probability: Float[np.ndarray, "height width"], background: Background
) -> Float[np.ndarray, "height width 3"]:
    """The background as it would be without the object: each pixel shows the sheet that is nearest in the picture."""
    points = positions(*probability.shape)
    best = np.stack([sheet.distance(rgb, points) for sheet in background.sheets]).argmin(0)
    shown = best[nearest_outside(probability > 0.5)]
    colors = np.stack([sheet.color(points) for sheet in background.sheets])
    return np.take_along_axis(colors, shown[None, ..., None], axis=0)[0]


def _without_specks(
    probability: Float[np.ndarray, "height width"], distance: Float[np.ndarray, "height width"] | None = None
) -> Float[np.ndarray, "height width"]:
    """Parts far smaller than the largest are dropped, as dust is; more readily where they are faint."""
    labels = parts(probability > 0.5, diagonals=True)
    area = part_sizes(labels)
    if len(area) < 3:
        return probability
    faint = np.zeros(len(area), dtype=bool)
    if distance is not None:
        faint = np.asarray(ndimage.median(distance, labels, np.arange(len(area)))) < 12
    largest = area[1:].max()
    dropped: Bool[np.ndarray, " parts"] = (area < 0.002 * largest) | faint & (area < 0.05 * largest)
    dropped[0] = False
    return np.where(np.take(dropped, labels), 0, probability).astype(np.float32)
