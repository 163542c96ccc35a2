"""One run from composed config to files: views, coarse stage, fine stage, export, summary."""

import logging
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sv3dgen.atomic import remove_leftovers
from sv3dgen.devices import find_device
from sv3dgen.errors import InputError, one_line
from sv3dgen.export.exporter import Exporter
from sv3dgen.interfaces import Reference
from sv3dgen.kernels.accelerators import used_licences
from sv3dgen.kernels.backend import set_backend
from sv3dgen.meshes.dents import told_of_dents
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.openings import told
from sv3dgen.nvs_interfaces import ViewMaker
from sv3dgen.report.page import write_report
from sv3dgen.runs.csv_log import keep_numbers
from sv3dgen.runs.progress import ProgressLine, summary
from sv3dgen.runs.provenance import provenance
from sv3dgen.runs.run_folder import RunCard, holds_made_views
from sv3dgen.runs.stopping import Stopped, undisguised
from sv3dgen.viewer.live_page import LivePage
from sv3dgen.views.posed_views import PosedViews, read_views
from systems.building import build_stage
from systems.corrections_report import write_corrections
from systems.exporting import export_mesh
from systems.finite import Finite
from systems.fitting import Interrupt, LastCheckpoint, LastStep, fit, saved_stage
from systems.live_view import LiveView, live_page
from systems.preview import Preview
from systems.reporting import Losses, Pictures, notified_loggers
from systems.shared_stages import SharedStages, share_folder
from systems.stage_keys import coarse_key, views_key
from systems.stage_results import read_coarse, read_made_views, write_coarse, write_made_views
from systems.sv3d_dmtet import Sv3dDmtet
from systems.sv3d_nerf import Sv3dNerf
from systems.view_sources import generate_views, given_views, white_views

log = logging.getLogger(__name__)


def run(config: DictConfig) -> None:
    """A photo or posed views to a mesh, or to views, in the run's folder. InputError for a user's mistake."""
    for operation, backend in config.kernels.items():
        set_backend(str(operation), backend)
    if "train" in config.system.stages:
        from systems.training.run import train  # what only training needs

        train(config)
        return
    hydra = HydraConfig.get()
    if find_device(config.device).type != "cpu":
        log.info("device: %s, preset: %s", find_device(config.device), hydra.runtime.choices.get("preset"))
    Run(config, Path(hydra.runtime.output_dir), share_folder(config)).execute()


