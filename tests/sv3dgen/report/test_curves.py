"""From logged numbers to drawn lines."""

from math import log10

import pytest

from sv3dgen.report.curves import BOTTOM, HEIGHT, LEFT, MOST_LINES, MOST_POINTS, RIGHT, TOP, WIDTH, chart, charts
from sv3dgen.runs.number_rows import number_rows as read


def ends(line):
    first, *_, last = ([float(value) for value in point.split(",")] for point in line.points.split())
    return first, last


def test_a_straight_line_goes_from_corner_to_corner():
    (line,) = chart("up", {"a": [(0, 0.0), (100, 10.0)]}).lines
    assert ends(line) == ([LEFT, HEIGHT - BOTTOM], [WIDTH - RIGHT, TOP])
    assert (line.first, line.last) == ("0", "10")


def test_powers_of_ten_stand_at_equal_distances():
    drawn = chart("down", {"a": [(0, 100.0), (1, 10.0), (2, 0.1)]}, logarithmic=True)
    heights = [float(point.split(",")[1]) for point in drawn.lines[0].points.split()]
    assert (heights[2] - heights[1]) == pytest.approx(2 * (heights[1] - heights[0]), abs=0.2)
    assert [tick.label for tick in drawn.y_ticks] == ["0.1", "1", "10", "100"]


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.003, 0.9), (5.0, 5.0), (29.3, 31.7), (1e-9, 1e9)])
def test_ticks_are_few_and_enclose_the_values(low, high, logarithmic):
    ticks = [float(tick.label) for tick in chart("t", {"a": [(0, low), (9, high)]}, logarithmic=logarithmic).y_ticks]
    assert min(ticks) <= low * (1 + 1e-9) and max(ticks) >= high * (1 - 1e-9) and 2 <= len(ticks) <= 9


def test_long_lines_are_thinned_and_keep_their_end():
    (line,) = chart("long", {"a": [(step, float(step)) for step in range(10_001)]}).lines
    assert len(line.points.split()) <= 2 * MOST_POINTS and ends(line)[1] == [WIDTH - RIGHT, TOP]


def test_lines_without_room_are_named():
    drawn = chart("many", {f"line {n}": [(0, n), (1, n)] for n in range(9)})
    assert len(drawn.lines) == MOST_LINES and len(drawn.left_out) == 9 - MOST_LINES


def test_losses_go_by_stage_and_the_color_loss_gives_a_psnr(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text(
        "coarse/learning_rate,coarse/reference_views/rgb,coarse/weight/a/b,fine/a/b,step\n"
        "0.1,0.1,1,,50\n0.1,0.01,1,,100\n,,,0.5,50\n,,,nan,60\n,,,0.25,100\n,,,oops,120\n"
    )
    coarse, fine, psnr = charts(read(file))
    assert [line.name for line in coarse.lines] == ["reference_views/rgb"] and [one.name for one in fine.lines] == [
        "a/b"
    ]
    (line,) = psnr.lines
    assert (line.first, line.last) == (f"{-10 * log10(0.1):.3g}", f"{-10 * log10(0.01):.3g}")
    assert "a/b from 0.5 to 0.25" in fine.summary


def test_numbers_beyond_any_chart_are_left_out():
    rows = [{"step": step, "a/rgb": 10.0**-step, "b/rgb": 10.0 ** (step - 20)} for step in range(300)]
    drawn = charts([*rows, {"step": 1e300, "a/rgb": 1.0}, {"step": 4, "a/rgb": 5e-324}])
    assert [chart.title for chart in drawn] == ["a: losses", "b: losses"]


def test_no_numbers_no_charts(tmp_path):
    assert charts(read(tmp_path / "metrics.csv")) == []
