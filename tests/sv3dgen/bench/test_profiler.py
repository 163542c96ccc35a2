from time import sleep

import pytest

from sv3dgen.bench.profiler import part, profiled, times


@part("descent")
def descend(levels: int) -> None:
    sleep(0.01)
    if levels:
        descend(levels - 1)


def test_inner_seconds_are_not_counted_twice():
    with profiled():
        with part("outer"):
            sleep(0.02)
            with part("inner"):
                sleep(0.05)
    assert times()["inner"].seconds >= 0.05
    assert 0.02 <= times()["outer"].seconds < 0.045
    assert list(times()) == ["inner", "outer"]


def test_recursion_counts_every_call_and_each_second_once():
    with profiled():
        descend(2)
    assert times()["descent"].calls == 3
    assert 0.03 <= times()["descent"].seconds < 0.1


def test_an_exception_closes_its_part():
    with profiled():
        with part("outer"):
            with pytest.raises(KeyError), part("broken"):
                raise KeyError
        with part("outer"):
            pass
    assert times()["outer"].calls == 2


def test_nothing_is_booked_while_off():
    with profiled():
        pass
    with part("unseen"):
        pass
    assert times() == {}
