"""A run on one page: RUN/report.html, of what lies in the run's folder. It holds all that it shows."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError
from sv3dgen.report import curves, facts
from sv3dgen.report.embedded import PLAIN_BYTES, data_uri, glb_for_page, model_viewer_script, webp_uri
from sv3dgen.report.kept_pictures import FOLDER, Pictures, lies_in, read_pictures
from sv3dgen.runs.number_rows import number_rows
from sv3dgen.runs.run_folder import read_card

NAME = "report.html"
MOST_FILM_BYTES = 4_000_000  # a longer film is linked to
MOST_PICTURE_BYTES, MOST_MESH_BYTES = 32 << 20, 512 << 20
_FILMS = (("turntable.mp4", "The mesh, turning"), ("views/orbit.mp4", "The views, in order"))
_FILES = (
    *("light.json", "weights/model.safetensors", "views/transforms.json"),
    *("turntable.mp4", "run.json", "logs/metrics.csv", "run.log", ".hydra/config.yaml"),
)
_WITHOUT = {"seed": None, "config_sha256": None, "licences": {}, "backends": {}, "versions": {}, "started": None}
_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Mesh:
    """A mesh for the page's viewer: the GLB in base64, and its texture under the fitted light where that is apart."""

    glb: str
    lit: str | None
    compressed: bool
    name: str


@dataclass(frozen=True)
class Film:
    """A film, held by the page or, where it is long, linked to."""

    title: str
    source: str | None
    file: str


def write_report(folder: Path, card: Mapping[str, Any]) -> Path:
    """Write the page of a run's folder and its card (`RunCard.card`); what is not there is left out."""
    who = facts.identity(folder, card)
    pictures = read_pictures(folder)
    return write_page(
        folder / NAME,
        "run.html.j2",
        title=who.title,
        who=who,
        card=_WITHOUT | dict(card),
        state=facts.state(card, folder),
        mesh=mesh_of(folder, pictures, who.title),
        compared=[
            (
                one,
                facts.numbers_of_view(card, one),
                *(data_uri(_held(folder / FOLDER / name), "image/webp") for name in (one.view, one.mesh)),
            )
            for one in pictures.compared
        ],
        photo=webp_uri(photo, 512) if lies_in(folder, photo := folder / "views" / "input.png") else None,
        films=list(_films(folder)),
        charts=curves.charts(number_rows(folder / "logs" / "metrics.csv")),
        sheets=[(title, webp_uri(path, 1400)) for title, path in _sheets(folder, card)],
        key_facts=_key_facts(card),
        stages=facts.stage_rows(card),
        total=facts.duration(facts.total_seconds(card)),
        parts=facts.part_rows(card),
        told=facts.told(card),
        fit=facts.fit_rows(card),
        results=facts.result_rows(card),
        decided=facts.decided_rows(folder, card),
        machine=facts.machine_rows(card),
        files=_files(folder),
    )


def rewrite_report(folder: Path) -> Path | None:
    """The page of a run's folder anew, of what lies there now; None where no run has left its card there."""
    card = read_card(folder)
    return None if card is None else write_report(folder, card)


def write_page(path: Path, template: str, **context: Any) -> Path:
    """Fill a template; all that is put in is escaped."""
    page = _environment().get_template(template).render(**context)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def mesh_of(folder: Path, pictures: Pictures, name: str, most_bytes: int = PLAIN_BYTES) -> Mesh | None:
    """The exported mesh of a run's folder, None where there is none; beyond `most_bytes` its texture is compressed."""
    path = folder / "mesh" / "mesh.glb"
    if not lies_in(folder, path):
        return None
    _check_bytes(path, MOST_MESH_BYTES)
    data, compressed = glb_for_page(path, most_bytes)
    lit = None
    if pictures.lit is not None:
        lit = data_uri(_held(folder / FOLDER / pictures.lit), "image/webp")
    return Mesh(base64.b64encode(data).decode("ascii"), lit, compressed, name)


def _held(picture: Path) -> bytes:
    _check_bytes(picture, MOST_PICTURE_BYTES)
    return picture.read_bytes()


def _check_bytes(path: Path, most: int) -> None:
    if (size := path.stat().st_size) > most:
        raise InputError(f"{path}: {size >> 20} MB; a page holds at most {most >> 20} MB of that")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("sv3dgen.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["own"] = lambda name: Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # style and scripts
    made.globals["model_viewer"] = lambda: Markup(model_viewer_script())
    made.globals["drawing"] = {"width": curves.WIDTH, "height": curves.HEIGHT, "left": curves.LEFT}
    made.globals["drawing"] |= {"right": curves.WIDTH - curves.RIGHT, "bottom": curves.HEIGHT - curves.BOTTOM}
    made.filters["day"] = facts.day
    return made


def _files(folder: Path) -> list[str]:
    """What there is to open or take away, the mesh in all its formats first."""
    meshes = [f"mesh/{path.name}" for path in sorted((folder / "mesh").glob("*")) if path.is_file()]
    return list(dict.fromkeys([*meshes, *(name for name in _FILES if (folder / name).is_file())]))


def _films(folder: Path) -> Iterator[Film]:
    films = [(folder / name, title) for name, title in _FILMS]
    films += [(path, f"Validation on {kind} orbits") for kind, path in _validated(folder, ".mp4").items()]
    for path, title in films:
        if lies_in(folder, path):
            source = data_uri(path.read_bytes(), "video/mp4") if path.stat().st_size <= MOST_FILM_BYTES else None
            yield Film(title, source, path.relative_to(folder).as_posix())


def _sheets(folder: Path, card: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """The last contact sheet of each stage, and of each kind of orbit that a training is validated on."""
    for stage in card.get("stages", {}):
        sheets = sorted(path for path in (folder / stage / "pictures").glob("*.png") if path.stem.isdecimal())
        if sheets and lies_in(folder, sheets[-1]):
            step = int(sheets[-1].stem)
            yield f"{stage}, step {step}: view, render, albedo, normal, opacity, mask of the view", sheets[-1]
    for kind, path in _validated(folder, ".png").items():
        if lies_in(folder, path):
            yield f"validation on {kind} orbits, step {int(path.name.partition('_')[0])}", path


def _validated(folder: Path, suffix: str) -> dict[str, Path]:
    """The last of the files `validation/STEP_KIND.suffix`, by kind."""
    found = sorted((folder / "validation").glob(f"*_*{suffix}"))
    # The last of a kind stays.
    return {path.stem.partition("_")[2]: path for path in found if path.name.partition("_")[0].isdecimal()}


def _key_facts(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The handful that one wants to know first."""
    metrics, rows = card.get("metrics", {}), []
    if "psnr_train" in metrics:
        rows.append(("PSNR on the views", f"{metrics['psnr_train']:.1f} dB"))
    if "faces" in metrics:
        closed = {True: ", closed", False: ", not closed"}.get(metrics.get("watertight"), "")
        rows.append(("Faces", facts.spoken(metrics["faces"]) + closed))
    if "steps" in metrics:
        rows.append(("Steps", facts.spoken(metrics["steps"])))
    if card.get("stages"):
        rows.append(("Time", facts.duration(facts.total_seconds(card))))
        rows.append(("Peak memory", facts.gib(facts.peak_bytes(card))))
    rows.append(("Device", str(card.get("machine", {}).get("device_name", ""))))
    return rows
