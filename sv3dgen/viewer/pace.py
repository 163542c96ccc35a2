"""When to draw for somebody who looks, and how large: at once and small while they move, larger when they rest.

Half of the time at most goes into drawing, a tenth where only the object has changed.
"""

from dataclasses import dataclass

MOVING_S, RESTING_S = 0.08, 0.6  # what one picture may take
REST_AFTER_S = 0.25
LONGEST_S = 2.0  # that a picture counts for, however long it took
REFRESH_EVERY_S = 1.0
LEAST_PX = 64  # on the shorter side, however slow


@dataclass
class Pace:
    """Of one who looks."""

    view: object = None  # what was drawn last: the camera and the settings, by any value that changes with them
    version: int = -1  # of the object that was drawn last
    rough: bool = False
    moved_s: float = 0.0
    ended_s: float = 0.0
    took_s: float = 0.0
    seconds_per_px: float = 2e-6  # a guess, until the first was drawn

    def budget(self, view: object, version: int, now_s: float) -> float | None:
        """Seconds that a picture may take now; None where none is to be drawn."""
        rested_s = now_s - self.ended_s
        if rested_s < self.took_s:
            return None
        if view != self.view:
            self.moved_s = now_s
            return MOVING_S
        if self.rough:
            return RESTING_S if now_s - self.moved_s >= REST_AFTER_S else None
        if version != self.version and rested_s >= max(REFRESH_EVERY_S, 9 * self.took_s):
            return RESTING_S
        return None

    def size(self, budget_s: float, aspect: float, most_px: int) -> tuple[int, int]:
        """Width and height of a picture that takes about so long, at most `most_px` high."""
        height = (budget_s / self.seconds_per_px / aspect) ** 0.5
        least = LEAST_PX / min(1.0, aspect)
        height = max(least, min(height, most_px))
        return max(1, round(height * aspect)), max(1, round(height))

    def drew(self, view: object, version: int, *, pixels: int, whole: bool, began_s: float, ended_s: float) -> None:
        """Note what was drawn; `whole` where a larger picture would not come of more time."""
        self.view, self.version, self.rough = view, version, not whole
        self.took_s, self.ended_s = min(ended_s - began_s, LONGEST_S), ended_s
        # Kernels that are compiled in the first picture say nothing about the next.
        measured = min(self.took_s / pixels, 2 * self.seconds_per_px)
        self.seconds_per_px = 0.5 * self.seconds_per_px + 0.5 * measured
