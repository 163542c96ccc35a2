import re

import pytest

from sv3dgen.errors import InputError
from sv3dgen.schedules import (
    active_terms,
    check_reach,
    checked_weights,
    ever_nonzero,
    from_when_on,
    in_steps,
    step_of,
    value_at,
)


def test_constant():
    assert value_at(3.5, 0) == value_at(3.5, 10**6) == 3.5
    assert isinstance(value_at(3, 0), float)


def test_linear_between_and_constant_outside():
    schedule = [[100, 7.0], [150, 5.0], [200, 25]]
    expected = {0: 7.0, 100: 7.0, 125: 6.0, 150: 5.0, 175: 15.0, 200: 25.0, 999: 25.0}
    assert {step: value_at(schedule, step) for step in expected} == expected


def test_order_of_writing_does_not_matter():
    assert value_at([[200, 1.0], [0, 0.0]], 50) == 0.25


def test_one_knot_is_a_constant():
    assert value_at([[100, 2.0]], 0) == value_at([[100, 2.0]], 500) == 2.0


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ([], "at least one [step, value] pair"),
        ([0, 1.0], "expected pairs [step, value], got 0"),
        ([["50%", 1.0]], "50% is a share of a stage"),
        ([["half", 1.0]], "'half'"),
        ([[0, "often"]], "'often'"),
        ([[0, 0.0], [0.5, 1.0]], "0.5"),
        ([[-1, 0.0]], "-1"),
        (float("nan"), "nan"),
        ([[0, float("inf")]], "inf"),
        ([[0, True]], "True"),
    ],
)
def test_bad_schedules_are_named(schedule, told):
    with pytest.raises(InputError, match=re.escape(told)) as raised:
        checked_weights({"rgb": schedule}, ("rgb", "mask"))
    assert "weights.rgb" in str(raised.value)


def test_unknown_term_names_the_known_ones():
    with pytest.raises(InputError, match=r"weights\.color: .* rgb, mask"):
        checked_weights({"color": 1.0}, ("rgb", "mask"))


def test_active_terms_leaves_out_zeros():
    weights = {"rgb": 1.0, "mask": 0.0, "lpips": [[0, 0.0], [100, 5.0]]}
    assert active_terms(weights, 0) == ["rgb"]
    assert active_terms(weights, 1) == ["rgb", "lpips"]


def test_ever_nonzero():
    assert ever_nonzero([[0, 0.0], [10, 1.0]]) and ever_nonzero(2)
    assert not ever_nonzero([[0, 0.0], [10, 0.0]]) and not ever_nonzero(0.0)


def test_shares_become_steps_of_the_stage():
    stage = {"steps": 400, "weights": {"depth": [["25%", 0.0], ["100%", 1.0]], "rgb": 2.0}, "sizes": [1, 2, 3]}
    assert in_steps(stage, 400) == stage | {"weights": {"depth": [[100, 0.0], [400, 1.0]], "rgb": 2.0}}
    milestones = [[0, {"size_px": 256}], ["37.5%", {"size_px": 320}]]
    assert in_steps(milestones, 400) == [[0, {"size_px": 256}], [150, {"size_px": 320}]]
    assert in_steps([["33.33%", 1.0]], 1200) == [[400, 1.0]]  # rounded to the nearest step


def test_a_schedule_in_shares_has_the_same_shape_at_any_length():
    schedule = [["25%", 0.0], ["50%", 10.0]]
    for steps in (8, 80, 1200):
        knots = in_steps(schedule, steps)
        assert [value_at(knots, steps * eighth // 8) for eighth in (1, 2, 3, 4, 8)] == [0, 0, 5, 10, 10]


def test_of_two_knots_at_one_step_the_later_one_holds():
    assert value_at([[0, 0.0], [0, 5.0]], 0) == 5.0
    assert from_when_on([[0, "coarse"], [0, "fine"]], "data") == {0: "fine"}


@pytest.mark.parametrize("when", ["50", "%", "-5%", "1/2", "5%%"])
def test_what_is_no_share_is_named(when):
    with pytest.raises(InputError, match="expected a step, or a share of the stage such as 25%"):
        step_of(when, 100)


@pytest.mark.parametrize("schedule", [[[300, 0.0], [400, 1.6]], [["100%", 0.0], ["100%", 1.0]], [[60, 0.0], [90, 2.0]]])
def test_a_loss_that_never_starts_is_refused(schedule):
    stage = {"steps": 60, "guidance": {"sds": {"weights": {"sds": schedule}}}}
    with pytest.raises(InputError, match=r"^fine\.guidance\.sds\.weights\.sds=\[\[.*stays zero in all 60 steps"):
        check_reach("fine", stage)


def test_a_knot_beyond_the_end_is_told():
    stage = {"steps": 60, "learning_rate": [[0, 0.01], [600, 0.001]], "weights": {"rgb": [["50%", 1.0], ["100%", 2.0]]}}
    assert check_reach("fine", stage) == [
        "fine.learning_rate: step 600 lies beyond the stage's end at 60, and is never reached"
    ]
