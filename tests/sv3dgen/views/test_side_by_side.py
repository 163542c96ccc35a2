"""Results come in order, few items are in work at a time, and an error is that of the first item that has one."""

import os
import time

import pytest

from sv3dgen.views.side_by_side import side_by_side


def test_order_and_how_many_are_taken_ahead():
    taken = []

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    def squared(number):
        time.sleep(0.001 * (number % 3))
        return number**2

    results = []
    for result in side_by_side(squared, items()):
        results.append(result)
        assert len(taken) - len(results) <= os.cpu_count() + 1
    assert results == [number**2 for number in range(50)]


def test_the_first_error_is_told():
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda number: 1 / (number - 3), range(10)))
