"""The local app as a process of its own, and a tab of it in the browser."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT

STARTED = re.compile(r"(http://127\.0\.0\.1:\d+)")
NEEDS_APP = "needs gradio, which the app extra brings"


@contextmanager
def running_app(runs: Path, *options: str) -> Iterator[str]:
    """The app over a folder of runs; gives its address."""
    command = [sys.executable, "-m", "sv3dgen.app", "--port", "0", "--runs", str(runs), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = STARTED.search(process.stdout.readline())
        assert found is not None, "the app did not start"
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(90) == 130  # as after Ctrl+C
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail("the app did not end")
        assert process.stdout is not None
        process.stdout.close()


@dataclass
class Tab:
    """A tab of the app, what it asked for besides the app, and the errors of its scripts."""

    page: Any
    address: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def drop(self, where: str, *files: Path) -> None:
        """Drop files where the page takes them: photo, film or folder."""
        self.page.set_input_files(f"#{where} input[type=file]", [str(file) for file in files])

    def wait_for_run(self, state: str, seconds: float = 30) -> None:
        """Until the run that is shown is waiting, running, finished, stopped or failed."""
        self.page.wait_for_selector(f".run-{state}", timeout=seconds * 1000)


@contextmanager
def tab(started: Any, address: str, path: str = "/", *, width_px: int = 1280, height_px: int = 1000) -> Iterator[Tab]:
    """The app in a new tab of the browser (`browser.browser`), open and ready."""
    context = started.new_context(viewport={"width": width_px, "height": height_px}, accept_downloads=True)
    found = Tab(context.new_page(), address)
    inside = (address, "data:", "blob:")
    found.page.on("request", lambda one: None if one.url.startswith(inside) else found.requests.append(one.url))
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    found.page.goto(address + path)
    found.page.wait_for_selector("#photo input[type=file]", state="attached", timeout=60_000)
    try:
        yield found
    finally:
        context.close()
