"""A stage that is looked at: what is seen is drawn between its steps, and what is pressed is done there."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from omegaconf import DictConfig

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError, one_line
from sv3dgen.interfaces import RenderOutput
from sv3dgen.meshes.mesh import vertex_normals
from sv3dgen.viewer.live_page import LivePage
from sv3dgen.viewer.ports import free_port
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.posed_views import PosedViews
from systems.fitting import Interrupt

log = logging.getLogger(__name__)

ADDRESS = "viewer.url"  # in a run's folder, while its page is open
PAUSE_S = 0.02


@contextmanager
def live_page(config: DictConfig, views: PosedViews, folder: Path) -> Iterator[LivePage | None]:
    """The page of a run, where one is asked for; its address is printed, and lies in the run's folder."""
    if not config.viewer:
        yield None
        return
    page = None
    try:
        page = LivePage(title=str(config.name), port=_port(config.viewer_port), views=views, with_buttons=True)
    except InputError as error:  # the views are made: the run is worth more than its page
        log.warning("live view: off (%s)", error)
    if page is None:
        yield None
        return
    address = folder / ADDRESS
    try:
        print(f"viewer: {page.address}", flush=True)
        with atomic_write(address) as temporary:
            temporary.write_text(page.address, encoding="utf-8")
        yield page
    finally:
        page.stop()
        address.unlink(missing_ok=True)


def _port(wanted: int) -> int:
    """The one that is wanted. The command line refuses one that is taken; since then, or by a sweep's other run: 0."""
    try:
        return free_port(wanted, "viewer_port")
    except InputError as error:
        log.info("%s; the live view takes a free one", error)
        return 0


class LiveView(lightning.Callback):
    """Serves a page between the steps of a stage. It comes before the callback that ends a run early.

    What fails in drawing or in saving is told, and the run goes on.
    """

    def __init__(
        self, page: LivePage, stage: str, folder: Path, interrupt: Interrupt, save: Callable[[lightning.Trainer], None]
    ) -> None:
        """`save` writes the stage's checkpoint; `folder` is the run's."""
        self.page, self.stage, self.folder = page, stage, folder
        self.interrupt, self.save_checkpoint = interrupt, save
        self._is_drawn = True

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if not self.page.is_looked_at:
            return
        step, wishes = trainer.global_step, self.page.wishes
        self.page.tell(f"**{self.stage}**, step {step} of {trainer.max_steps}")
        self._serve(module, step)
        while wishes.paused and self.page.is_looked_at and not (wishes.finish or self.interrupt.is_asked):
            self._serve(module, step)
            time.sleep(PAUSE_S)
            self._save_where_asked(trainer, module)
        self._save_where_asked(trainer, module)
        if wishes.finish:
            self.page.tell("finishing with the mesh there is")
            self.interrupt.finish()

    def _serve(self, module: Any, step: int) -> None:
        def draw(cameras: Cameras) -> RenderOutput:
            return module.renderer(module.geometry, module.material, cameras.to(module.device))

        if not self._is_drawn:
            return
        module.eval()
        try:
            self.page.serve(draw, step)
        except Exception as error:  # no memory, a renderer that refuses
            log.warning(
                "live view: no pictures of the %s stage from here on (%s)",
                self.stage,
                one_line(str(error) or type(error).__name__),
            )
            self._is_drawn = False
        finally:
            module.train()

    def _save_where_asked(self, trainer: lightning.Trainer, module: Any) -> None:
        """The mesh as it is now, with a color a vertex, and the checkpoint."""
        if not self.page.wishes.save:
            return
        self.page.wishes.save = False
        path = self.folder / "saved" / f"{self.stage}_{trainer.global_step:05d}.ply"
        try:
            write_mesh_as_is(path, module)
            self.save_checkpoint(trainer)
        except Exception as error:  # a full disk, no surface yet
            log.warning("live view: %s is not saved (%s)", path, one_line(str(error) or type(error).__name__))
            return
        print(f"{self.stage:<8} saved {path}", flush=True)


@torch.no_grad()
def write_mesh_as_is(path: Path, module: Any) -> None:
    """A stage's surface at this step as a PLY with the colors of its vertices."""
    import trimesh  # slow to import

    module.eval()
    try:
        mesh = module.surface()
        normals = vertex_normals(mesh).to(module.device)
        shading = module.material(module.geometry.features(mesh.vertices.to(module.device)), normals)
    finally:
        module.train()
    colors = (shading.rgb.clamp(0, 1) * 255).round().byte().to("cpu").numpy()
    vertices, faces = mesh.vertices.to("cpu").numpy(), mesh.faces.to("cpu").numpy()
    colored = trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False)
    with atomic_write(path) as temporary:
        colored.export(temporary, file_type="ply")
