"""Pictures for docs/ of a run's page and a sweep's: `python tests/helpers/screenshots.py RUN SWEEP docs/pictures`."""

import io
import sys
from pathlib import Path

from browser import browser, opened
from PIL import Image

from sv3dgen.report.page import rewrite_report
from sv3dgen.report.sweep import write_sweep_report

SHOTS = (  # name, whether of the sweep, width, whether dark, height
    ("report", False, 1200, False, 1400),
    ("report_phone", False, 390, True, 1150),
    ("sweep", True, 1200, False, 1050),
)


def main(run: Path, sweep: Path, out: Path) -> None:
    """Write the pages anew, open them, and keep what is seen of each."""
    pages = {False: rewrite_report(run), True: write_sweep_report(sweep)}
    out.mkdir(parents=True, exist_ok=True)
    with browser() as started:
        for name, of_sweep, width_px, dark, height_px in SHOTS:
            page = pages[of_sweep]
            assert page is not None, f"expected a run in {run}, and a sweep in {sweep}"
            with opened(started, page, width_px=width_px, dark=dark) as found:
                found.page.set_viewport_size({"width": width_px, "height": height_px})
                found.wait_for_meshes(found.page.locator("model-viewer").count())
                for viewer in found.page.locator("model-viewer").all():
                    viewer.evaluate("viewer => { viewer.cameraOrbit = '40deg 70deg 95%'; viewer.jumpCameraToGoal(); }")
                found.page.wait_for_timeout(2000)
                shot = Image.open(io.BytesIO(found.page.screenshot()))
                shot.convert("RGB").save(out / f"{name}.webp", quality=80)
                print(out / f"{name}.webp")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
