"""Orbits of 21 frames out of rendered loops of 84: the training data of SV3D (appendix B).

Any start frame and every fourth one after it make a sample; the start frame is the conditioning view and comes last,
azimuths are told from it. What is drawn follows from the seed, the epoch and the index alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from sv3dgen.data.latent_cache import embeddings_path, latents_path, read_array, read_cache
from sv3dgen.data.orbit_files import SAMPLES, Angles, OrbitRecord, Split, read_index, read_orbit
from sv3dgen.errors import InputError

WHITE_SHARE = 0.5  # of random backgrounds: the paper renders every orbit on white and on a random color
_OPEN_FILES = 128  # each holds a file descriptor


@dataclass(frozen=True)
class OrbitSample:
    """One orbit; the conditioning view is the last frame."""

    frames: UInt8[Tensor, "frames 3 height width"]  # sRGB, on a background
    elevation_deg: Float[Tensor, " frames"]
    azimuth_deg: Float[Tensor, " frames"]  # in [0, 360), of the last frame 0; growing, on a walk of 1
    name: str
    latents: Float[Tensor, "frames channels rows columns"] | None = None  # unscaled means of the VAE
    embedding: Float[Tensor, " width"] | None = None  # the image encoder's, of the conditioning view


@dataclass(frozen=True)
class OrbitBatch:
    """Several orbits of the same length and size."""

    frames: UInt8[Tensor, "clips frames 3 height width"]
    elevation_deg: Float[Tensor, "clips frames"]
    azimuth_deg: Float[Tensor, "clips frames"]
    names: tuple[str, ...]
    latents: Float[Tensor, "clips frames channels rows columns"] | None = None
    embeddings: Float[Tensor, "clips width"] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: torch.device | str) -> "OrbitBatch":
        """The same on another device; angles stay where they are, they are used on the CPU in float64."""
        latents = None if self.latents is None else self.latents.to(device)
        embeddings = None if self.embeddings is None else self.embeddings.to(device)
        return replace(self, frames=self.frames.to(device), latents=latents, embeddings=embeddings)


class OrbitDataset(Dataset):
    """The orbits of one split of a folder that `sv3dgen.render_dataset` made; an item for each rendered loop."""

    def __init__(
        self,
        folder: str | Path,
        *,
        split: Split = "train",
        kinds: Sequence[str] = ("static", "dynamic"),
        frames: int = 21,
        background: Literal["white", "random"] = "white",
        mirror: bool = False,
        walks: Sequence[int] = (1,),
        cached: bool = True,
        seed: int = 0,
    ):
        """`background="random"` takes white for half of the draws and one random color for the rest.

        `walks` are the ways round, one drawn for each sample: -1 is backwards, 2 takes every second view and goes round
        twice. With several, a frame's place in the clip does not tell its azimuth: a model has to read the pose.
        `mirror` flips half of the draws left to right, their paths too. Latents that were cached (of loops on white)
        come along unless either is asked for, or `cached` is False: then the views drawn do not depend on which of them
        have latents, as a score must not. Raises InputError, in one line, for a folder that is missing, empty, not
        rendered to the end, or without orbits of this split and these kinds.
        """
        self.folder, self.frames, self.background, self.mirror = Path(folder), frames, background, mirror
        self.walks, self.seed, self.epoch = tuple(walks), seed, 0
        if not walks or any(gcd(walk, frames) != 1 for walk in walks):
            raise InputError(f"walks={list(walks)}: expected numbers without a divisor in common with {frames} frames")
        records = read_index(self.folder)
        self.records = [record for record in records if record.split == split and record.kind in kinds]
        if not self.records:
            found = ", ".join(sorted({f"{record.kind} {record.split}" for record in records}))
            fix = "; render some with --split-test K, or do without: validation=null" if split == "test" else ""
            raise InputError(f"{folder}: no {' or '.join(kinds)} orbits to {split} with, found {found} ones{fix}")
        if SAMPLES % frames:
            raise InputError(f"frames={frames}: expected a number that divides the {SAMPLES} views of a rendered loop")
        readable = cached and background == "white" and not mirror
        self.cache = read_cache(self.folder, self.records) if readable else None
        if self.cache is not None and (SAMPLES // frames) % self.cache.every:
            raise InputError(f"{folder}: latents of every {self.cache.every}th view, expected those of {frames} frames")
        # Opened where they are needed: neither maps nor their cache need to travel to the loader's processes.
        self._open = lru_cache(_OPEN_FILES)(_open_loop)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open = lru_cache(_OPEN_FILES)(_open_loop)

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        """Draw other start frames and backgrounds from now on, in this process."""
        self.epoch = epoch

    @property
    def size_px(self) -> int:
        """Side of the square frames."""
        return self.records[0].size_px

    def __getitem__(self, index: int) -> OrbitSample:
        """The orbit of a rendered loop as drawn in this epoch."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"orbit {index} of {len(self)}")
        index %= len(self)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self.epoch, index]))
        start, flipped = int(rng.integers(SAMPLES)), bool(rng.random() < 0.5) and self.mirror
        if self.cache is not None:
            start -= start % self.cache.every
        color = rng.integers(0, 256, 3) if rng.random() >= WHITE_SHARE else np.full(3, 255)
        color = color if self.background == "random" else np.full(3, 255)
        return self.orbit(index, start, flipped, color, self.walks[int(rng.integers(len(self.walks)))])

    def orbit(self, index: int, start: int, flipped: bool, color: np.ndarray, walk: int = 1) -> OrbitSample:
        """The orbit of loop `index` whose conditioning view is view `start`, on a background of 8-bit RGB."""
        record = self.records[index]
        loop, angles = self._open(record.stem(self.folder))
        step = walk * (SAMPLES // self.frames)
        # Of the mirrored object the path runs the other way, so it is walked backwards to let azimuths grow.
        picked = (start + np.arange(1, self.frames + 1) * (-step if flipped else step)) % SAMPLES
        pictures = on_color(np.asarray(loop[picked]), color)
        azimuth = np.asarray(angles.azimuth_deg)[picked] - angles.azimuth_deg[start]
        azimuth = (-azimuth if flipped else azimuth) % 360
        pictures = np.flip(pictures, axis=2) if flipped else pictures
        return OrbitSample(
            frames=torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))),
            elevation_deg=torch.from_numpy(np.asarray(angles.elevation_deg)[picked]),
            azimuth_deg=torch.from_numpy(azimuth),
            name=record.name,
            **({} if flipped else self._cached(record, picked, color)),
        )

    def _cached(self, record: OrbitRecord, picked: np.ndarray, color: np.ndarray) -> dict[str, Tensor]:
        """Latents of the views, and the embedding of the last, where there are some of these very pictures."""
        cache = self.cache
        if cache is None or picked[-1] % cache.every or not (color == 255).all():
            return {}
        places = picked // cache.every
        latents = read_array(latents_path(self.folder, record), cache.every)[places]
        found = {"latents": torch.from_numpy(latents.astype(np.float32))}
        if cache.image_encoder_sha256 is not None:
            embedding = read_array(embeddings_path(self.folder, record), cache.every)[places[-1]]
            found["embedding"] = torch.from_numpy(embedding.astype(np.float32))
        return found


