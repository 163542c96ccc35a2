"""A stage that is looked at: what is seen is drawn between its steps, and what is pressed is done there."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from omegaconf import DictConfig

from sv3dgen.atomic import atomic_write
from sv3dgen.interfaces import RenderOutput
from sv3dgen.meshes.mesh import vertex_normals
from sv3dgen.viewer.live_page import LivePage
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.posed_views import PosedViews
from systems.fitting import Interrupt

ADDRESS = "viewer.url"  # in a run's folder, while its page is open
PAUSE_S = 0.02


@contextmanager
def live_page(config: DictConfig, views: PosedViews, folder: Path) -> Iterator[LivePage | None]:
    """The page of a run, where one is asked for; its address is printed, and lies in the run's folder."""
    if not config.viewer:
        yield None
        return
    page = LivePage(title=str(config.name), port=config.viewer_port, views=views, with_buttons=True)
    address = folder / ADDRESS
    try:
        print(f"viewer: {page.address}", flush=True)
        with atomic_write(address) as temporary:
            temporary.write_text(page.address, encoding="utf-8")
        yield page
    finally:
        page.stop()
        address.unlink(missing_ok=True)


class LiveView(lightning.Callback):
    """Serves a page between the steps of a stage. It comes before the callback that ends a run early."""

    def __init__(
        self, page: LivePage, stage: str, folder: Path, interrupt: Interrupt, save: Callable[[lightning.Trainer], None]
    ) -> None:
        """`save` writes the stage's checkpoint; `folder` is the run's."""
        self.page, self.stage, self.folder = page, stage, folder
        self.interrupt, self.save_checkpoint = interrupt, save

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

        module.eval()
        self.page.serve(draw, step)
        module.train()

    def _save_where_asked(self, trainer: lightning.Trainer, module: Any) -> None:
        """The mesh as it is now, with a color a vertex, and the checkpoint."""
        if self.page.wishes.save:
            self.page.wishes.save = False
            path = write_mesh_as_is(self.folder / "saved" / f"{self.stage}_{trainer.global_step:05d}.ply", module)
            self.save_checkpoint(trainer)
            print(f"{self.stage:<8} saved {path}", flush=True)


@torch.no_grad()
def write_mesh_as_is(path: Path, module: Any) -> Path:
    """A stage's surface at this step as a PLY with the colors of its vertices."""
    import trimesh  # slow to import

    module.eval()
    mesh = module.surface()
    normals = vertex_normals(mesh).to(module.device)
    shading = module.material(module.geometry.features(mesh.vertices.to(module.device)), normals)
    module.train()
    colors = (shading.rgb.clamp(0, 1) * 255).round().byte().cpu().numpy()
    colored = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), vertex_colors=colors, process=False)
    with atomic_write(path) as temporary:
        colored.export(temporary, file_type="ply")
    return path
