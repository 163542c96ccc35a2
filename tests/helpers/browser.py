"""Pages in the Chromium that is installed, without the network and held to account for what they ask for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A graphics card drawn by the processor, and no sandbox, which containers forbid.
OPTIONS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
WIDGETS = {"button", "radio", "slider", "link", "checkbox", "textbox", "combobox", "DisclosureTriangle", "Video"}


@dataclass
class Opened:
    """A page, what it asked for besides itself, and what went wrong on it."""

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def wait_for_meshes(self, count: int = 1) -> None:
        """Until so many meshes are shown."""
        for shown in range(count, count + 9):  # a look that needs the mesh anew counts on
            if self.page.locator(f'html[data-shown="{shown}"]').count():
                return
        self.page.wait_for_selector(f'html[data-shown="{count}"]', timeout=60_000)

    def nameless_controls(self) -> list[str]:
        """Controls, pictures and films that a screen reader has no name for."""
        tree = self.page.context.new_cdp_session(self.page).send("Accessibility.getFullAXTree")["nodes"]
        return [
            str(node.get("role", {}).get("value"))
            for node in tree
            if not node.get("ignored")
            and node.get("role", {}).get("value") in {*WIDGETS, "image", "img", "graphics-document"}
            and not node.get("name", {}).get("value", "").strip()
        ]


def browser_path() -> str:
    """The browser; a test without one is skipped, and says so."""
    pytest.importorskip("playwright", reason="needs playwright, which the dev extra brings")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """The browser, running."""
    path = browser_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=list(OPTIONS))
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(started: Any, file: Path, *, width_px: int = 1000, dark: bool = False) -> Iterator[Opened]:
    """A file in the browser, as by a double-click, with the network gone."""
    scheme = "dark" if dark else "light"
    context = started.new_context(viewport={"width": width_px, "height": 700}, color_scheme=scheme, offline=True)
    found = Opened(context.new_page())
    own = file.resolve().as_uri()
    inside = ("data:", "blob:")
    found.page.on("request", lambda one: None if one.url.startswith(inside) else found.requests.append(one.url))
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    found.page.on("console", lambda line: found.errors.append(line.text) if line.type == "error" else None)
    found.page.goto(own)
    assert found.requests == [own]
    found.requests.clear()
    try:
        yield found
    finally:
        context.close()
