"""One run from composed config to files: views, coarse stage, fine stage, export, summary."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from sv3dgen.export.exporter import Exporter, psnr_of_glb
from sv3dgen.interfaces import Geometry, Material
from sv3dgen.kernels.backend import set_backend
from sv3dgen.mesh import Mesh
from sv3dgen.pose_check import check_poses
from sv3dgen.progress import ProgressLine, summary
from sv3dgen.run_folder import RunCard
from sv3dgen.views import PosedViews, read_views, write_views
from systems.fitting import Interrupt, LastCheckpoint, fit, saved_stage
from systems.pictures import Pictures
from systems.sv3d_dmtet import Sv3dDmtet
from systems.sv3d_nerf import Sv3dNerf

log = logging.getLogger(__name__)

COLOURS_AT_ONCE = 65536  # points whose colour is asked of the field at a time


def run(config: DictConfig) -> None:
    """Posed views to a mesh in the run's folder. Raises InputError for what only the user can mend."""
    for operation, backend in config.kernels.items():
        set_backend(str(operation), backend)
    torch.manual_seed(config.seed)
    Run(config, Path(HydraConfig.get().runtime.output_dir)).execute()


class Run:
    """What the stages of one run share: config, folder, card, loggers, and the wish to stop early."""

    def __init__(self, config: DictConfig, folder: Path):
        self.config, self.folder = config, folder
        plain = OmegaConf.to_container(config, resolve=True)
        assert isinstance(plain, dict)
        self.card = RunCard(folder, config={str(key): value for key, value in plain.items()}, seed=config.seed)
        self.interrupt = Interrupt()
        self.checkpoint = folder / "checkpoints" / "last.ckpt"
        self.resumed_stage = saved_stage(self.checkpoint) if config.resume else None

    def execute(self) -> None:
        """All stages, in order; an interrupted one hands on what it has."""
        with self.interrupt.listening():
            with self.card.stage("views"):
                views = self._views()
            mesh, geometry, material = self._coarse(views)
            if "fine" in self.config.system.stages and not self.interrupt.requested:
                mesh, geometry, material = self._fine(views, mesh, geometry, material)
        with self.card.stage("export"):
            self._export(views, mesh, geometry, material)
        log.info(summary(self.folder / "mesh" / "mesh.glb", self.card.stages))

    def _views(self) -> PosedViews:
        config = self.config
        orbit = instantiate(config.orbit) if config.get("orbit") else None
        views = read_views(
            config.views,
            orbit=orbit,
            elevation_deg=config.elevation_deg,
            fov_deg=config.fov_deg,
            distance=config.distance,
            seed=config.seed,
        )
        check_poses(views)
        write_views(views, self.folder / "views")
        return views

    def _coarse(self, views: PosedViews) -> tuple[Mesh, Geometry, Material]:
        module: Sv3dNerf = instantiate(self.config.coarse, _convert_="all")
        with self.card.stage("coarse"):
            module.start_from(views)
            if self.resumed_stage == "fine":
                # The fine stage's checkpoint holds the field, the light and the mesh's lattice.
                return Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)), module.geometry, module.material
            self._fit("coarse", module, module.steps)
            return module.surface(), module.geometry, module.material

    def _fine(
        self, views: PosedViews, mesh: Mesh, field: Geometry, material: Material
    ) -> tuple[Mesh, Geometry, Material]:
        module: Sv3dDmtet = instantiate(self.config.fine, _convert_="all")
        with self.card.stage("fine"):
            module.start_from(views, mesh, field, material)
            self._fit("fine", module, module.steps)
            return module.surface(), module.geometry, module.material

    def _fit(self, stage: str, module: lightning.LightningModule, steps: int) -> None:
        trainer: dict[str, Any] = instantiate(self.config.trainer, _target_="builtins.dict", _convert_="all")
        every = self.config.checkpoint_every_steps
        callbacks = [
            ProgressLine(stage),
            self.interrupt,
            LastCheckpoint(self.checkpoint, stage, every),
            Pictures(self.folder / stage, self.config.pictures_every_steps),
        ]
        resumed = self.checkpoint if self.resumed_stage == stage else None
        fit(module, steps=steps, trainer=trainer, callbacks=callbacks, checkpoint=resumed)
        module.eval()

    def _export(self, views: PosedViews, mesh: Mesh, geometry: Geometry, material: Material) -> None:
        exporter: Exporter = instantiate(self.config.export, _convert_="all")

        def albedo(points: Tensor, normals: Tensor) -> Tensor:
            parts = zip(points.split(COLOURS_AT_ONCE), normals.split(COLOURS_AT_ONCE), strict=True)
            return torch.cat([material(geometry.features(p), n).albedo for p, n in parts])

        light = material.light()
        report = exporter.export(mesh, albedo, self.folder, light)
        for note in report.notes:
            log.info(note)
        rgba = views.rgba
        glb = self.folder / "mesh" / "mesh.glb"
        self.card.add_metrics(
            psnr_train=round(psnr_of_glb(glb, light, views.cameras, rgba[:, :3], rgba[:, 3:]), 3),
            vertices=report.vertices,
            faces=report.faces,
            watertight=report.watertight,
            charts=report.charts,
        )
