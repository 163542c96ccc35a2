import dataclasses

import pytest
import torch

from sv3dgen.data.view_corrections import COLUMNS, ViewCorrections
from sv3dgen.interfaces import ViewBatch


@pytest.fixture
def mixed(posed_views):
    """The posed views; all but the last are said to be generated."""
    return dataclasses.replace(posed_views, generated=(True,) * 11 + (False,))


def started(views, **settings) -> ViewCorrections:
    corrections = ViewCorrections(**settings)
    corrections.start_from(views)
    return corrections


def whole_batch(views) -> ViewBatch:
    return ViewBatch(views.cameras, None, views.rgba[:, :3], views.rgba[:, 3:], torch.arange(len(views)))


def test_generated_views_are_corrected_and_photos_are_not(posed_views, mixed):
    assert started(posed_views).count == 0
    assert started(posed_views, of="all").count == 12
    assert started(mixed, of="none").count == 0
    corrections = started(mixed)
    assert corrections.count == 11
    with torch.no_grad():
        for part in corrections.parameters():
            part.fill_(1.0)
    warp, gain = corrections.warp(torch.arange(12)), corrections.gain(torch.arange(12))
    assert torch.equal(warp.homography[-1], torch.eye(3)) and not warp.displacement[-1].any()
    assert torch.equal(gain[-1], torch.ones(3, 1, 1))
    assert not torch.equal(warp.homography[0], torch.eye(3)) and warp.displacement[0].all()
    assert gain[0, 0].item() == pytest.approx(torch.tensor(0.07).exp().item())


def test_views_without_corrections_keep_their_batch(posed_views, mixed):
    batch = whole_batch(posed_views)
    assert started(posed_views).applied(batch) is batch
    applied = started(mixed).applied(batch)
    assert applied.cameras.warp is not None
    # Corrections begin as none, up to rounding.
    pixels = torch.full((12, 1, 1, 2), 20)
    torch.testing.assert_close(applied.cameras.rays(pixels)[1], batch.cameras.rays(pixels)[1], atol=1e-6, rtol=0)
    assert torch.equal(applied.gain, torch.ones(12, 3, 1, 1))


@pytest.mark.parametrize(
    ("column", "expected"),
    [  # of the point (1, 0) and of (0, 1), in half frames
        ("shift_x", ((1.02, 0.0), (0.02, 1.0))),
        ("shift_y", ((1.0, 0.02), (0.0, 1.02))),
        ("turn", ((1.0, 0.01745), (-0.01745, 1.0))),
        ("scale", ((1.02, 0.0), (0.0, 1.02))),
        ("stretch", ((1.03, 0.0), (0.0, 0.97))),
        ("shear", ((1.0, 0.03), (0.03, 1.0))),
        ("tilt_x", ((1 / 1.04, 0.0), (0.0, 1.0))),
        ("tilt_y", ((1.0, 0.0), (0.0, 1 / 1.04))),
    ],
)
def test_units_are_what_they_are_called(mixed, column, expected):
    corrections = started(mixed, shift=0.01, turn_deg=1.0, scale=0.02, stretch=0.03, tilt=0.04)
    with torch.no_grad():
        corrections.lie[0, COLUMNS.index(column)] = 1.0
    reach = corrections.reach[0]
    moved = corrections.warp(torch.tensor([0])).true_points(reach * torch.eye(2)[None]) / reach
    torch.testing.assert_close(moved[0], torch.tensor(expected), atol=1e-4, rtol=0)


def test_the_prior_is_half_the_squared_sum_of_a_view(mixed):
    corrections = started(mixed)
    assert corrections.prior().item() == 0
    with torch.no_grad():
        corrections.lie[0, 0], corrections.light[3, 1], corrections.bend[4, 0, 0, 0] = 2.0, 1.0, 1.0
    assert corrections.prior().item() == pytest.approx(0.5 * (4 + 1 + 1) / 11)
    corrections.prior().backward()
    assert corrections.lie.grad[0, 0].item() == pytest.approx(2 / 11)


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="nodes=2"):
        ViewCorrections(nodes=2)
    with pytest.raises(ValueError, match="shift=-1"):
        ViewCorrections(shift=-1.0)


def test_a_shift_of_the_pictures_is_found(mixed):
    """A camera whose picture was shifted: the rays through the shifted pixels find their way back."""
    corrections = started(mixed)
    view = torch.tensor([2])
    true = mixed.cameras[view].rays()[1][:, 20:40, 20:40].reshape(1, -1, 3)
    optimizer = torch.optim.Adam(corrections.parameters(), lr=0.05)
    pixels = torch.stack(torch.meshgrid(torch.arange(21, 41), torch.arange(22, 42), indexing="ij"), -1)[None]
    for _ in range(200):
        batch = ViewBatch(mixed.cameras[view], pixels, torch.zeros(1, 3, 20, 20), torch.zeros(1, 1, 20, 20), view)
        loss = (corrections.applied(batch).cameras.rays(pixels)[1].reshape(1, -1, 3) - true).square().sum()
        optimizer.zero_grad()
        (1e4 * loss + 0.01 * corrections.prior()).backward()
        optimizer.step()
    moved = corrections.applied(batch).cameras.rays(pixels)[1].reshape(1, -1, 3)
    assert (moved - true).norm(dim=-1).max() < 0.1 * (
        mixed.cameras[view].rays(pixels)[1].reshape(1, -1, 3) - true
    ).norm(dim=-1).max()


def test_the_table_is_in_units_that_one_can_read(mixed):
    corrections = started(mixed, shift=0.01, turn_deg=2.0, bend=0.01, exposure=0.1)
    with torch.no_grad():
        corrections.lie[0, :3] = torch.tensor([1.0, -2.0, 0.5])
        corrections.bend[0, ..., 0], corrections.light[0, 0] = 1.0, 1.0
    table = corrections.table()
    assert len(table) == 12 and not any(table[-1][name] for name in COLUMNS)
    expected = {"shift_x": 0.01, "shift_y": -0.02, "turn": 1.0, "scale": 0.0, "bend": 0.01, "gain_red": 1.10517}
    assert {name: table[0][name] for name in expected} == pytest.approx(expected, abs=1e-5)
