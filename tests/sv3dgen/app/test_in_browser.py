"""The app in a browser: from a dropped file to a sentence, and from a dropped photo to a mesh."""

import json
import re
import zipfile

import pytest
from app_case import NEEDS_APP, running_app, tab
from browser import browser
from checkout import ROOT
from PIL import Image

HOSTILE = '<img src=x onerror="document.title=1">'
SVG = f"<svg xmlns='http://www.w3.org/2000/svg' onload='document.title=1'>{HOSTILE}</svg>"
PHOTO = ROOT / "examples" / "photos" / "truck.png"


@pytest.mark.thorough
def test_a_bad_photo_gives_a_sentence_and_a_hostile_one_does_nothing(tmp_path):
    pytest.importorskip("gradio", reason=NEEDS_APP)
    bad = {f"{HOSTILE.replace('/', '')}.png": SVG, "cut.jpg": "\xff\xd8\xff no more", "drawing.svg": SVG}
    with running_app(tmp_path / "runs") as address, browser() as started, tab(started, address) as found:
        page, told = found.page, found.page.locator("#told")
        assert "Apache-2.0" in page.locator("#licence").inner_text()
        page.get_by_role("button", name="Make a mesh of the photo").click()
        page.get_by_text("drop a photo first").wait_for()
        for name, content in bad.items():
            (tmp_path / name).write_bytes(content.encode("latin-1"))
            found.drop("photo", tmp_path / name)
            told.get_by_text(re.compile("not an image|damaged")).wait_for()
            assert str(tmp_path) not in page.content() and "Traceback" not in page.content()
            page.locator("#photo button[aria-label*=lear], #photo button[aria-label*=emove]").first.click()
            page.wait_for_selector("#photo input[type=file]", state="attached")
            told.get_by_text(re.compile("not an image|damaged")).wait_for(state="detached")
        assert page.title() == "sv3dgen" and page.locator("#told img").count() == 0
        found.drop("photo", PHOTO)
        page.locator("#cutout canvas").first.wait_for()
        page.goto(f"{address}/?run=toy/none")
        page.get_by_text("There is no run called toy/none").wait_for()
        assert found.requests == []
        found.errors[:] = [
            line for line in found.errors if "Method not implemented" not in line
        ]  # of the drawing board
        assert found.errors == []


@pytest.mark.thorough
def test_from_a_photo_to_a_mesh_in_two_tabs_of_which_one_is_closed(tmp_path):
    pytest.importorskip("gradio", reason=NEEDS_APP)
    with running_app(tmp_path / "runs") as address, browser() as started:
        with tab(started, address) as first:
            first.drop("photo", PHOTO)
            first.page.locator("#cutout canvas").first.wait_for()
            first.page.get_by_label("A first look").check()
            first.page.get_by_role("button", name="Make a mesh of the photo").click()
            first.wait_for_run("running")
            first.page.wait_for_function("location.search.includes('truck')")
            address_of_run = first.page.url.removeprefix(address)
        with tab(started, address) as other:  # of another object; it waits for the first
            picture = Image.new("RGBA", (96, 96))
            picture.paste((180, 30, 20, 255), (30, 20, 66, 60))
            picture.save(tmp_path / "box.png")
            other.drop("photo", tmp_path / "box.png")
            other.page.locator("#cutout canvas").first.wait_for()
            other.page.get_by_role("button", name="Make a mesh of the photo").click()
            other.wait_for_run("waiting")
            assert "box/" in other.page.locator(".run .key").inner_text()
            other.page.get_by_role("button", name="Cancel").click()
            other.wait_for_run("stopped")
        with tab(started, address, address_of_run) as again:  # the tab that was closed
            again.page.locator(".run .preview").wait_for(timeout=400_000)
            again.wait_for_run("finished", 400)
            assert "truck/" in again.page.locator(".run .key").inner_text()
            shown = again.page.frame_locator("iframe.report")
            shown.locator("html[data-shown]").wait_for(timeout=60_000)
            with again.page.expect_download() as taken:
                again.page.get_by_text("Download all as a zip").click()
            with zipfile.ZipFile(taken.value.path()) as archive:
                assert {"truck/mesh/mesh.glb", "truck/report.html"} <= set(archive.namelist())
                assert json.loads(archive.read("truck/result.json"))["exit"] == "finished"
            assert again.requests == []
        with tab(started, address) as last:
            last.page.get_by_role("button", name="Past runs").click()
            last.page.get_by_label("Past runs, the newest first").click()
            last.page.get_by_role("option").first.click()
            last.wait_for_run("finished")
    assert len(list((tmp_path / "runs").glob("*/*/run.json"))) == 1
