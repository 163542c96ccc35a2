import re

import pytest

from sv3dgen.errors import InputError
from sv3dgen.schedules import active_terms, checked_weights, ever_nonzero, value_at


def test_constant():
    assert value_at(3.5, 0) == value_at(3.5, 10**6) == 3.5
    assert isinstance(value_at(3, 0), float)


def test_linear_between_and_constant_outside():
    schedule = {100: 7.0, 150: 5.0, 200: 25}
    expected = {0: 7.0, 100: 7.0, 125: 6.0, 150: 5.0, 175: 15.0, 200: 25.0, 999: 25.0}
    assert {step: value_at(schedule, step) for step in expected} == expected


def test_order_of_writing_does_not_matter():
    assert value_at({200: 1.0, 0: 0.0}, 50) == 0.25


def test_one_knot_is_a_constant():
    assert value_at({100: 2.0}, 0) == value_at({100: 2.0}, 500) == 2.0


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({}, "at least one {step: value} pair"),
        ({0: "often"}, "'often'"),
        ({0: 0.0, 0.5: 1.0}, "step 0.5"),
        ({-1: 0.0}, "step -1"),
        (float("nan"), "nan"),
        ({0: float("inf")}, "inf"),
        ({0: True}, "True"),
    ],
)
def test_bad_schedules_are_named(schedule, told):
    with pytest.raises(InputError, match=re.escape(told)) as raised:
        checked_weights({"rgb": schedule}, ("rgb", "mask"))
    assert "weights.rgb" in str(raised.value)


def test_unknown_term_names_the_known_ones():
    with pytest.raises(InputError, match=r"weights\.colour: .* rgb, mask"):
        checked_weights({"colour": 1.0}, ("rgb", "mask"))


def test_active_terms_leaves_out_zeros():
    weights = {"rgb": 1.0, "mask": 0.0, "lpips": {0: 0.0, 100: 5.0}}
    assert active_terms(weights, 0) == ["rgb"]
    assert active_terms(weights, 1) == ["rgb", "lpips"]


def test_ever_nonzero():
    assert ever_nonzero({0: 0.0, 10: 1.0}) and ever_nonzero(2)
    assert not ever_nonzero({0: 0.0, 10: 0.0}) and not ever_nonzero(0.0)
