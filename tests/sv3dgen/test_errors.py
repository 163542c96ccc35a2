"""One line of what may hold anything."""

from sv3dgen.errors import one_line


def test_codes_and_breaks_are_not_obeyed() -> None:
    assert one_line("a\nb \x1b[31mc") == "a b ?[31mc"


def test_what_is_quoted_without_end_is_cut_in_the_middle() -> None:
    line = one_line(f"file.json: `x` is {'y' * 10**6}, expected a number")
    assert len(line) < 2100 and line.startswith("file.json: `x` is yy") and line.endswith("yy, expected a number")
