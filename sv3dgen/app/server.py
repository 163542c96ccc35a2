"""The app as a server of this machine: the page, and of each run its report, its files and a zip of all of them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr  # pyright: ignore[reportMissingImports]
import uvicorn  # pyright: ignore[reportMissingImports]
from fastapi import FastAPI, Response  # pyright: ignore[reportMissingImports]
from fastapi.responses import FileResponse  # pyright: ignore[reportMissingImports]
from gradio.themes import Default  # pyright: ignore[reportMissingImports]
from starlette.background import BackgroundTask  # pyright: ignore[reportMissingImports]

from sv3dgen.app.guard import Guard
from sv3dgen.app.page import STYLE, build_page
from sv3dgen.app.past_runs import PREVIEW, REPORT, run_file, run_folder, zipped
from sv3dgen.app.run_queue import RunQueue
from sv3dgen.app.uploads import MOST_FILE_BYTES, MOST_FOLDER_BYTES
from sv3dgen.viewer.ports import HOST

_SHOWN = (REPORT, PREVIEW)  # all else is to be saved, not shown


def build_app(runs: RunQueue, *, inputs: Path, weights: Path | None, port: int) -> Guard:
    """The ASGI application."""
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def file_of_run(name: str, time: str, file: str) -> Response:
        found = run_file(runs.folder, f"{name}/{time}", file)
        if found is None:
            return Response("no such file", 404)
        how = "inline" if file in _SHOWN else "attachment"
        return FileResponse(found, filename=found.name, content_disposition_type=how)

    def zip_of_run(name: str, time: str) -> Response:
        run = run_folder(runs.folder, f"{name}/{time}")
        if run is None:
            return Response("no such run", 404)
        path = zipped(run)
        return FileResponse(path, filename=f"{name}_{time}.zip", background=BackgroundTask(path.unlink))

    outer.add_api_route("/runs/{name}/{time}/all.zip", zip_of_run)
    outer.add_api_route("/runs/{name}/{time}/{file:path}", file_of_run)
    page = build_page(runs, inputs, weights)
    page.queue(max_size=100, default_concurrency_limit=4, api_open=False)
    whole = gr.mount_gradio_app(
        outer,
        page,
        path="/",
        server_name=HOST,
        server_port=port,
        footer_links=[],
        show_error=False,
        max_file_size=MOST_FILE_BYTES,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=STYLE,
    )
    return Guard(whole, port=port, most_bytes=MOST_FOLDER_BYTES)


def serve(app: Any, port: int, started: Callable[[], None]) -> None:
    """Serve until Ctrl+C; `started` is called when the page can be opened."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started()

    Server(uvicorn.Config(app, host=HOST, port=port, log_level="warning", timeout_graceful_shutdown=2)).run()
