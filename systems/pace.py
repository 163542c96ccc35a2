"""How many of its steps a stage takes: a share of them where a model has made small views, which tell little."""

import logging

from sv3dgen.views.certainty import mostly_small
from sv3dgen.views.posed_views import PosedViews

log = logging.getLogger(__name__)


class Pace:
    """All `steps`, or the share `small_steps` of them where most views are generated ones of at most `small_px`.

    The schedules, which are made for `steps`, are then gone through faster. Of such views each pixel is drawn dozens of
    times, and what is still wrong after that is what they disagree about.
    """

    def __init__(self, stage: str, steps: int, small_px: int | None, small_steps: float | int):
        """`stage` is its name, for the log; without `small_px` all steps are taken, whatever the views."""
        self.stage, self.steps, self.small_px = stage, steps, small_px
        self.fewer = max(1, round(small_steps * steps))
        self.short = False  # whether it takes fewer

    def start_from(self, views: PosedViews) -> None:
        """Settle it for the views to fit."""
        if self.small_px is None or self.fewer >= self.steps:
            return
        self.short = mostly_small(views, self.small_px)
        if self.short:
            told = "%s: the views are a model's and of at most %d px; %d of %d steps will do (%s.small_px=null: all)"
            log.info(told, self.stage, self.small_px, self.fewer, self.steps, self.stage)

    @property
    def last_step(self) -> int:
        return self.fewer if self.short else self.steps

    def scheduled(self, step: int) -> int:
        """The step of the whole stage's schedules that a step takes place at."""
        return round(step * self.steps / self.fewer) if self.short else step
