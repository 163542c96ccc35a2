"""How commands end: their own status, a user's mistake in one line, the file system's refusal, an interruption."""

import subprocess
import sys
from importlib import import_module

import pytest
from checkout import ROOT

from sv3dgen.cli.command import OneLineParser, exit_status, within
from sv3dgen.errors import InputError


def raising(error: BaseException):
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("a.glb: no such\nfile"), 2, "sv3dgen.x: a.glb: no such file\n"),
        (OSError(28, "No space left on device", "out.npy"), 2, "sv3dgen.x: out.npy: No space left on device\n"),
        (BrokenPipeError(32, "Broken pipe"), 2, "sv3dgen.x: writing: Broken pipe\n"),  # of another program's stdin
        (OSError("odd"), 2, "sv3dgen.x: writing: odd\n"),
        (KeyboardInterrupt(), 130, "stopped for now\n"),
    ],
)
def test_mistakes_are_one_line(error, status, line, capsys):
    assert exit_status(raising(error), "sv3dgen.x", stopped="stopped for now") == status
    assert capsys.readouterr().err == line


def test_its_own_status_and_our_own_mistakes_come_through():
    assert exit_status(lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 // 0)


def test_parser_tells_in_one_line():
    with pytest.raises(InputError, match="--out.*see python -m x --help"):
        parser = OneLineParser(prog="python -m x")
        parser.add_argument("--out", required=True)
        parser.parse_args([])


@pytest.mark.parametrize(
    "name",
    [
        "bench.__main__",
        "cache_latents",
        "doctor",
        "evaluate",
        "evaluate_nvs",
        "render",
        "render_dataset",
        "sv3d.parity.__main__",
    ]
    + ["settings", "table"],
)
def test_every_command_tells_of_an_option_that_it_does_not_have_in_one_line(name, capsys):
    assert import_module(f"sv3dgen.{name}").main(["--no-such-option"]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and "--help" in told.err and not told.out


@pytest.mark.parametrize("given", ["nan", "inf", "-1", "4097", "1" * 400, "1" * 5000, "1.5", "", "x"])
def test_numbers_out_of_their_domain_are_one_line(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = OneLineParser(prog="x")
    parser.add_argument("--side", type=within(0, 4096))
    assert parser.parse_args(["--side", "4096"]).side == 4096

    def command() -> int:
        parser.parse_args([f"--side={given}"])
        return 0

    assert exit_status(command) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "--side" in told and "expected a whole number, 0 to 4096" in told


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("render", [__file__, "--orbit", "static", "--out", "x", "--seed", "1" * 400]),
        ("render", [__file__, "--orbit", "static", "--out", "x", "--size-px", "1" * 400]),
        ("render_dataset", ["--out", "x", "--procedural", "1" * 400]),
        ("evaluate", ["--pred", "m.glb", "--gt", "m.glb", "--seed", "-1"]),
        ("evaluate", ["--pred", "m.glb", "--gt", "m.glb", "--yaw-deg", "nan"]),
        ("evaluate", ["--pred", "m.glb", "--gt", "m.glb", "--elevation-deg", "inf"]),
        ("evaluate_nvs", ["--weights", "w", "--data", ".", "--steps", "0"]),
        ("pose", [".", "--out", "x", "--seed", "-1"]),
        ("table", [".", "--size-px", "0"]),
    ],
)
def test_commands_refuse_numbers_that_mean_nothing(
    module: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_module(f"sv3dgen.{module}").main(options) == 2
    assert capsys.readouterr().err.count("\n") == 1


_PRINTS = "from sv3dgen.cli.command import exit_status; "


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["launch.py", "--help"], 0),
        (["-m", "sv3dgen.settings"], 141),
        (["-c", f"{_PRINTS}exit(exit_status(lambda: print('a' * 10**6, flush=True)))"], 141),
        (["-c", f"{_PRINTS}exit(exit_status(lambda: print('a', flush=True)))"], 141),
    ],
)
def test_output_that_nobody_reads_on_is_no_error(command: list[str], status: int) -> None:
    """`| head` leaves before the end."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert (process.communicate()[1], process.returncode) == ("", status)
