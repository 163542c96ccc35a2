"""The plane sweep against a closed form, and its versions against each other."""

import pytest
import torch
from torch import Tensor

from sv3dgen.kernels.backend import runs_on
from sv3dgen.kernels.plane_sweep.sweep import NOTHING, Sweep, plane_sweep

SHIFTS = torch.arange(-6.0, 7.0)  # of the planes, in px


def texture(columns: Tensor, rows: Tensor) -> Tensor:
    """Smooth and without a period within the picture."""
    return 0.5 + 0.2 * torch.sin(0.9 * columns + 0.3 * rows) + 0.2 * torch.sin(0.53 * columns - 0.7 * rows + 1.3)


def shifted(shift: float, size: int = 40, contrast: float = 1.0) -> Tensor:
    """A picture whose pixel (column, row) shows the texture of column - shift."""
    row, column = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    return 0.5 + contrast * (texture(column - shift, row) - 0.5)


def homographies(baselines: tuple[float, ...]) -> Tensor:
    """Plane p takes a column to column + SHIFTS[p] * baseline, as planes in inverse depth do for parallel cameras."""
    found = torch.eye(3).repeat(len(SHIFTS), len(baselines), 1, 1)
    found[:, :, 0, 2] = SHIFTS[:, None] * torch.tensor(baselines)
    return found


def swept(sources: list[Tensor], backend: str = "auto", **changes) -> Sweep:
    reference = shifted(0.0)
    mask = torch.zeros(40, 40, dtype=torch.bool)
    mask[4:36, 5:35] = True
    ranges = torch.zeros(40, 40, dtype=torch.int32), torch.full((40, 40), len(SHIFTS) - 1, dtype=torch.int32)
    settings = {"radius": 2, "best": 2, "backend": backend, **changes}
    reference, mask = settings.pop("reference", reference), settings.pop("mask", mask)
    ranges = settings.pop("ranges", ranges)
    seen = settings.pop("source_masks", torch.ones(len(sources), 40, 40, dtype=torch.bool))
    baselines = settings.pop("baselines", (1.0, -1.0, 0.5)[: len(sources)])
    return plane_sweep(reference, mask, torch.stack(sources), seen, homographies(baselines), *ranges, **settings)


BACKENDS = pytest.mark.parametrize("backend", runs_on("plane_sweep", "cpu"))


@BACKENDS
@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.5])
def test_a_flat_texture_is_found_on_its_plane(backend: str, shift: float) -> None:
    found = swept([shifted(shift), shifted(-shift), shifted(0.5 * shift)], backend)
    inner = slice(10, 30), slice(12, 28)
    assert (SHIFTS[0] + found.plane[inner] - shift).abs().median() < 0.1
    assert (SHIFTS[0] + found.plane[inner] - shift).abs().max() < 0.6
    assert found.score[inner].median() > 0.9
    assert (found.rival[inner] < found.score[inner]).all()


@BACKENDS
def test_a_source_from_which_the_surface_is_hidden_does_no_harm(backend: str) -> None:
    noise = torch.rand(40, 40, generator=torch.Generator().manual_seed(0))
    found = swept([shifted(2.0), noise, shifted(1.0)], backend)
    assert (SHIFTS[0] + found.plane[10:30, 12:28] - 2.0).abs().max() < 0.6


@BACKENDS
def test_where_there_is_nothing_to_match_nothing_is_claimed(backend: str) -> None:
    faint = swept(
        [shifted(2.0, contrast=0.01)] * 2, backend, baselines=(1.0, 1.0), reference=shifted(0.0, contrast=0.01)
    )
    assert faint.score.max() < 0.1  # a contrast of half a step of 8 bits
    blank = torch.full((40, 40), 0.7)
    flat = swept([blank, blank], backend, baselines=(1.0, 1.0), reference=blank)
    assert flat.score.abs().nan_to_num(9).max() <= 1 and flat.score[10:30, 12:28].abs().max() < 1e-2


@BACKENDS
def test_what_no_source_sees_and_what_is_off_the_object_says_nothing(backend: str) -> None:
    hidden = torch.ones(2, 40, 40, dtype=torch.bool)
    hidden[0, :, 20:] = False  # then one source of the two that are asked for is missing there
    found = swept([shifted(0.0), shifted(0.0)], backend, baselines=(1.0, 1.0), source_masks=hidden)
    assert (found.score[10:30, 30:34] == NOTHING).all() and (found.score[:4] == NOTHING).all()
    assert (found.score[10:30, 8:14] > 0.9).all()


@BACKENDS
def test_a_pixel_is_looked_for_on_its_own_planes_only(backend: str) -> None:
    ranges = torch.full((40, 40), 3, dtype=torch.int32), torch.full((40, 40), 5, dtype=torch.int32)
    found = swept([shifted(2.0), shifted(-2.0)], backend, ranges=ranges)  # on plane 8
    assert found.plane[10:30, 12:28].min() >= 3 and found.plane[10:30, 12:28].max() <= 5


@pytest.mark.parametrize("radius", [1, 3])
@pytest.mark.parametrize("best", [1, 3])
def test_numba_is_the_reference(radius: int, best: int) -> None:
    generator = torch.Generator().manual_seed(radius)
    sources = [shifted(shift) + 0.1 * torch.rand(40, 40, generator=generator) for shift in (2.2, -2.2, 1.1)]
    seen = torch.rand(3, 40, 40, generator=generator) > 0.02
    mask = torch.rand(40, 40, generator=generator) > 0.05
    first = torch.randint(0, 4, (40, 40), generator=generator, dtype=torch.int32)
    ranges = first, first + torch.randint(4, 9, (40, 40), generator=generator, dtype=torch.int32)
    settings = {"radius": radius, "best": best, "source_masks": seen, "mask": mask, "ranges": ranges}
    expected, found = (swept(sources, backend, **settings) for backend in ("torch", "numba"))
    assert (expected.score > NOTHING).float().mean() > 0.5
    torch.testing.assert_close(found.score, expected.score, atol=2e-4, rtol=0)
    torch.testing.assert_close(found.rival, expected.rival, atol=2e-3, rtol=0)
    same = (found.plane - expected.plane).abs() < 0.01
    assert same.float().mean() > 0.995  # two planes that are equally good but for rounding


def test_an_empty_mask_is_swept_to_nothing() -> None:
    for backend in runs_on("plane_sweep", "cpu"):
        found = swept([shifted(0.0)] * 2, backend, baselines=(1.0, 1.0), mask=torch.zeros(40, 40, dtype=torch.bool))
        assert (found.score == NOTHING).all()


@pytest.mark.parametrize("wrong", [{"best": 3}, {"best": 0}, {"radius": 0}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        swept([shifted(0.0)] * 2, baselines=(1.0, 1.0), **wrong)
