"""`python -m sv3dgen.report FOLDER`: write the page of a run, or of a sweep, anew."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 for something the user has to fix."""
    return exit_status(lambda: _write(_parser().parse_args(arguments).folder), "sv3dgen.report")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.report", description=__doc__)
    parser.add_argument("folder", type=Path, help="of a run, or of a sweep")
    return parser


def _write(folder: Path) -> int:
    if not folder.is_dir():
        raise InputError(f"{folder}: expected the folder of a run, or of a sweep")
    from sv3dgen.report.page import rewrite_report  # only now: what is refused needs none of it
    from sv3dgen.report.sweep import write_sweep_report

    page = rewrite_report(folder) or write_sweep_report(folder)
    if page is None:
        raise InputError(f"{folder}: no run.json here or below, expected the folder of a run, or of a sweep")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
