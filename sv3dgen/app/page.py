"""The page: what is dropped, the choices, a run's progress and result, and past runs. It holds no state of a run.

Each tab knows a run by its key alone, which stands in its address too: a reload, or another tab, finds it again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]
from PIL import Image

from sv3dgen.app import choices
from sv3dgen.app.cutouts import KEEP, REMOVE, CutPhoto, corrected, cut_photo, picked, shown
from sv3dgen.app.past_runs import find_runs
from sv3dgen.app.run_queue import Kind, RunQueue
from sv3dgen.app.status import html_of, status_of
from sv3dgen.app.uploads import keep_film, keep_folder, keep_photo, keep_zip
from sv3dgen.errors import InputError, one_line

STYLE = (Path(__file__).with_name("templates") / "page.css").read_text(encoding="utf-8")
_KEEP_ADDRESS = "(key) => { if (key) history.replaceState(null, '', '?run=' + encodeURIComponent(key)); }"
# What a run is given, kept for it; its settings; and what is to be told of them.
Taken = Callable[[], tuple[Kind, Path, list[str], str]]
_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Parts:
    """What several events of the page change."""

    key: gr.Textbox  # not seen; it carries the run's key to the address
    seen: gr.State  # what the run's piece of the page was made of
    run: gr.HTML
    told: gr.Markdown
    clock: gr.Timer
    buttons: gr.Row


def build_page(runs: RunQueue, inputs: Path, weights: Path | None) -> gr.Blocks:
    """The app over a queue of runs; `inputs` is where what was dropped is kept for them."""
    with gr.Blocks(title="sv3dgen", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown("# A photo, a film or pictures of an object, to a mesh")
        parts = Parts(
            gr.Textbox("", visible="hidden", render=False),
            gr.State(None),
            gr.HTML(render=False, elem_id="run"),
            gr.Markdown(render=False, elem_id="told"),
            gr.Timer(1.0, active=False),
            gr.Row(visible=False, render=False),
        )
        with gr.Row():
            with gr.Column(scale=5):
                _given(runs, inputs, weights, parts)
            with gr.Column(scale=6):
                parts.key.render()
                parts.told.render()
                parts.buttons.render()
                with parts.buttons:
                    finish = gr.Button("Finish now, with the mesh there is")
                    cancel = gr.Button("Cancel", variant="stop")
                parts.run.render()
                with gr.Accordion("Past runs", open=False) as past:
                    chosen = gr.Dropdown(find_runs(runs.folder), label="Past runs, the newest first", value=None)
                    past.expand(lambda: gr.Dropdown(choices=find_runs(runs.folder)), outputs=chosen, **_HIDDEN)
        gr.Markdown(choices.licence_note(weights), elem_id="licence")
        _events(page, runs, parts, finish, cancel, chosen)
    return page


def _events(
    page: gr.Blocks, runs: RunQueue, parts: Parts, finish: gr.Button, cancel: gr.Button, chosen: gr.Dropdown
) -> None:
    shown_parts = [parts.key, parts.seen, parts.run, parts.clock, parts.buttons]

    def show(key: str, seen: Any) -> list[Any]:
        """The run's piece of the page, where it has changed: a frame that is put in anew starts anew."""
        status = status_of(runs, key) if key else None
        if status is None:
            nothing = f"There is no run called {one_line(key)[:100]}." if key else ""
            return ["", None, gr.HTML(_plain(nothing)), gr.Timer(active=False), gr.Row(visible=False)]
        if status == seen:
            return [gr.skip()] * len(shown_parts)
        ours = runs.job(key) is not None
        going = not status.has_ended
        return [key, status, gr.HTML(html_of(status)), gr.Timer(active=going), gr.Row(visible=going and ours)]

    def end(key: str, keep_mesh: bool) -> None:
        if (job := runs.job(key)) is not None:
            runs.stop(job, keep_mesh=keep_mesh)

    def from_address(request: gr.Request) -> list[Any]:
        return show(str(request.query_params.get("run", "")), None)

    page.load(from_address, outputs=shown_parts, **_HIDDEN)
    parts.clock.tick(show, [parts.key, parts.seen], shown_parts, **_HIDDEN)
    parts.key.change(show, [parts.key, parts.seen], shown_parts, **_HIDDEN).then(
        None, parts.key, js=_KEEP_ADDRESS, api_visibility="private"
    )
    finish.click(lambda key: end(key, True), parts.key, **_HIDDEN)
    cancel.click(lambda key: end(key, False), parts.key, **_HIDDEN)
    chosen.input(lambda key: (key or "", None), chosen, [parts.key, parts.seen], **_HIDDEN)


