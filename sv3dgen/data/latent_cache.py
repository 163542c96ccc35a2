"""Latents of rendered loops on white, kept next to them, so that training does not encode a picture twice.

FOLDER/latents.json               which autoencoder made them, and of which views they are
FOLDER/NAME/KIND_K.latents.npy    float16 [84 / every, channels, height, width], unscaled means of every `every`-th view
FOLDER/NAME/KIND_K.embeddings.npy float16 [84 / every, width] of the image encoder, where that was asked for
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sv3dgen.atomic import atomic_write
from sv3dgen.data.orbit_files import SAMPLES, OrbitRecord
from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError

log = logging.getLogger(__name__)

MANIFEST = "latents.json"
AGAIN = "python -m sv3dgen.cache_latents --replace makes them anew"


@dataclass(frozen=True, kw_only=True)
class LatentCache:
    """What a folder's latents were made with."""

    encoder_sha256: str  # of the autoencoder's encoder
    scale_factor: float  # of that autoencoder's latents, by which training multiplies them
    every: int  # of the 84 views, every how many there are latents of
    image_encoder_sha256: str | None = None  # None: no embeddings
    half: bool | None = None  # computed in bfloat16; None: not noted

    def check(
        self, folder: Path, *, encoder_sha256: str, scale_factor: float, image_encoder_sha256: str | None
    ) -> None:
        """InputError unless a model with these encoders and this scale factor may train on what the folder has.

        `image_encoder_sha256` None: the model trains its image encoder and does not look at embeddings.
        """
        if self.encoder_sha256 != encoder_sha256:
            raise InputError(f"{folder / MANIFEST}: its latents are of another autoencoder than the model's; {AGAIN}")
        if not np.isclose(self.scale_factor, scale_factor, rtol=1e-4):
            raise InputError(
                f"{folder / MANIFEST}: latents with scale factor {self.scale_factor:g}, expected the model's "
                f"{scale_factor:g}; {AGAIN}"
            )
        embedded = self.image_encoder_sha256
        if None not in (embedded, image_encoder_sha256) and embedded != image_encoder_sha256:
            raise InputError(f"{folder / MANIFEST}: its embeddings are of another image encoder; {AGAIN}")


def read_cache(folder: Path, records: Iterable[OrbitRecord]) -> LatentCache | None:
    """The folder's cache; None where there is none, or not yet of all these orbits, which is told."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        cache = LatentCache(**content)
        whole = type(cache.every) is int and cache.every >= 1 and SAMPLES % cache.every == 0 and cache.scale_factor > 0
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: not what python -m sv3dgen.cache_latents writes; {AGAIN}") from error
    if not whole:
        raise InputError(
            f"{path}: every={cache.every}, scale_factor={cache.scale_factor:g}; expected a number that divides "
            f"{SAMPLES}, and one above 0; {AGAIN}"
        )
    paths = [latents_path(folder, record) for record in records]
    if cache.image_encoder_sha256 is not None:
        paths += [embeddings_path(folder, record) for record in records]
    missing = sum(not path.is_file() for path in paths)
    if missing:
        _tell_once(f"{path}: {missing} of {len(paths)} files missing, so all is encoded; cache_latents makes the rest")
    return None if missing else cache


def write_cache(folder: Path, cache: LatentCache) -> None:
    with atomic_write(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(asdict(cache), indent=1) + "\n", encoding="utf-8")


def latents_path(folder: Path, record: OrbitRecord) -> Path:
    return _beside(folder, record, "latents")


def embeddings_path(folder: Path, record: OrbitRecord) -> Path:
    return _beside(folder, record, "embeddings")


def read_array(path: Path, every: int) -> np.ndarray:
    """A file of the cache, mapped into memory; InputError where it is not one."""
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an array; {AGAIN}") from error
    if len(array) != SAMPLES // every or array.dtype != np.float16:
        raise InputError(f"{path}: {array.dtype}{array.shape}, expected float16 of {SAMPLES // every} views; {AGAIN}")
    return array


@torch.no_grad()
def fingerprint(*modules: nn.Module) -> str:
    """SHA-256 of the weights of modules, by their values in half precision: the same after being saved and loaded."""
    digest = hashlib.sha256()
    for module in modules:
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()


@lru_cache
def _tell_once(line: str) -> None:
    """A run opens its data set several times; a person reads it once."""
    log.warning(line)


def _beside(folder: Path, record: OrbitRecord, what: str) -> Path:
    stem = record.stem(folder)
    return stem.with_name(f"{stem.name}.{what}.npy")
