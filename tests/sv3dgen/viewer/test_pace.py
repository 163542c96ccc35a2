"""When the live view draws, and how large."""

from sv3dgen.viewer.pace import MOVING_S, RESTING_S, Pace


def drew(pace: Pace, view: object, version: int, began: float, took: float, *, whole: bool) -> None:
    pace.drew(view, version, pixels=10_000, whole=whole, began_s=began, ended_s=began + took)


def test_at_once_and_small_then_large_then_seldom():
    pace = Pace()
    assert pace.budget("here", 0, 10.0) == MOVING_S
    drew(pace, "here", 0, 10.0, 0.1, whole=False)
    assert pace.budget("there", 0, 10.15) is None  # half of the time belongs to the run
    assert pace.budget("here", 0, 10.21) is None  # perhaps they go on moving
    assert pace.budget("here", 0, 10.3) == RESTING_S
    drew(pace, "here", 0, 10.3, 0.5, whole=True)
    assert pace.budget("here", 1, 12.0) is None  # a tenth of the time, where nobody moves
    assert pace.budget("here", 1, 15.4) == RESTING_S
    assert pace.budget("here", 0, 99.0) is None  # nothing has changed


def test_sizes_follow_the_machine_but_not_its_first_picture():
    pace = Pace()
    wide, high = pace.size(RESTING_S, 2.0, 512)
    assert (wide, high) == (775, 387)
    drew(pace, "here", 0, 0.0, 60.0, whole=False)  # compiled kernels
    assert pace.took_s < 3 and pace.size(RESTING_S, 2.0, 512)[1] > 300
    for _ in range(20):
        drew(pace, "here", 0, 0.0, 1.0, whole=False)
    assert pace.size(MOVING_S, 1.0, 512) == (64, 64)
    assert pace.size(MOVING_S, 0.5, 512)[0] == 64
