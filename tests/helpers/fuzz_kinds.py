"""What is damaged by chance in `fuzz_files.py`, and what reads it."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import yaml
from checkout import ROOT
from fuzz_mutations import ODD_NUMBERS
from fuzz_sources import gather_films, gather_meshes, gather_photos, gather_runs, gather_views, gather_weights

from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.commands import doctor, evaluate, render, render_dataset, table
from sv3dgen.meshes.files import read_mesh
from sv3dgen.photo.prepare import prepare_photo
from sv3dgen.report.__main__ import main as report_main
from sv3dgen.runs.result import read_result
from sv3dgen.runs.run_folder import read_card
from sv3dgen.sv3d.checkpoint.contents import read_contents
from sv3dgen.views.image import read_photo
from sv3dgen.views.pose_check import check_poses
from sv3dgen.views.posed_views import read_views


@dataclass(frozen=True)
class Kind:
    """A kind of input: the folders that hold it, which of their files are damaged, and what reads it (`run(case, out,
    chance)` gives what is wrong, None where nothing is, or raises)."""

    name: str
    weight: float
    gather: Callable[[Path, Path], None]
    run: Callable[[Path, Path, Random], str | None]
    damaged: tuple[str, ...] = ()  # endings of names; none: all
    works: bool = False  # a command, which takes its time where it has work to do

    def damages(self, name: str) -> bool:
        return not self.damaged or name.lower().endswith(self.damaged)


def gathered(kind: Kind, shared: Path, kept: Path) -> list[Path]:
    """Whole inputs of a kind, a folder each; kinds that gather alike share them."""
    top = kept / kind.gather.__name__
    if not top.exists():
        top.mkdir(parents=True)
        kind.gather(shared, top)
    return sorted(path for path in top.iterdir() if path.is_dir())


def _nothing(shared: Path, top: Path) -> None:
    pass


def _given(case: Path) -> Path:
    return next(path for path in sorted(case.iterdir()) if path.stem == "given" and path.suffix != ".mtl")


def _read_views(case: Path, out: Path, chance: Random) -> None:
    check_poses(read_views(case, max_size_px=96))


def _check_views(case: Path, out: Path, chance: Random) -> None:
    checked_arguments([f"views={case}", f"hydra.run.dir={out}"], ROOT)


def _read_mesh(case: Path, out: Path, chance: Random) -> None:
    read_mesh(_given(case))


def _status(main: Callable[[list[str]], int], arguments: list[str], out: Path) -> str | None:
    """What is wrong with a command's end: its status, more than one line on a refusal, or what it left."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        try:
            status = main(arguments)
        except SystemExit as left:
            status = left.code or 0
    lines = [line for line in told.getvalue().splitlines() if line.startswith(("error: ", "sv3dgen."))]
    if status not in (0, 2):
        return f"{arguments}: status {status}, {told.getvalue()[-500:]}"
    if status == 2 and len(lines) != 1:
        return f"{arguments}: expected one line, got {told.getvalue()[-500:]}"
    if not told.getvalue().replace("\n", "").isprintable() and "\u2502" not in told.getvalue():
        return f"{arguments}: not fit to be printed: {told.getvalue()[-500:]!r}"
    left = [path.name for path in out.rglob("*")] if out.exists() else []
    half = [name for name in left if name.startswith(".") or "tmp" in name] if status == 0 else left
    return f"{arguments}: status {status} with {half[:9]} left" if half else None


def _draw_mesh(case: Path, out: Path, chance: Random) -> str | None:
    size = ["--size-px", "32", "--frames", "3", "--orbit", "static"]
    return _status(render.main, [str(_given(case)), "--out", str(out), *size, "--normalize"], out)


def _score_mesh(case: Path, out: Path, chance: Random) -> str | None:
    given = str(_given(case))
    return _status(evaluate.main, ["--pred", given, "--gt", given], out)


def _read_photo(case: Path, out: Path, chance: Random) -> None:
    read_photo(_given(case))


def _cut_photo(case: Path, out: Path, chance: Random) -> None:
    prepare_photo(_given(case), size_px=64, matting="classical")


def _read_film(case: Path, out: Path, chance: Random) -> None:
    read_views(_given(case), orbit="static", elevation_deg=10.0, max_size_px=96)


def _read_weights(case: Path, out: Path, chance: Random) -> None:
    read_contents(next((path for path in case.iterdir() if path.stem in ("given", "model")), case))


def _check_weights(case: Path, out: Path, chance: Random) -> str | None:
    path = next((path for path in case.iterdir() if path.stem in ("given", "model")), case)
    return _status(doctor.main, ["--weights", str(path)], out)


def _read_run(case: Path, out: Path, chance: Random) -> None:
    read_card(case)
    if (case / "result.json").exists():
        read_result(case)
    checked_arguments([f"resume={case}"], ROOT)


def _report_run(case: Path, out: Path, chance: Random) -> str | None:
    before = {path for path in case.rglob("*") if path.name != "report.html"}
    told = _status(report_main, [str(case)], out)
    left = {path for path in case.rglob("*") if path.name != "report.html"} - before
    return told or (f"left {left}" if left else None)