class Run:
    """What the stages of one run share: config, folder, card, parts, and the wish to stop early."""

    card: RunCard
    trainer: dict[str, Any]
    shared: SharedStages | None
    live: LivePage | None

    def __init__(self, config: DictConfig, folder: Path, share: Path | None = None):
        """`share` is a folder of stages that several runs have in common. Files are touched by `begin`."""
        self.config, self.folder, self.share = config, folder, share
        self.device = find_device(config.device)
        plain = OmegaConf.to_container(config, resolve=False)  # before anything below fills in what is left open
        assert isinstance(plain, dict)
        self.settings = {str(key): value for key, value in plain.items()}
        self._seed()  # of the parts' first numbers
        # All parts before any work: what is wrong with the fine stage's numbers must not surface after the coarse one.
        self.coarse: Sv3dNerf | None = None
        if "coarse" in config.system.stages:
            self.coarse = build_stage("coarse", config.coarse).to(self.device)
        self.fine: Sv3dDmtet | None = None
        if "fine" in config.system.stages:
            self.fine = build_stage("fine", config.fine).to(self.device)
        self.nvs: ViewMaker | None = None
        if config.image is not None or self._needs_nvs():
            self.nvs = nvs = instantiate(config.nvs, _convert_="all")
            if self._needs_nvs():  # which is asked for at the end of the fine stage
                nvs.check()
        self.exporter: Exporter = instantiate(config.export, _convert_="all")
        self.interrupt = Interrupt()
        self.live = None
        self.checkpoint = folder / "checkpoints" / "last.ckpt"

    def begin(self) -> None:
        """Have the folder as this run needs it, and write its card. InputError where it holds what can't be read."""
        config = self.config
        # Once for all stages: a CSV logger empties its file when it is made.
        self.trainer = instantiate(config.trainer, _target_="builtins.dict", _convert_="all")
        if config.resume:
            remove_leftovers(self.folder)
        else:  # what another run left here: stopped early, this one would go on with it
            self.checkpoint.unlink(missing_ok=True)
            if config.image is not None:
                (self.folder / "views" / "transforms.json").unlink(missing_ok=True)
        # A run that was stopped between its photo's views and its first checkpoint has none.
        self.resumed_stage, step = saved_stage(self.checkpoint) if self.checkpoint.is_file() else (None, 0)
        known = self.coarse is None or self.resumed_stage is None or self.resumed_stage in config.system.stages
        if not known:
            raise InputError(
                f"{self.checkpoint}: of a stage {one_line(str(self.resumed_stage))!r}; expected one of "
                f"{', '.join(config.system.stages)}, or the file removed: then the run starts again"
            )
        if config.resume and self.coarse is not None:
            stages = list(config.system.stages)
            keep_numbers(self.trainer["logger"], stages=stages, stage=self.resumed_stage or stages[0], step=step)
        self.card = RunCard.begin(
            self.folder,
            config=self.settings,
            seed=config.seed,
            device=str(self.device),
            provenance=provenance(self.settings),
        )
        for use, licence in used_licences(config.kernels).items():
            log.info("%s: %s", use, licence)
            self.card.add_licence(use, licence)
        self.shared = None
        if self.share is not None:
            self.shared = SharedStages(self.share, self.card, lambda: self.interrupt.requested)

    def execute(self) -> None:
        """All stages, in order; an interrupted one hands on what it has."""
        self.begin()
        with notified_loggers(self.trainer["logger"], self.config), self.card.hearing_warnings():
            try:
                with undisguised():
                    self._execute()
            except (Stopped, KeyboardInterrupt):  # the latter while nothing listens: in the views, and in the export
                self.card.stop(*self._ended_at())
                raise

    def _execute(self) -> None:
        if self.coarse is None:
            with self.card.stage("views"):
                self._generate_views()
            write_report(self.folder, self.card.as_finished())
            self.card.finish()
            log.info(summary("views", self.folder / "views", self.card.stages, self.card.card["warnings"]))
            return
        with self.card.stage("views"):  # Ctrl+C ends it at once: there is nothing yet to finish with
            views = self._views()
        if white := white_views(views):
            log.warning("views: the object is nearly white in %d of %d, and so is the background", white, len(views))
        reference = self._reference(views)
        with self.interrupt.listening(), live_page(self.config, views, self.folder) as self.live:
            with self.card.stage("coarse"):
                mesh = self._run_coarse(self.coarse, reference)
            if openings := self.coarse.openings:
                self.card.add_openings([one.card() for one in openings], "; ".join(told(one) for one in openings))
            if self.coarse.solid.found:
                self.card.add_note("coarse", self.coarse.solid.told())
            if self.coarse.filled_dents > 0:
                self.card.add_note("dents", told_of_dents(self.coarse.filled_dents))
            shape: Sv3dNerf | Sv3dDmtet = self.coarse
            if self.fine is not None and not self.interrupt.requested:
                with self.card.stage("fine"):
                    self._seed()
                    coarse = self.coarse
                    self.fine.start_from(reference, mesh, coarse.geometry, coarse.material, coarse.corrections)
                    self._fit("fine", self.fine)
                    shape, mesh = self.fine, self.fine.surface()
        if shape.corrections.count:
            write_corrections(self.folder, shape)
        with self.card.stage("export"):
            failed = export_mesh(
                self.exporter, mesh, shape, views, self.folder, self.card, keep_unseen=self._needs_nvs()
            )
        if self._is_whole():
            write_report(self.folder, self.card.as_finished())
            self.card.finish()
        else:
            self.card.stop(*(self.interrupt.where or (self.card.last_stage, 0, 0)))
            write_report(self.folder, self.card.card)
        log.info(summary("mesh", self.folder / "mesh" / "mesh.glb", self.card.stages, self.card.card["warnings"]))
        if failed is not None:
            log.warning("%s", failed)  # the last line: who reads no other reads this

    def _ended_at(self) -> tuple[str, int, int]:
        """Stage, step, and of how many: where a stage was ended early, else in the last that began."""
        stage, step, of = self.interrupt.where or ("", 0, 0)
        return (stage, step, of) if stage == self.card.last_stage or step < of else (self.card.last_stage, 0, 0)

    def _is_whole(self) -> bool:
        """Whether the last stage came to its last step, and was not ended by the user before."""
        if not self.interrupt.requested:
            return True
        stage, step, of = self.interrupt.where or ("", 0, 1)
        return stage == list(self.config.system.stages)[-1] and step == of

    def _seed(self) -> None:
        """Make what a stage draws its own affair: the one before it may have been computed by another run."""
        torch.manual_seed(max(0, self.config.seed))  # the stages refuse a negative one

    def _views(self) -> PosedViews:
        folder = self.folder / "views"
        if self.config.image is not None:
            self._generate_views()
            if not self._needs_nvs():
                self.nvs = None  # its weights may be larger than all that follows
            return read_views(folder)  # as a run that is resumed will read them
        views = given_views(self.config, folder, self.shared)
        if not torch.equal(views.source_to_world, torch.eye(4, dtype=views.source_to_world.dtype)):
            self.card.add_metrics(source_to_world=str(views.source_to_world.tolist()))
        return views

    def _generate_views(self) -> None:
        config, nvs, folder, card = self.config, self.nvs, self.folder / "views", self.card
        assert nvs is not None  # the command line is refused without a photo
        if self.shared is None or (config.resume and holds_made_views(self.folder)):
            generate_views(config, nvs, folder, card)  # which keeps those that are there
            return
        with self.shared.place("views", views_key(config, nvs)) as place:
            if place.holds_result:
                with place.reading() as source:
                    read_made_views(source, folder, card)
            if not place.taken:
                generate_views(config, nvs, folder, card)
                if place.may_write:
                    with place.writing() as target:
                        write_made_views(target, folder, card)

    def _needs_nvs(self) -> bool:
        return any(asks_nvs(stage) for stage in (self.coarse, self.fine) if stage is not None)

    def _reference(self, views: PosedViews) -> Reference:
        return Reference(views, self.folder / "views", self.nvs)

    def _run_coarse(self, coarse: Sv3dNerf, reference: Reference) -> Mesh:
        if self.resumed_stage == "fine":
            # The fine stage's checkpoint holds the field, the light and the mesh that its lattice started from.
            coarse.start_from(reference)
            return Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
        if self.resumed_stage == "coarse":  # perhaps with sources that have changed: not for others to take
            return self._fit_coarse(coarse, reference)
        if self.shared is None:
            return self._fit_coarse(coarse, reference)
        asked = self.nvs if asks_nvs(coarse) else None
        cache_key = coarse_key(self.config, reference.views, asked, coarse.guidance_keys(reference))
        with self.shared.place("coarse", cache_key) as place:
            if place.holds_result:
                with place.reading() as source:
                    mesh = read_coarse(source, coarse, reference)
            if not place.taken:
                mesh = self._fit_coarse(coarse, reference)
                if place.may_write:
                    with place.writing() as target:
                        write_coarse(target, coarse, mesh)
        return mesh

    def _fit_coarse(self, coarse: Sv3dNerf, reference: Reference) -> Mesh:
        self._seed()
        coarse.start_from(reference)
        self._fit("coarse", coarse)
        mesh = coarse.surface()
        if len(mesh.faces) == 0:
            raise InputError(f"views={self.folder / 'views'}: the coarse stage found no surface; are the poses right?")
        return mesh

    def _fit(self, stage: str, module: Sv3dNerf | Sv3dDmtet) -> None:
        every_steps = self.config.checkpoint_every_steps
        checkpoint = LastCheckpoint(self.checkpoint, stage, every_steps)
        callbacks = [
            LastStep(),
            ProgressLine(stage),
            Finite(stage, self.checkpoint, every_steps),
            checkpoint,
            Losses(stage, self.config.losses_every_steps),
            Pictures(self.folder / stage, self.config.pictures_every_steps),
            Preview(self.folder),
            self.interrupt.of(stage, checkpoint.save),
        ]
        if self.live is not None:
            callbacks.insert(-1, LiveView(self.live, stage, self.folder, self.interrupt, checkpoint.save))
        resumed = self.checkpoint if self.resumed_stage == stage else None
        fit(module, steps=module.steps, trainer=self.trainer, callbacks=callbacks, checkpoint=resumed)
        module.eval()


def asks_nvs(stage: Sv3dNerf | Sv3dDmtet) -> bool:
    """Whether a guidance of the stage wants the novel-view model."""
    return any(part.needs_nvs for part in stage.guidance.values())
