"""Which part of a photo is the object, by a small network: U^2-Net-p (Qin et al. 2020, arXiv 2005.09007).

Network and weights are Apache-2.0 and come with the package (sv3dgen/u2netp); they see the photo at 320 x 320 px.
"""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

MODEL = Path(__file__).parents[1] / "u2netp" / "u2netp.onnx"
SIZE_PX = 320
_STANDS_OUT = 0.3  # the network answers less than this everywhere where it sees no object
_MARGIN, _SMALL = 0.15, 0.4
_MEAN, _DEVIATION = (np.array(three, dtype=np.float32) for three in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def is_available() -> bool:
    """Whether the network can be run: onnxruntime is installed, and the weights are where they belong."""
    try:
        import onnxruntime  # noqa: F401  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError):
        return False
    return MODEL.is_file()


def learned_matte(photo: Image.Image) -> Float[np.ndarray, "height width"] | None:
    """How likely each pixel of an RGB photo belongs to the object, 0 to 1; None where nothing stands out.

    An object that is small in its photo is looked at once more, closely.
    """
    whole = _looked_at(photo)
    if whole is None:
        return None
    box = Image.fromarray(whole > 0.5).getbbox()
    if box is None:
        return whole
    margin = round(_MARGIN * max(box[2] - box[0], box[3] - box[1]))
    left, top = max(0, box[0] - margin), max(0, box[1] - margin)
    right, bottom = min(photo.width, box[2] + margin), min(photo.height, box[3] + margin)
    if (right - left) * (bottom - top) > _SMALL * photo.width * photo.height:
        return whole
    closer = _looked_at(photo.crop((left, top, right, bottom)))
    part = whole[top:bottom, left:right]
    if closer is None or not _alike(closer > 0.5, part > 0.5):
        return whole
    found = np.zeros_like(whole)
    found[top:bottom, left:right] = closer
    return found


def _looked_at(photo: Image.Image) -> Float[np.ndarray, "height width"] | None:
    """The network's answer for the picture as it is, stretched to reach 0 and 1."""
    small = np.asarray(photo.convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS), dtype=np.float32)
    scaled = (small / max(float(small.max()), 1.0) - _MEAN) / _DEVIATION
    session = _session()
    inputs = {session.get_inputs()[0].name: scaled.transpose(2, 0, 1)[None]}
    (found,) = session.run([session.get_outputs()[0].name], inputs)
    matte = np.asarray(found, dtype=np.float32).reshape(SIZE_PX, SIZE_PX)
    if matte.max() < _STANDS_OUT:
        return None
    matte = (matte - matte.min()) / max(float(np.ptp(matte)), 1e-6)
    return np.asarray(Image.fromarray(matte).resize(photo.size, Image.Resampling.BICUBIC)).clip(0, 1)


def _alike(first: Bool[np.ndarray, "height width"], second: Bool[np.ndarray, "height width"]) -> bool:
    return bool((first & second).sum() > 0.8 * (first | second).sum())


@cache
def _session():
    """Loaded once; quiet, and with no more threads than it gains from."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
