"""Settings as they are typed: how long they may be."""

import pytest

from sv3dgen.cli.overrides import MAX_CHOICES, choices_of, parse
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
