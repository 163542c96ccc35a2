"""The numbers that a damaged table still holds."""

from pathlib import Path

import pytest

from sv3dgen.runs.number_rows import number_rows

WHOLE = b"coarse/rgb,step\n0.5,50\n0.25,100\n"
ROWS = [{"coarse/rgb": 0.5, "step": 50}, {"coarse/rgb": 0.25, "step": 100}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (WHOLE, ROWS),
        (WHOLE + b"0.12", ROWS),
        (WHOLE + b"nan,inf\n", ROWS),
        (WHOLE + b"x,y,z\n\x00\xff,\n", ROWS),
        (b"\xffcoarse/rgb,step\n0.5,50\n", [{"\ufffdcoarse/rgb": 0.5, "step": 50}]),
        (b"step\n" + b"9" * 5000 + b"\n", []),
        (b'step\n"' + b"9\n" * 200_000, []),
        (b"", []),
    ],
)
def test_what_is_no_number_is_left_out(content: bytes, expected: list, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    rows = number_rows(tmp_path / "metrics.csv")
    assert rows == expected and all(type(row["step"]) is int for row in rows)


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert number_rows(tmp_path / "metrics.csv") == []


def test_what_is_not_finite_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(WHOLE + b"nan,150\n-inf,200\nx,250\n")
    rows = number_rows(tmp_path / "metrics.csv", finite=False)
    assert [str(row.get("coarse/rgb")) for row in rows] == ["0.5", "0.25", "nan", "-inf", "None"]
