"""The fine stage: a surface refined against reference views."""

from collections.abc import Mapping

import lightning
import torch
from torch import Tensor

from sv3dgen.data.view_batches import ViewBatches
from sv3dgen.data.view_corrections import ViewCorrections
from sv3dgen.domains import LearningRates, Seed, Steps
from sv3dgen.interfaces import Geometry, Guidance, Material, Reference, Renderer, RenderOutput, Surface
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.schedules import value_at
from sv3dgen.views.cameras import Cameras
from systems.weighting import (
    Weighted,
    buffers_needed,
    check_features,
    check_kind,
    check_steps,
    corrected_losses,
    start_guidance,
    step_seed,
    switched_on,
)


class Sv3dDmtet(lightning.LightningModule):
    """Refines the coarse stage's mesh, texture field and light with the mesh renderer (SV3D, section 4).

    The surface's shape learns at `shape_learning_rate` (of a DMTet in cells a step), its features and the light at
    `learning_rate`. Where the surface is refined, the optimizer starts afresh for the new shape only.
    """

    def __init__(
        self,
        *,
        geometry: Surface,
        material: Material,
        renderer: Renderer,
        guidance: Mapping[str, Guidance | Mapping],
        data: ViewBatches,
        steps: Steps,
        corrections: ViewCorrections | None = None,
        learning_rate: LearningRates = 0.01,
        shape_learning_rate: LearningRates = 0.01,
        seed: Seed = 0,
    ):
        super().__init__()
        check_steps(steps, seed)
        check_kind("fine.geometry", geometry, Surface, renderer)
        check_kind("fine.renderer", renderer, Renderer, geometry)
        self.geometry, self.material, self.renderer = geometry, material, renderer
        self.guidance = switched_on(guidance)
        self.corrections = ViewCorrections(of="none") if corrections is None else corrections
        self.data, self.steps, self.seed = data, steps, seed
        self.learning_rate, self.shape_learning_rate = learning_rate, shape_learning_rate

    def start_from(
        self,
        reference: Reference,
        mesh: Mesh,
        texture: Geometry,
        material: Material,
        corrections: ViewCorrections | None = None,
    ) -> None:
        """Take the views to fit and what the coarse stage learned: its mesh, field, light and corrections of views."""
        self.views = reference.views.to(self.device)
        self.data.use(self.views)
        start_guidance(self.guidance, reference)
        self.guidance.to(self.device)
        self.renderer.draw_only(buffers_needed(self.guidance))
        self.geometry.start_from(mesh if len(mesh.faces) else None, texture.to(self.device))
        check_features("fine", self.geometry, self.material)
        self.material.load_state_dict(material.state_dict())
        self.corrections.start_from(reference.views)
        if corrections is not None and corrections.count == self.corrections.count:
            self.corrections.load_state_dict(corrections.state_dict())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = self.geometry.trained()
        groups = [{"params": [*trained.look, *self.material.parameters()]}, {"params": trained.shape}]
        if self.corrections.count:
            groups.append({"params": [*self.corrections.parameters()]})
        return torch.optim.Adam(groups, lr=value_at(self.learning_rate, 0), betas=(0.9, 0.99), eps=1e-8, fused=True)

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        # Before the step, not in it: Lightning already holds the step's optimizer by then.
        if self.geometry.refine(self.global_step):
            self._renew_optimizer()

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        step = self.global_step
        for group, rate in zip(
            self.optimizers().param_groups,  # type: ignore[union-attr]
            (self.learning_rate, self.shape_learning_rate, self.corrections.learning_rate),
            strict=False,  # without corrections there is no group of theirs
        ):
            group["lr"] = value_at(rate, step)
        self.last = self.losses_at(step)
        return self.last.loss

    def losses_at(self, step: int) -> Weighted:
        """What the guidances say in a step, by the parts as they are."""
        torch.manual_seed(step_seed(self.seed, step))
        self.geometry.on_step(step)
        return corrected_losses(self.guidance, self._draw, self.data.at(step), step, self.corrections)

    def _draw(self, cameras: Cameras, pixels: Tensor | None, *, whole: bool = False) -> RenderOutput:
        self.renderer.train(not whole)
        return self.renderer(self.geometry, self.material, cameras, pixels)

    def surface(self) -> Mesh:
        """The closed mesh as it stands."""
        with torch.no_grad():
            return self.geometry.isosurface()

    def _renew_optimizer(self) -> None:
        """One for the new parameters of the shape; all others keep their state."""
        before = self.optimizers(use_pl_optimizer=False)
        after = self.configure_optimizers()
        staying = [kept for group in after.param_groups for kept in group["params"]]
        for parameter, state in before.state.items():  # type: ignore[union-attr]
            if any(parameter is kept for kept in staying):
                after.state[parameter] = state
        self.trainer.strategy.optimizers = [after]
