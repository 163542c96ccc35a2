"""Orbits for a training run: what a step sees follows from the step's number alone, so that resuming is exact."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sv3dgen.data.orbit_dataset import OrbitBatch, OrbitDataset, OrbitSample, collate_orbits
from sv3dgen.domains import Between, Count, Seed
from sv3dgen.errors import InputError
from sv3dgen.seeding import generator


@dataclass(frozen=True)
class TrainingBatch:
    """Orbits, and the place of each in the endless row of orbits that a run goes through."""

    orbits: OrbitBatch
    positions: Int[Tensor, " clips"]

    def to(self, device: torch.device) -> "TrainingBatch":
        return replace(self, orbits=self.orbits.to(device))


class TrainingBatches:
    """What is trained on, how it is put together, and how it is fetched."""

    def __init__(
        self,
        *,
        folder: str | None,
        batch: Count = 1,
        kinds: Sequence[Literal["static", "dynamic"]] = ("static", "dynamic"),
        background: Literal["white", "random"] = "white",
        mirror: bool = False,
        walks: Sequence[Annotated[int, Between(-1000, 1000)]] = (1,),
        frames: Annotated[int, Between(1, 1000)] = 21,
        workers: Annotated[int, Between(0, 1024)] = 1,
        prefetch: Count = 4,
        seed: Seed = 0,
    ):
        """`batch` orbits at a time in each process, read by `workers` processes `prefetch` batches ahead each."""
        if folder is None:
            raise InputError("nothing to train on: expected data=FOLDER, made by python -m sv3dgen.render_dataset")
        if batch < 1 or workers < 0 or prefetch < 1:
            raise InputError(f"batches: batch={batch}, workers={workers}, prefetch={prefetch} can't be")
        self.batch, self.workers, self.prefetch, self.seed = batch, workers, prefetch, seed
        self.mirror, self.walks = mirror, tuple(walks)
        self.folder, self.kinds, self.frames = Path(folder), tuple(kinds), frames
        self.background: Literal["white", "random"] = background

    def dataset(
        self, split: Literal["train", "test"], kind: Literal["static", "dynamic"] | None = None
    ) -> OrbitDataset:
        """The orbits of a split, of one kind or all; those that test are on white. InputError for a bad folder."""
        return OrbitDataset(
            self.folder,
            split=split,
            kinds=self.kinds if kind is None else (kind,),
            frames=self.frames,
            background=self.background if split == "train" else "white",
            mirror=self.mirror and split == "train",
            walks=self.walks if split == "train" else (1,),
            cached=split == "train",
            seed=self.seed,
        )

    def loader(self, first: int, *, rank: int = 0, world: int = 1) -> "TimedLoader":
        """Endless batches of one of `world` processes, from batch number `first` on.

        Batch k of all processes together holds positions k * world * batch and following: two processes see what one
        with twice the batch sees.
        """
        return TimedLoader(
            Row(self.dataset("train"), self.seed),
            batch_sampler=_Positions(first, self.batch, rank, world),
            collate_fn=_collate,
            num_workers=self.workers,
            prefetch_factor=self.prefetch if self.workers else None,
            persistent_workers=self.workers > 0,
        )


class Row(Dataset):
    """The endless row of orbits: the dataset over and over, each time in another order."""

    def __init__(self, dataset: OrbitDataset, seed: int):
        self.dataset, self.seed = dataset, seed
        self._order: tuple[int, list[int]] = (-1, [])

    def __getitem__(self, position: int) -> tuple[OrbitSample, int]:
        epoch, place = divmod(position, len(self.dataset))
        if self._order[0] != epoch:
            order = torch.randperm(len(self.dataset), generator=generator(self.seed, "epoch", epoch))
            self._order = epoch, order.tolist()
        self.dataset.set_epoch(epoch)
        return self.dataset[self._order[1][place]], position


class _Positions(Sampler[list[int]]):
    """The positions of one process's batches, without end."""

    def __init__(self, first: int, batch: int, rank: int, world: int):
        self.first, self.batch, self.rank, self.world = first, batch, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        number = self.first
        while True:
            start = (number * self.world + self.rank) * self.batch
            yield list(range(start, start + self.batch))
            number += 1


class TimedLoader(DataLoader):
    """A loader that knows how long it was waited for."""

    waited_s = 0.0

    def __iter__(self) -> Iterator[Any]:
        batches = super().__iter__()
        while True:
            started = perf_counter()
            batch = next(batches, None)
            self.waited_s += perf_counter() - started
            if batch is None:
                return
            yield batch


def _collate(items: list[tuple[OrbitSample, int]]) -> TrainingBatch:
    return TrainingBatch(
        collate_orbits([sample for sample, _ in items]), torch.tensor([position for _, position in items])
    )
