"""JSON and YAML of strangers: whatever is wrong with them is a ValueError."""

import pytest

from sv3dgen.documents.json_text import parse_json
from sv3dgen.documents.yaml_text import parse_yaml


def test_what_they_hold() -> None:
    assert parse_json(b'{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    assert parse_yaml("a: [1, 2.5, null]") == {"a": [1, 2.5, None]}
    assert parse_json('{"a": 1}', object_pairs_hook=list) == [("a", 1)]


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe{", "[" * 100_000, '{"a":' * 100_000, "1" * 5000])
def test_json_that_is_none(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.parametrize(
    "text", ["{", "[" * 5000, "2024-99-99", "!!float x", "!!python/object:os.x {}", "\0", "? [a]\n: 1"]
)
def test_yaml_that_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_yaml(text)
