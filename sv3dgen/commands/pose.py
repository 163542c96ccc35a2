"""Plain photos of an object to posed views: `python -m sv3dgen.pose PHOTOS --out FOLDER`.

Cameras are found by structure from motion, the object is cut out of each photo, and FOLDER holds both as posed views
for `views=FOLDER`. A run on such photos does this by itself; here it is looked at, and corrected, before one.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from sv3dgen.cli.command import SEED, OneLineParser, exit_status
from sv3dgen.cli.input_check import MATTING
from sv3dgen.errors import InputError
from sv3dgen.views.unposed import check_unposed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""

    def command() -> int:
        options = _parser().parse_args(arguments)
        if not options.photos.is_dir():
            raise InputError(f"{options.photos}: expected a folder of photos")
        if options.out.exists() and not options.out.is_dir():
            raise InputError(f"{options.out}: expected a folder for the views, but it is a file")
        check_unposed(options.photos)
        from sv3dgen.sfm.pose_photos import pose_photos  # imports torch, which takes seconds

        logging.basicConfig(level=logging.INFO, format="%(message)s")
        pose_photos(options.photos, options.out, matting=options.matting, turned=options.turned, seed=options.seed)
        return 0

    return exit_status(command, "sv3dgen.pose")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.pose", description="Plain photos of an object to posed views.")
    parser.add_argument(
        "photos",
        type=Path,
        help="folder of 8 to 400 photos from all around; 30 to 80 are enough (formats: docs/inputs.md)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--matting", choices=MATTING, default="auto", help="how the object is cut out (default: auto)")
    parser.add_argument(
        "--turned", action="store_true", help="the object was turned, the camera stood still: look at the object alone"
    )
    parser.add_argument("--seed", type=SEED, default=0, help="of what is drawn at random (default: 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
