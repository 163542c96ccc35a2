"""The app's end, by Ctrl+C and by `kill`: the run at work ends with it. Its server is a stand-in, as is launch.py."""

import os
import signal
import subprocess
import sys
import time

import pytest
from checkout import ROOT

LAUNCH = """
import os, sys, time
from pathlib import Path
from sv3dgen.runs.stopping import handled, raise_stopped
with handled(raise_stopped):
    Path(sys.argv[0]).with_suffix(".pid").write_text(str(os.getpid()))
    time.sleep(60)
"""
# As uvicorn does: the signal ends the server, and is raised once more when it has ended.
APP = """
import signal, sys, time
from pathlib import Path
from types import ModuleType
from sv3dgen.cli import library

place = Path(sys.argv[1])
library.LAUNCH = place / "launch.py"
server, sys.modules["gradio"] = ModuleType("server"), ModuleType("gradio")

def serve(runs, port, started):
    got = []
    before = {number: signal.signal(number, lambda n, _: got.append(n)) for number in (signal.SIGINT, signal.SIGTERM)}
    runs.submit("views", place, (), "toy")
    started()
    while not got:
        time.sleep(0.02)
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.raise_signal(got[0])

server.build_app, server.serve = lambda runs, **_: runs, serve
sys.modules["sv3dgen.app.server"] = server
from sv3dgen.app.__main__ import main
sys.exit(main(["--port", "0", "--runs", str(place / "runs")]))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_run_at_work_ends_with_the_app(number, status, tmp_path):
    (tmp_path / "launch.py").write_text(LAUNCH)
    (tmp_path / "uploads").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "uploads")}
    app = subprocess.Popen([sys.executable, "-c", APP, str(tmp_path)], env=environment, stdout=subprocess.PIPE)
    try:
        own, deadline = tmp_path / "launch.pid", time.monotonic() + 30
        while not (own.is_file() and own.read_text()):
            assert time.monotonic() < deadline and app.poll() is None
            time.sleep(0.02)
        app.send_signal(number)
        assert app.wait(30) == status
    finally:
        app.kill()
        app.communicate()
    with pytest.raises(ProcessLookupError):
        os.kill(int(own.read_text()), 0)
    assert list((tmp_path / "uploads").iterdir()) == []  # among them the folder of what was dropped