def _given(runs: RunQueue, inputs: Path, weights: Path | None, parts: Parts) -> None:
    """The left side: what is dropped, and the choices."""
    with gr.Tabs():
        with gr.Tab("A photo"):
            photo = gr.File(label="One photo of the object: PNG, JPEG, WebP, HEIC ...", elem_id="photo", height=150)
            cut = gr.State(None)
            with gr.Column(visible=False) as correction:
                gr.Markdown(
                    "Faint is what counts as background. Wrong? Paint **green** over what belongs to the object, "
                    "**red** over what does not, then take it over. Or click on it, with the box below ticked."
                )
                editor = gr.ImageEditor(
                    type="pil",
                    image_mode="RGBA",
                    label="The cut-out",
                    sources=(),
                    transforms=(),
                    layers=False,
                    brush=gr.Brush(default_size=24, colors=[KEEP, REMOVE], default_color=KEEP, color_mode="fixed"),
                    buttons=[],
                    elem_id="cutout",
                )
                patch = gr.Checkbox(
                    label="A click is enough: it stands for the whole patch of like color", elem_id="patch"
                )
                take_over = gr.Button("Take over what I painted")
            photo_height = gr.Number(
                label="Degrees above the object that it was taken from (empty: estimated)", value=10, elem_id="height"
            )
            start_photo = gr.Button("Make a mesh of the photo", variant="primary")
        with gr.Tab("A film"):
            film = gr.File(label="A film once around the object: MP4, WebM, MOV, GIF", elem_id="film", height=150)
            film_height = gr.Number(label="Degrees above the object (empty: estimated)", value=None)
            fov = gr.Number(label="The lens's field of view in degrees (33.8 where unknown)", value=33.8)
            clockwise = gr.Checkbox(label="The camera walks clockwise, seen from above")
            start_film = gr.Button("Make a mesh of the film", variant="primary")
        with gr.Tab("A folder"):
            folder = gr.File(
                label="Pictures from all around, best with their transforms.json",
                file_count="directory",
                elem_id="folder",
                height=150,
            )
            packed = gr.File(
                label="Or the folder as a .zip, where names are the same in two folders of it",
                file_types=[".zip"],
                elem_id="zip",
                height=110,
            )
            start_folder = gr.Button("Make a mesh of the folder", variant="primary")
    names = choices.qualities()
    quality = gr.Radio(names, value=names[min(1, len(names) - 1)], label="How good", elem_id="quality")
    with gr.Accordion("More choices", open=False):
        relightable = gr.Checkbox(label="Take the light out of the colors, so that it can be lit anew")
        unseen = gr.Radio(list(choices.UNSEEN), value=next(iter(choices.UNSEEN)), label="What no view sees inside")
        formats = gr.CheckboxGroup(list(choices.FORMATS), label="Files next to the GLB")
        size_mm = gr.Number(label="Longest side in millimetres, of files to print", value=100)
        seed = gr.Number(label="Seed: another one gives another try", value=0, precision=0)
    common = [quality, relightable, unseen, formats, size_mm, seed]

    def dropped(path: str | None) -> list[Any]:
        if path is None:
            return [None, gr.Column(visible=False), None, ""]
        try:
            found = cut_photo(Path(path))
        except InputError as error:
            return [None, gr.Column(visible=False), None, _plain(str(error))]
        told = f"Look at the cut-out: {found.doubt}" if found.doubt else ""
        return [found, gr.Column(visible=True), _to_edit(found), _plain(told)]

    def painted(found: CutPhoto | None, value: dict[str, Any] | None, whole: bool) -> list[Any]:
        strokes = _strokes(value)
        if found is None or strokes is None:
            return [found, gr.skip()]
        changed = corrected(found, picked(found, strokes) if whole else strokes)
        return [changed, _to_edit(changed)]

    def from_photo(found: CutPhoto | None, value: Any, whole: bool, height: float | None, *common: Any) -> Any:
        def take() -> tuple[Kind, Path, list[str], str]:
            if found is None:
                raise InputError("drop a photo first")
            strokes = _strokes(value)
            last = found
            if strokes is not None:
                last = corrected(found, picked(found, strokes) if whole else strokes)
            return "photo", keep_photo(last.cutout, last.name, inputs), choices.photo_settings(height, weights), ""

        return _start(runs, take, common)

    def from_film(path: str | None, height: float | None, fov: float | None, back: bool, *common: Any) -> Any:
        def take() -> tuple[Kind, Path, list[str], str]:
            if path is None:
                raise InputError("drop a film first")
            return "views", keep_film(Path(path), inputs), choices.film_settings(height, fov, back), ""

        return _start(runs, take, common)

    def from_folder(paths: list[str] | None, archive: str | None, *common: Any) -> Any:
        def take() -> tuple[Kind, Path, list[str], str]:
            if not paths and not archive:
                raise InputError("drop a folder first")
            if paths and archive:
                raise InputError("a folder and a .zip are there; take one of them away")
            kept, told = (
                keep_zip(Path(archive), inputs) if archive else keep_folder(list(map(Path, paths or ())), inputs)
            )
            return "views", kept, [], told

        return _start(runs, take, common)

    started = [parts.key, parts.seen, parts.told]
    photo.change(dropped, photo, [cut, correction, editor, parts.told], api_visibility="private")
    take_over.click(painted, [cut, editor, patch], [cut, editor], api_visibility="private")
    start_photo.click(from_photo, [cut, editor, patch, photo_height, *common], started, api_visibility="private")
    start_film.click(from_film, [film, film_height, fov, clockwise, *common], started, api_visibility="private")
    start_folder.click(from_folder, [folder, packed, *common], started, api_visibility="private")


