"""JSON and YAML of strangers: whatever is wrong with them is a ValueError."""

from pathlib import Path

import pytest

from sv3dgen.documents.json_text import parse_json, read_object
from sv3dgen.documents.yaml_text import parse_yaml
from sv3dgen.errors import InputError


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


def test_aliases_of_aliases_are_not_written_out() -> None:
    """Nine lines that stand for 10^9 words, a long word many times over, and a list that is in itself."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]
    merged = [
        "a0: &a0 {x: 1}",
        *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], y{n}: 1}}" for n in range(1, 8)),
    ]
    for text in (
        "\n".join(lines),
        "\n".join(merged),
        f"a: &a {'x' * 10_000}\nb: [{', '.join(['*a'] * 1000)}]",
        "a: &a [*a]",
    ):
        with pytest.raises(ValueError, match="aliases without end"):
            parse_yaml(text)
    assert parse_yaml("a: &a {b: 1}\nc: [*a, *a]\nd: {<<: *a}") == {"a": {"b": 1}, "c": [{"b": 1}] * 2, "d": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "not JSON"), ("[1]", "holds a list"), ("\xff", "not JSON"), (None, "cannot be read")],
)
def test_a_file_without_an_object_is_refused_by_name(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as refusal:
        read_object(path, "the key of a door")
    told = str(refusal.value)
    assert told.startswith(f"{path}: {says}") and "expected the key of a door" in told and "\n" not in told
    path.write_text('{"a": 1}')
    assert read_object(path) == {"a": 1}
