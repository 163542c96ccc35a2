"""The numbers that a run logged, as charts whose lines, ticks and labels a template only has to draw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT = 420, 240  # units of the drawing; about pixels on a phone
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 26  # margins, for the labels
MOST_LINES = 6  # of a chart: as many as there are colors and dashes
MOST_POINTS = 400  # of a line
_NOT_LOSSES = ("weight", "learning_rate", "gradient_norm")  # parts of a column's name
LARGEST = 1e30  # of a number that is drawn; the smallest on a logarithmic scale is one by it
SQUARED_COLOR = "reference_views/rgb"  # the loss that a PSNR is made of

Number = float | int
Rows = Sequence[Mapping[str, Number]]
Points = list[tuple[Number, Number]]


@dataclass(frozen=True)
class Tick:
    """A label of an axis, and where it stands on it."""

    at: Number
    label: str


@dataclass(frozen=True)
class Line:
    """One curve: its points as SVG writes them, and its first and last value in words."""

    name: str
    points: str
    first: str
    last: str


@dataclass(frozen=True)
class Chart:
    """Lines over steps, in a drawing of `WIDTH` x `HEIGHT`."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left_out: tuple[str, ...] = ()  # columns for which there was no room

    @property
    def summary(self) -> str:
        """What the chart shows, for those who do not see it."""
        return "; ".join(f"{line.name} from {line.first} to {line.last}" for line in self.lines)


def charts(rows: Rows) -> list[Chart]:
    """The losses of each stage on a logarithmic scale, and every PSNR in one chart."""
    drawable = [{name: value for name, value in row.items() if abs(value) <= LARGEST} for row in rows]
    stepped = [row for row in drawable if "step" in row]
    columns = {name: [(row["step"], row[name]) for row in stepped if name in row] for name in _names(drawable)}
    losses: dict[str, dict[str, Points]] = {}
    decibels: dict[str, Points] = {}
    for name, points in columns.items():
        stage, _, rest = name.partition("/")
        if not rest or any(part.startswith(_NOT_LOSSES) for part in rest.split("/")):
            continue
        if "psnr" in name:
            decibels[name] = points
        elif stage != "validation":
            losses.setdefault(stage, {})[rest] = [(step, value) for step, value in points if value >= 1 / LARGEST]
    for stage, lines in losses.items():
        if SQUARED_COLOR in lines and not any(name.startswith(f"{stage}/") for name in decibels):
            decibels[stage] = [(step, -10 * log10(value)) for step, value in lines[SQUARED_COLOR]]
    drawn = [chart(f"{stage}: losses", lines, logarithmic=True) for stage, lines in losses.items()]
    return [one for one in (*drawn, chart("PSNR, dB", decibels)) if one.lines]


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row if name != "step"))


def chart(title: str, lines: Mapping[str, Points], *, logarithmic: bool = False) -> Chart:
    """A chart of named (step, value) points. A line needs two points; those that end highest come first."""
    found = {name: _thinned(sorted(points)) for name, points in lines.items() if len(points) > 1}
    ordered = sorted(found, key=lambda name: -found[name][-1][1])
    kept = ordered[:MOST_LINES]
    if not kept:
        return Chart(title, (), (), ())
    steps = [step for name in kept for step, _ in found[name]]
    values = [value for name in kept for _, value in found[name]]
    across, upwards = _linear_ticks(min(steps), max(steps)), _log_ticks if logarithmic else _linear_ticks
    y_values = upwards(min(values), max(values))
    x = _scale(min(steps), max(steps), LEFT, WIDTH - RIGHT, False)
    y = _scale(min(values + y_values), max(values + y_values), HEIGHT - BOTTOM, TOP, logarithmic)
    return Chart(
        title,
        tuple(
            Line(
                name,
                " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in found[name]),
                f"{found[name][0][1]:.3g}",
                f"{found[name][-1][1]:.3g}",
            )
            for name in kept
        ),
        tuple(Tick(round(x(value), 1), f"{value:g}") for value in across if min(steps) <= value <= max(steps)),
        tuple(Tick(round(y(value), 1), f"{value:g}") for value in y_values),
        tuple(ordered[MOST_LINES:]),
    )


def _thinned(points: Points) -> Points:
    """At most about `MOST_POINTS` of them, the last one always."""
    every = max(1, len(points) // MOST_POINTS)
    return [*points[:-1:every], points[-1]]


def _scale(low: Number, high: Number, start: Number, end: Number, logarithmic: bool) -> Callable[[Number], float]:
    """From values to the drawing."""
    if logarithmic:
        linear = _scale(log10(low), log10(high), start, end, False)
        return lambda value: linear(log10(value))
    extent = high - low or 1.0
    return lambda value: start + (value - low) / extent * (end - start)


def _linear_ticks(low: Number, high: Number) -> list[float]:
    """Three to six round numbers that enclose the values."""
    extent = high - low or abs(high) or 1.0
    unit = 10.0 ** floor(log10(extent / 3))
    step = next(unit * factor for factor in (1, 2, 5, 10) if extent / (unit * factor) <= 5)
    first, last = floor(low / step), ceil(high / step)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: Number, high: Number) -> list[float]:
    """Powers of ten that enclose the values, every second one where there are many."""
    first, last = floor(log10(low)), ceil(log10(high))
    last = max(last, first + 1)
    every = ceil((last - first) / 6)
    return [10.0**power for power in range(first, last + every, every)]