def _start(runs: RunQueue, take: Taken, common: tuple[Any, ...]) -> tuple[Any, ...]:
    """Put a run in the queue; what is wrong becomes a sentence on the page."""
    quality, relightable, unseen, formats, size_mm, seed = common
    try:
        settings = choices.settings_of(
            quality, relightable=relightable, unseen=unseen, formats=formats, size_mm=size_mm, seed=seed
        )
        kind, given, own, told = take()
        job = runs.submit(kind, given, (*settings, *own, *choices.live_settings()), given.stem)
    except InputError as error:
        return gr.skip(), gr.skip(), _plain(str(error))
    except OSError as error:
        return gr.skip(), gr.skip(), _plain(f"The disk: {error.strerror or error}")
    return job.key, None, _plain(told)


def _to_edit(cut: CutPhoto) -> dict[str, Any]:
    return {"background": shown(cut), "layers": [], "composite": None}


def _strokes(value: dict[str, Any] | None) -> Image.Image | None:
    """What was painted, None where nothing was."""
    layers = [] if value is None else value.get("layers") or []
    painted = [layer for layer in layers if layer is not None and layer.convert("RGBA").getchannel("A").getbbox()]
    return painted[-1] if painted else None


def _plain(text: str) -> str:
    """A sentence in which nothing is taken for markup."""
    told = one_line(text)
    return "".join(f"&#{ord(letter)};" if letter in "&<>\"'`*_[]()#!|~\\$" else letter for letter in told)
