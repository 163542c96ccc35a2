"""The page of a run, as text."""

import io
import os
import re
import sys
from html.parser import HTMLParser

import pytest
import yaml
from PIL import Image
from report_case import FROM_ABOVE, small_run

from sv3dgen.errors import InputError
from sv3dgen.report.page import rewrite_report, write_report
from sv3dgen.runs.run_folder import RunCard


class Elements(HTMLParser):
    """The links, the sources of pictures and films, and the words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.headings: list[str] = []
        self.tags: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.tags.append(tag)
        for name, value in attrs:
            if name == "href" and value:
                self.links.append(value)
            elif name == "src" and value:
                self.sources.append(value)

    def handle_data(self, data: str) -> None:
        if self._open in ("h1", "h2", "title") and data.strip():
            self.headings.append(data.strip())


def test_page_shows_what_is_there_and_holds_it(tmp_path, posed_views):
    card = small_run(tmp_path / "toy" / "now", posed_views, light=FROM_ABOVE)
    text = write_report(tmp_path / "toy" / "now", card.as_finished()).read_text(encoding="utf-8")
    page = Elements(text)
    assert "toy, now – sv3dgen" in page.headings and "Curves" in page.headings and "What it took" in page.headings
    assert page.sources and all(source.startswith("data:") for source in page.sources)
    assert "mesh/mesh.glb" in page.links and "weights/model.safetensors" not in page.links
    assert "Light as fitted" in text and "coarse: losses" in text and "PSNR, dB" in text
    assert "python launch.py views=toy" in text and "GiB" in text and not re.search(r"\d GB\b", text)


def test_page_of_views_alone_has_no_mesh_and_no_viewer(tmp_path):
    card = RunCard.begin(tmp_path / "now", config={}, seed=0)
    text = write_report(tmp_path / "now", card.card).read_text(encoding="utf-8")
    assert "model-viewer" not in text and "unfinished" in text and len(text) < 40_000


def test_what_others_wrote_is_text(tmp_path, posed_views):
    hostile = "</script><script>alert(1)</script>"
    folder = tmp_path / "now"
    card = small_run(folder, posed_views, name=hostile, settings=(f"views={hostile}",))
    plain = len(Elements(write_report(folder, card.card).read_text(encoding="utf-8")).tags)
    card.add_note(hostile, f'"{hostile}')
    card.add_metrics(**{hostile: hostile})
    card.card["warnings"].append(f"{hostile}: expected another")
    card.card["fit"] = {hostile: hostile}
    card.card["decision"] = {hostile: hostile}
    text = write_report(folder, card.card).read_text(encoding="utf-8")
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
    assert len(Elements(text).tags) < plain + 40  # rows of tables, no more


@pytest.mark.parametrize("ended", ["finished", "stopped", "unfinished"])
def test_page_says_how_the_run_ended(tmp_path, ended):
    card = RunCard.begin(tmp_path, config={}, seed=0)
    with card.stage("fine"):
        pass
    if ended == "stopped":
        card.stop("fine", 20, 60)
    text = write_report(tmp_path, card.as_finished() if ended == "finished" else card.card).read_text(encoding="utf-8")
    assert f'class="chip {ended}"' in text
    assert ("in fine, at step 20 of 60" in text) == (ended == "stopped")
    assert (f"To go on: resume={tmp_path}" in text) == (ended == "stopped")


@pytest.mark.parametrize("lacking", [("seed", "licences", "backends", "versions"), ("started", "config_sha256"), ()])
def test_a_card_that_lacks_entries_has_a_page(tmp_path, lacking):
    card = RunCard.begin(tmp_path, config={}, seed=0).card
    kept = {name: entry for name, entry in card.items() if name not in lacking} if lacking else {}
    assert "not finished" in write_report(tmp_path, kept).read_text(encoding="utf-8")


def test_page_is_written_anew_from_the_folder_alone(tmp_path):
    assert rewrite_report(tmp_path) is None
    RunCard.begin(tmp_path, config={}, seed=0).finish()
    page = rewrite_report(tmp_path)
    assert page is not None and 'class="chip finished"' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "damage", [None, 3, "x", [[]], {"hydra": []}, {"hydra": {"overrides": 3, "runtime": {"choices": []}}}]
)
@pytest.mark.parametrize("name", ["hydra.yaml", "config.yaml"])
def test_settings_of_another_kind_are_left_out(tmp_path, name, damage):
    RunCard.begin(tmp_path, config={}, seed=0)
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / name).write_text(yaml.safe_dump(damage))
    assert rewrite_report(tmp_path) is not None


@pytest.mark.skipif(sys.platform == "win32", reason="needs FIFOs and /dev/zero")
def test_what_is_no_file_is_not_waited_for(tmp_path):
    RunCard.begin(tmp_path, config={}, seed=0)
    for folder in (".hydra", "logs", "mesh"):
        (tmp_path / folder).mkdir()
    os.mkfifo(tmp_path / ".hydra" / "config.yaml")
    os.mkfifo(tmp_path / "mesh" / "mesh.glb")
    (tmp_path / "logs" / "metrics.csv").symlink_to("/dev/zero")
    assert rewrite_report(tmp_path) is not None


def test_pictures_of_strangers_are_bounded_and_of_known_kinds(tmp_path):
    """PIL hands EPS to Ghostscript, which runs it as a program."""
    RunCard.begin(tmp_path, config={}, seed=0)
    (tmp_path / "views").mkdir()
    large = io.BytesIO()
    Image.new("1", (9000, 9000)).save(large, "PNG")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n"
    for content, told in ((eps, "not an image"), (large.getvalue(), "at most 64 megapixels"), (b"", "empty file")):
        (tmp_path / "views" / "input.png").write_bytes(content)
        with pytest.raises(InputError, match=f"input.png: .*{told}"):
            rewrite_report(tmp_path)
    (tmp_path / "views" / "input.png").unlink()
    for name, most in (("mesh/mesh.glb", 512), ("logs/metrics.csv", 256)):
        (tmp_path / name).parent.mkdir()
        with (tmp_path / name).open("wb") as file:
            file.truncate((most << 20) + 1)
        with pytest.raises(InputError, match=f"{name}: {most} MB"):
            rewrite_report(tmp_path)
        (tmp_path / name).unlink()
