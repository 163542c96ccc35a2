"""`python -m sv3dgen.app`: a page of this machine on which a photo, a film or a folder becomes a mesh."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.cli.extras import is_installed
from sv3dgen.errors import InputError
from sv3dgen.runs.progress_file import PREVIEW
from sv3dgen.runs.stopping import Stopped, handled, raise_stopped
from sv3dgen.viewer.ports import free_port


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 2 for something the user has to fix, 130 after Ctrl+C, 128 + its number after another signal."""
    try:
        with handled(raise_stopped, _ending()):
            return exit_status(lambda: _run(_parser().parse_args(arguments)), "sv3dgen.app")
    except Stopped as stopped:
        return stopped.status


def _ending() -> tuple[signal.Signals, ...]:
    """The signals that end the app besides Ctrl+C's: that of `kill`, and that of a terminal that is closed."""
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none; nohup has it ignored
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, hangup)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.app", description=__doc__)
    parser.add_argument("--port", type=int, default=7860, help="of 127.0.0.1; 0: one that is free")
    parser.add_argument("--runs", type=Path, default=Path("outputs"), help="folder of runs, new and past")
    parser.add_argument("--weights", type=Path, help="of SV3D: a .safetensors file or a folder; default: SV3D-tiny")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.weights is not None and not options.weights.exists():
        raise InputError(f"--weights {options.weights}: no such file, expected SV3D's weights")
    if options.runs.exists() and not options.runs.is_dir():
        raise InputError(f"--runs {options.runs}: expected a folder, but it is a file")
    port = free_port(options.port, "--port")
    if not is_installed("gradio"):
        raise InputError('it needs gradio: pip install -c constraints.txt -e ".[app]"')
    with tempfile.TemporaryDirectory(prefix="sv3dgen-app-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # read when gradio is imported; gone with the app
        from sv3dgen.app.past_runs import PREVIEW as preview_name
        from sv3dgen.app.run_queue import RunQueue
        from sv3dgen.app.server import build_app, serve  # imports gradio, which takes seconds

        os.environ[PREVIEW] = preview_name  # asks runs for a picture of how far they are
        runs = RunQueue(options.runs.resolve())
        app = build_app(runs, inputs=runs.folder / ".inputs", weights=options.weights, port=port)
        try:  # uvicorn raises the signal that has ended it once more
            serve(app, port, lambda: print(f"http://127.0.0.1:{port} (Ctrl+C ends the app)", flush=True))
        finally:
            runs.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
