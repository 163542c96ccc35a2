import torch

from sv3dgen.views.footprints import averaged


def test_squares_become_their_mean():
    values = torch.rand(3, 2, 5, 7)
    result = averaged(values, (1, 2, 3))
    assert torch.equal(result[0], values[0])
    for image, side in ((1, 2), (2, 3)):
        for row in range(5):
            for col in range(7):
                top, left = row // side * side, col // side * side
                inside = top + side <= 5 and left + side <= 7
                square = values[image, :, top : top + side, left : left + side]
                expected = square.mean((1, 2)) if inside else values[image, :, row, col]
                torch.testing.assert_close(result[image, :, row, col], expected)


def test_only_what_the_mask_selects_counts():
    values, mask = torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4) < 0.6
    mask[..., :2, :2] = False
    result = averaged(values, (2,), mask)
    square, chosen = values[0, :, 2:, 2:], mask[0, 0, 2:, 2:]
    torch.testing.assert_close(result[0, :, 3, 3], square[:, chosen].mean(1))
    assert result.isfinite().all()


def test_nothing_is_done_without_footprints():
    values = torch.rand(2, 3, 4, 4)
    assert averaged(values, None) is values and averaged(values, (1, 1)) is values
