"""Downscaling is a mean over areas, weighted by alpha."""

import torch

from sv3dgen.views.resampling import downscale_rgba


def test_downscaling_is_the_mean_over_areas():
    image = torch.randint(0, 256, (4, 12, 18), generator=torch.Generator().manual_seed(0)).byte()
    alpha = image[3:].double()
    blocks = torch.cat([image[:3] * alpha, alpha]).unfold(1, 3, 3).unfold(2, 3, 3).mean((-1, -2))
    expected = torch.cat([blocks[:3] / blocks[3:], blocks[3:]])
    assert (downscale_rgba(image, 4, 6).double() - expected).abs().max() <= 0.51


def test_downscaling_by_a_broken_ratio_shares_pixels():
    image = torch.zeros(4, 3, 3, dtype=torch.uint8)
    image[3] = 255
    image[0, :, 0], image[0, :, 1] = 240, 60
    # Two pixels from three: the first holds all of column 0 and half of column 1.
    assert downscale_rgba(image, 2, 2)[0].tolist() == [[180, 20]] * 2


def test_hidden_colors_do_not_bleed():
    image = torch.zeros(4, 2, 2, dtype=torch.uint8)
    image[:, 0, 0] = torch.tensor([200, 100, 50, 255])
    image[0, 1, 1] = 255  # red, but transparent
    assert downscale_rgba(image, 1, 1)[:, 0, 0].tolist() == [200, 100, 50, 64]
