"""Pictures for docs/ of what people see: `python tests/helpers/screenshots.py RUN SWEEP docs/pictures [WHAT]`.

WHAT is one or more of report, app, view, site (default: all). The app's and the live view's are of runs that this
starts (some minutes); the site's needs the extra `docs`.
"""

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app_case import running_app, tab
from browser import browser, opened
from checkout import ROOT
from PIL import Image

from sv3dgen.report.page import rewrite_report
from sv3dgen.report.sweep import write_sweep_report

REPORTS = (  # name, whether of the sweep, width, whether dark, height
    ("report", False, 1200, False, 1400),
    ("report_phone", False, 390, True, 1150),
    ("sweep", True, 1200, False, 1050),
)
PHOTO = ROOT / "examples" / "photos" / "truck.png"


def main(run: Path, sweep: Path, out: Path, *chosen: str) -> None:
    """Open the pages, and keep what is seen of each."""
    out.mkdir(parents=True, exist_ok=True)
    with browser() as started:
        if not chosen or "report" in chosen:
            _reports(started, run, sweep, out)
        for what, shoot in SHOTS.items():
            if not chosen or what in chosen:
                shoot(started, out)


def _reports(started: Any, run: Path, sweep: Path, out: Path) -> None:
    pages = {False: rewrite_report(run), True: write_sweep_report(sweep)}
    for name, of_sweep, width_px, dark, height_px in REPORTS:
        page = pages[of_sweep]
        assert page is not None, f"expected a run in {run}, and a sweep in {sweep}"
        with opened(started, page, width_px=width_px, dark=dark) as found:
            found.page.set_viewport_size({"width": width_px, "height": height_px})
            found.wait_for_meshes(found.page.locator("model-viewer").count())
            for viewer in found.page.locator("model-viewer").all():
                viewer.evaluate("viewer => { viewer.cameraOrbit = '40deg 70deg 95%'; viewer.jumpCameraToGoal(); }")
            found.page.wait_for_timeout(2000)
            _keep(found.page, out / f"{name}.webp")


def _app(started: Any, out: Path) -> None:
    """From a photo that is none to a mesh."""
    with tempfile.TemporaryDirectory() as runs, running_app(Path(runs)) as address:
        with tab(started, address, width_px=1200, height_px=900) as found:
            page = found.page
            page.wait_for_timeout(1500)
            _keep(page, out / "app_start.webp")
            (Path(runs) / "holiday.jpg").write_text("no picture")
            found.drop("photo", Path(runs) / "holiday.jpg")
            page.locator("#told").get_by_text("not an image").wait_for()
            _keep(page, out / "app_error.webp")
        with tab(started, address, width_px=1200, height_px=900) as found:
            page = found.page
            found.drop("photo", PHOTO)
            page.locator("#cutout canvas").first.wait_for()
            page.get_by_label("A first look").check()
            page.get_by_role("button", name="Make a mesh of the photo").click()
            page.wait_for_function(  # the fine stage is at work, or over
                "document.querySelectorAll('.run .bar')[2]?.classList.contains('at-work') "
                "&& document.querySelector('.run .preview') || document.querySelector('.run-finished')",
                timeout=600_000,
            )
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(1000)
            _keep(page, out / "app_work.webp")
            found.wait_for_run("finished", 600)
            page.frame_locator("iframe.report").locator("html[data-shown]").wait_for(timeout=60_000)
            page.wait_for_timeout(2000)
            page.set_viewport_size({"width": 1200, "height": 1250})
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(1000)
            _keep(page, out / "app_done.webp")


def _view(started: Any, out: Path) -> None:
    """The live view in the fine stage, paused, with the cameras."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "launch.py"), f"views={ROOT}/examples/tugboat", "preset=draft"]
        command += ["viewer=true", "viewer_port=0", f"hydra.run.dir={folder}/run", "export=draft"]
        run, address = subprocess.Popen(command, cwd=folder), Path(folder) / "run" / "viewer.url"
        try:
            while not address.is_file():
                assert run.poll() is None, "the run has ended"
                time.sleep(0.2)
            page = started.new_page(viewport={"width": 1200, "height": 800})
            page.goto(address.read_text())
            page.get_by_text("fine").first.wait_for(timeout=600_000)
            page.wait_for_timeout(2000)
            page.get_by_role("button", name="Pause").click()
            page.get_by_label("Cameras").first.click()
            page.mouse.move(300, 500)
            page.mouse.wheel(0, 700)
            page.wait_for_timeout(6000)
            for notice in page.locator(".mantine-Notification-closeButton").all():
                notice.click()
            page.wait_for_timeout(1000)
            _keep(page, out / "live_view.webp")
            page.get_by_role("button", name="Finish now").click()
            run.wait(600)
        finally:
            run.kill()


def _site(started: Any, out: Path) -> None:
    """The first page of docs/ as a site."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder], cwd=ROOT, check=True)
        context = started.new_context(viewport={"width": 1200, "height": 800}, offline=True)
        page = context.new_page()
        page.goto((Path(folder) / "index.html").as_uri())
        page.wait_for_timeout(1000)
        _keep(page, out / "site.webp")
        context.close()


def _keep(page: Any, path: Path) -> None:
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, quality=80)
    print(path)


SHOTS: dict[str, Callable[[Any, Path], None]] = {"app": _app, "view": _view, "site": _site}

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
