"""A picture of how far a stage is, for the program that has started the run: it names the file in `PREVIEW`."""

import logging
import math
import os
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning
import torch
from PIL import Image

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import one_line
from sv3dgen.runs.progress_file import PREVIEW
from sv3dgen.viewer.pictures import four_sides

log = logging.getLogger(__name__)

EVERY_S = 3.0
MOST_SHARE = 0.08  # of the run's time
SIZE_PX = 144


class Preview(lightning.Callback):
    """Writes the object as it is, from four sides, every few seconds and at the end. Nothing where nobody has asked.

    What is drawn changes nothing of the run: each step has a seed of its own. What fails in it ends the pictures only.
    """

    def __init__(self, folder: Path) -> None:
        named = os.environ.get(PREVIEW)
        self.path = folder / Path(named).name if named else None
        self._next_s = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if self.path is None or (began := perf_counter()) < self._next_s:
            return
        self._try_to_draw(module, self.path)
        took = perf_counter() - began
        self._next_s = perf_counter() + max(EVERY_S, took / MOST_SHARE)

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        if self.path is not None:
            self._try_to_draw(module, self.path)

    def _try_to_draw(self, module: Any, path: Path) -> None:
        try:
            self.draw(module, path)
        except Exception as error:  # a full disk, no memory, a renderer that refuses
            log.warning("preview: off from here on (%s)", one_line(str(error) or type(error).__name__))
            self.path = None

    @torch.no_grad()
    def draw(self, module: Any, path: Path) -> None:
        """The picture of a stage as it is now."""
        cameras = module.views.cameras
        distance = float(cameras.positions.norm(dim=-1).mean())
        fov_deg = math.degrees(2 * math.atan(0.5 * cameras.width_px / float(cameras.focal_px.max())))
        module.eval()
        try:
            picture = four_sides(
                lambda sides: module.renderer(module.geometry, module.material, sides.to(module.device)),
                distance=distance,
                fov_deg=fov_deg,
                size_px=SIZE_PX,
            )
        finally:
            module.train()
        pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
        with atomic_write(path) as temporary:
            Image.fromarray(pixels).save(temporary, quality=85)