def _table_of_run(case: Path, out: Path, chance: Random) -> str | None:
    return _status(table.main, [str(case.parent), "--out", str(out / "table.md")], out)


_OPTIONS = {
    render: (
        "MESH",
        "--orbit static",
        "--out OUT",
        "--size-px 32",
        "--frames 3",
        "--elevation-deg 10",
        "--fov-deg 30",
        "--distance 2",
        "--seed 1",
        "--light LIGHT",
        "--normalize",
    ),
    evaluate: (
        "--pred MESH",
        "--gt MESH",
        "--protocol surface",
        "--align none",
        "--yaw-deg 4",
        "--views VIEWS",
        "--split test",
        "--lpips alex",
        "--orbit static",
        "--elevation-deg 4",
        "--size-px 48",
        "--seed 1",
    ),
    render_dataset: (
        "--out OUT",
        "--procedural 1",
        "--seed 1",
        "--size-px 16",
        "--supersample 1",
        "--fov-deg 30",
        "--distance auto",
        "--orbits static=1",
        "--sine-share 0",
        "--split-test 0",
        "--test-names a",
        "--licence x",
    ),
}


def _command(case: Path, out: Path, chance: Random) -> str | None:
    """A command with some of its options, and some of their values odd."""
    command = chance.choice(list(_OPTIONS))
    options = [option.split(" ") for option in _OPTIONS[command]]
    places = {"OUT": str(out), "MESH": str(_given(case)), "LIGHT": str(ROOT / "pyproject.toml"), "VIEWS": str(case)}
    words = []
    for option in options:
        if len(option) == 2 and chance.random() < 0.2:
            option[1] = _odd(chance)
        if option[0] in ("MESH", "--out", "--orbit", "--pred", "--gt", "--size-px") or chance.random() < 0.4:
            words += [places.get(word, word) for word in option]
    if chance.random() < 0.1:
        words.append(_odd(chance))
    return _status(command.main, words, out)


def _odd(chance: Random) -> str:
    words = (
        "",
        "nan",
        "inf",
        "-1",
        "0",
        "1e9",
        "a",
        "/",
        "/dev/null",
        "static=99",
        "all",
        "0x10",
        "a b",
        "--",
        "-",
        "\u202e",
    )
    return chance.choice((str(chance.choice(ODD_NUMBERS)), chance.choice(words), chance.choice(words)))


def _settings(tree: dict, prefix: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, dict):
            found += _settings(value, f"{prefix}{key}.")
    return found


_KEYS: list[str] = []
_VALUES = (
    "[]",
    "{}",
    "null",
    "true",
    "{0: 1}",
    "[1,2]",
    "[[0, 1], [50%, 2]]",
    "a,b",
    "${seed}",
    "${oc.env:HOME}",
    "[",
    "}",
)


def _launch(case: Path, out: Path, chance: Random) -> None:
    """Up to three settings of any depth with odd values."""
    if not _KEYS:
        for path in sorted((ROOT / "conf").rglob("*.yaml")):
            inner = path.relative_to(ROOT / "conf").with_suffix("").parts
            tree = yaml.safe_load(path.read_text()) or {}
            prefix = {"coarse": "coarse.", "fine": "fine.", "trainer": "trainer.", "nvs": "nvs."}.get(inner[0], "")
            _KEYS.extend(_settings(tree, prefix))
            if len(inner) > 1:
                _KEYS.append(inner[0])
    settings = [f"views={ROOT / 'examples' / 'tugboat'}", f"hydra.run.dir={out}"]
    for _ in range(chance.randint(1, 3)):
        value = chance.choice((_odd(chance), _odd(chance), chance.choice(_VALUES)))
        settings.append(f"{chance.choice(('', '', '', '+', '++', '~'))}{chance.choice(_KEYS)}={value}")
    checked_arguments(settings, ROOT)


JSONS, PICTURES = (".json",), (".png", ".jpg", ".webp")
KINDS = [
    Kind("views_json", 4, gather_views, _read_views, JSONS),
    Kind("views_pictures", 1, gather_views, _read_views, PICTURES),
    Kind("views_checked", 1, gather_views, _check_views),
    Kind("meshes", 10, gather_meshes, _read_mesh),
    Kind("meshes_drawn", 1, gather_meshes, _draw_mesh, works=True),
    Kind("meshes_scored", 1, gather_meshes, _score_mesh, works=True),
    Kind("photos", 5, gather_photos, _read_photo),
    Kind("photos_cut", 1, gather_photos, _cut_photo, works=True),
    Kind("films", 0.5, gather_films, _read_film, works=True),
    Kind("weights", 5, gather_weights, _read_weights),
    Kind("weights_told", 1, gather_weights, _check_weights),
    Kind("runs", 3, gather_runs, _read_run, (".json", ".yaml")),
    Kind("reports", 1, gather_runs, _report_run, works=True),
    Kind("tables", 1, gather_runs, _table_of_run, (".json", ".yaml")),
    Kind("commands", 2, gather_meshes, _command, (".nothing",), works=True),
    Kind("settings", 3, _nothing, _launch),
]
