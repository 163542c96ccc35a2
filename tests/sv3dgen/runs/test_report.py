"""The page of a run."""

from html.parser import HTMLParser

from sv3dgen.runs.report import write_report
from sv3dgen.runs.run_folder import RunCard


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_report_tells_the_note_and_shows_what_is_there(tmp_path):
    folder = tmp_path / "cup & saucer" / "now"
    card = RunCard.begin(folder, config={"a": 1}, seed=3)
    card.add_note("nvs", "demonstration model, for <real> photos install SV3D_p")
    card.add_metrics(psnr_train=31.5)
    with card.stage("coarse"):
        pass
    for name in ("turntable.mp4", "mesh/mesh.glb"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    page = write_report(folder, card.card).read_text(encoding="utf-8")
    links = Links()
    links.feed(page)
    assert set(links.found) == {"turntable.mp4", "mesh/mesh.glb", "run.json", ".hydra/config.yaml"}
    assert "cup &amp; saucer" in page and "demonstration model, for &lt;real&gt; photos" in page
    assert "psnr_train" in page and "31.5" in page and "coarse" in page and "Licences" not in page