def on_color(
    rgba: UInt8[np.ndarray, "frames height width 4"], color: np.ndarray
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Straight-alpha pictures before a background of one color, rounded."""
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha + color.astype(np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def collate_orbits(samples: Sequence[OrbitSample]) -> OrbitBatch:
    """Stack samples; latents and embeddings only where all have them."""
    latents = [sample.latents for sample in samples if sample.latents is not None]
    embeddings = [sample.embedding for sample in samples if sample.embedding is not None]
    return OrbitBatch(
        frames=torch.stack([sample.frames for sample in samples]),
        elevation_deg=torch.stack([sample.elevation_deg for sample in samples]),
        azimuth_deg=torch.stack([sample.azimuth_deg for sample in samples]),
        names=tuple(sample.name for sample in samples),
        latents=torch.stack(latents) if len(latents) == len(samples) else None,
        embeddings=torch.stack(embeddings) if len(embeddings) == len(samples) else None,
    )


def _open_loop(stem: Path) -> tuple[np.ndarray, Angles]:
    """A rendered loop, mapped into memory, and where its views look from."""
    pictures = stem.with_suffix(".npy")
    angles = read_orbit(stem.with_suffix(".json"))[1]
    try:
        loop = np.load(pictures, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{pictures}: cannot be read as an array; delete it and render again") from error
    if loop.dtype != np.uint8 or loop.ndim != 4 or loop.shape[0] != SAMPLES or loop.shape[3] != 4:
        raise InputError(f"{pictures}: an array {loop.dtype}{loop.shape}, expected uint8 [{SAMPLES}, height, width, 4]")
    return loop, angles
