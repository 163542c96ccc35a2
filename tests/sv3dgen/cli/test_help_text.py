"""The page of `launch.py --help`."""

import time

import pytest
from checkout import ROOT

from sv3dgen.cli.command_line import checked_arguments, register_resolvers
from sv3dgen.cli.help_text import help_text
from sv3dgen.errors import InputError


@pytest.fixture(scope="module")
def page() -> str:
    register_resolvers()
    return help_text([], ROOT)


def test_the_page_says_what_each_setting_does_and_may_be(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = " ".join(page.split())
    assert "export.faces=25000 within 2 %; a surface that has fewer keeps them [whole number from 100 to" in words
    assert "views=null posed views: a folder with transforms.json" in words
    assert "coarse.geometry.levels=8 of the grid" in words  # said in the file that the CPU's sizes build on
    assert "export.formats=[glb, obj]" in words and "[a list of one of glb, obj, ply, stl, 3mf, usdz]" in words
    assert "* cpu The same method at sizes a laptop without a GPU can carry" in words
    assert "_target_" not in page and "$CONFIG" not in page and "$APP" not in page


def test_what_a_run_is_given_comes_first(page: str) -> None:
    assert page.index("\nviews=null") < page.index("\nseed=0") < page.index("\ncoarse.geometry.levels")


def test_lines_fit_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    register_resolvers()
    told = help_text(["preset=paper", "seed=1,2"], ROOT).splitlines()
    assert all(len(line) <= 80 or "=" in line.split()[0] for line in told if line.startswith(" " * 4))
    assert any("coarse.geometry.levels=16" in line for line in told)


def test_the_page_takes_no_longer_than_composing_twice(page: str) -> None:
    started = time.process_time()
    help_text([], ROOT)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "word, meant",
    [
        ("photo.png", "image=photo.png"),
        ("a photo.JPG", "image=a photo.JPG"),
        ("film.mp4", "views=film.mp4"),
        ("toy", "views=toy"),
        ("run", "resume=run"),
        ("sv3d_p.safetensors", "weights=sv3d_p.safetensors"),
    ],
)
def test_a_bare_name_is_told_as_the_setting_it_is(tmp_path, monkeypatch, word: str, meant: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(InputError) as refusal:
        checked_arguments([word], ROOT)
    assert str(refusal.value) == f"{word}: expected key=value; did you mean {meant}?"
