"""Posed views out of pictures in memory."""

import torch
from torch import Tensor

from sv3dgen.views.cameras import Cameras
from sv3dgen.views.posed_views import PosedViews


def plain_views(rgba: Tensor, cameras: Cameras) -> PosedViews:
    """`rgba` [views, 4, height, width] in [0, 1]."""
    count = len(rgba)
    names, zeros = tuple(f"{n}.png" for n in range(count)), torch.zeros(count)
    images = (rgba * 255).round().byte()
    return PosedViews(images, cameras, names, ("train",) * count, zeros, zeros, torch.eye(4).double())
