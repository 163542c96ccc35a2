"""Settings as they are typed: how long they may be."""

import pytest

from sv3dgen.cli.overrides import MAX_CHOICES, choices_of, commands, parse
from sv3dgen.errors import InputError


def test_a_sweep_over_many_long_names_is_none_too_long():
    names = [f"captures/a_folder_with_quite_a_long_name_for_all_of_its_photos_{number:03d}" for number in range(80)]
    assert len(",".join(names)) > 4000
    assert choices_of(parse(f"views={','.join(names)}")) == [f"views={name}" for name in names[:MAX_CHOICES]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"views=a,{'x' * 5000}", "views=a,xxx.*5000 letters, expected a setting of at most 4000"),
        (f"seed={'1,' * 40_000}1", "80006 letters, expected a setting of at most 64000"),
        (f"seed={'[' * 1900}{']' * 1900}", "expected key=value"),
    ],
)
def test_what_is_too_long_or_too_deep_is_refused(text, told):
    with pytest.raises(InputError, match=told):
        parse(text)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["seed=range(0,1000000000)"], "a sweep of 1000000000 runs; expected at most 10000"),
        (["seed=shuffle(range(0,100000000))"], "a sweep of 100000000 runs"),
        (["rate=range(0,1,1e-12)"], "a sweep of 1000000000000 runs"),
        (["seed=range(0,200)", "faces=range(0,100)"], "faces=range.*: a sweep of 20000 runs"),
        ([f"seed={','.join(map(str, range(10_001)))}"], "a sweep of 10001 runs"),
        (["seed=range(0,10,0)"], "expected a step that is not 0"),
        (["rate=range(0.0,1.0,0)"], "expected a step that is not 0"),
        (["seed=range(0,nan)"], "expected a range of finite numbers"),
        (["seed=range(0,inf)"], "expected a range of finite numbers"),
        (["seed=range(0,1,nan)"], "expected a range of finite numbers"),
        (["seed=range(10,0)"], "no value to sweep over"),
    ],
)
def test_a_sweep_without_end_is_refused_before_it_is_listed(settings, told):
    with pytest.raises(InputError, match=told):
        list(commands(settings, sweeping=True))


@pytest.mark.parametrize("setting", ["seed=range(0,1000000000)", "seed=1,2", "seed=choice(1,2)"])
def test_several_values_without_a_sweep_are_told_to_need_one(setting):
    with pytest.raises(InputError, match="several values need -m"):
        list(commands([setting], sweeping=False))


def test_ranges_are_swept():
    assert list(commands(["seed=range(0,3)", "rate=range(0,1,0.5)"], sweeping=True)) == [
        ["seed=0", "rate=0.0"],
        ["seed=1", "rate=0.0"],
        ["seed=2", "rate=0.0"],
        ["seed=0", "rate=0.5"],
    ]
