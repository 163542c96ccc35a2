"""Results come in order, few items are in work at a time, and an error is that of the first item that has one."""

import threading
import time

import pytest

from sv3dgen.parallel.cores import usable_cores
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
        assert len(taken) - len(results) <= usable_cores() + 1
    assert results == [number**2 for number in range(50)]


def test_the_first_error_is_told():
    def fails(number):
        time.sleep(0.02 / (1 + number))  # so that later ones fail sooner
        if number:
            raise KeyError(number)

    with pytest.raises(KeyError, match="1"):
        list(side_by_side(fails, range(4)))


def test_the_cores_that_a_process_may_run_on_are_used(monkeypatch):
    monkeypatch.setattr("sv3dgen.views.side_by_side.usable_cores", lambda: 1)
    threads = set(side_by_side(lambda _: threading.get_ident(), range(8)))
    assert len(threads) == 1
