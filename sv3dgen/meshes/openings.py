"""What was decided of an opening, and how that is told."""

from dataclasses import asdict, dataclass
from typing import Any

from sv3dgen.meshes.cavities import FLOOR

WORDS = {
    "pixels": "held-back pixels say so",
    "free space": "free space is proven over it, and what nobody sees below is taken for empty",
    "prior": "a guess: no view tells, and what nobody sees is taken for solid",
}


@dataclass(frozen=True)
class Opening:
    """What was decided of one opening, and why."""

    plan_share: float  # of the object, seen from above
    hollow: bool
    decided_by: str  # pixels | free space | prior
    wall: float | None = None  # thickness, where pixels have chosen it
    error_as_is: float | None = None  # of held-back pixels, 0 to 1
    error_hollow: float | None = None
    below: bool | None = None  # True of an opening that looks down, as a bell's

    def card(self) -> dict[str, Any]:
        """As plain values for run.json."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
            if value is not None
        }


def told(opening: Opening) -> str:
    """One line for the log, run.json and the report: what an opening is taken for, and whether that is a guess."""
    line = f"opening{' from below' if opening.below else ''} over {opening.plan_share:.0%} of the object: "
    line += f"{'hollow' if opening.hollow else 'solid'}, {WORDS[opening.decided_by]}"
    if opening.error_as_is is not None and opening.error_hollow is not None:
        line += f" (error as it is {opening.error_as_is:.3f}, hollow {opening.error_hollow:.3f})"
    if opening.wall is not None:
        line += (
            f"; walls of {opening.wall:g} and a floor of {FLOOR * opening.wall:g}, where no view sees them, are guesses"
        )
    return line
