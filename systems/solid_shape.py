"""When a stage looks whether its object is plainly solid, and how it then comes to its end sooner."""


class SolidShape:
    """Of `steps`, a look after the share `after` (None: never), and the end at the share `end` where it finds it so.

    From the look on, the schedules of the whole stage are gone through in the steps that are left. Raises ValueError
    where the end does not come after the look.
    """

    def __init__(self, steps: int, after: float | int | None, end: float | int):
        if after is not None and not after < end:
            raise ValueError(
                f"coarse.solid_after={after}: expected less than coarse.solid_steps={end}, the stage's end"
            )
        self.steps, self.after = steps, None if after is None else round(after * steps)
        self.end = round(end * steps) if self.after is None else max(self.after + 1, round(end * steps))
        if self.end >= steps:
            self.after = None  # there is nothing to gain
        self.found = False

    @property
    def last_step(self) -> int:
        return self.end if self.found else self.steps

    def scheduled(self, step: int) -> int:
        """The step of the whole stage's schedules that a step takes place at."""
        if not self.found or self.after is None or step < self.after:
            return step
        share = (step - self.after) / max(1, self.end - self.after)
        return self.after + round(share * (self.steps - self.after))

    def told(self) -> str:
        """What becomes of the stage where it is found so."""
        return f"nothing thin, hollow or guessed at; {self.end} of {self.steps} steps will do"
