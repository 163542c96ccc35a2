"""The fine stage: a deformable tetrahedral mesh refined against reference views."""

from collections.abc import Mapping

import lightning
import torch
from torch import Tensor

from geometry.dmtet import DMTet
from sv3dgen.cameras import Cameras
from sv3dgen.data.view_batches import ViewBatches
from sv3dgen.interfaces import Geometry, Guidance, Material, Reference, Renderer, RenderOutput
from sv3dgen.mesh import Mesh
from sv3dgen.schedules import Schedule, value_at
from systems.weighing import (
    Weighed,
    buffers_needed,
    check_steps,
    start_guidance,
    step_seed,
    switched_on,
    weighed_losses,
)


class Sv3dDmtet(lightning.LightningModule):
    """Refines the coarse stage's mesh, texture field and light with the mesh renderer (SV3D, section 4).

    Signed distances and offsets learn at `shape_learning_rate` (cells a step), field, texture network and light at
    `learning_rate`. Where the lattice is refined, the optimizer starts afresh for the new lattice only.
    """

    def __init__(
        self,
        *,
        geometry: DMTet,
        material: Material,
        renderer: Renderer,
        guidance: Mapping[str, Guidance | Mapping],
        data: ViewBatches,
        steps: int,
        learning_rate: Schedule = 0.01,
        shape_learning_rate: Schedule = 0.01,
        seed: int = 0,
    ):
        super().__init__()
        check_steps(steps, seed)
        self.geometry, self.material, self.renderer = geometry, material, renderer
        self.guidance = switched_on(guidance)
        self.data, self.steps, self.seed = data, steps, seed
        self.learning_rate, self.shape_learning_rate = learning_rate, shape_learning_rate

    def start_from(self, reference: Reference, mesh: Mesh, texture: Geometry, material: Material) -> None:
        """Take the views to fit and what the coarse stage learned: its mesh, its field and its light."""
        self.views = reference.views.to(self.device)
        self.data.use(self.views)
        start_guidance(self.guidance, reference)
        self.guidance.to(self.device)
        self.renderer.draw_only(buffers_needed(self.guidance))
        self.geometry.texture = texture.to(self.device)
        self.material.load_state_dict(material.state_dict())
        if len(mesh.faces):
            self.geometry.build(mesh)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        assert self.geometry.texture is not None
        look = [*self.geometry.texture.parameters(), *self.material.parameters()]
        shape = [self.geometry.sdf, self.geometry.offsets]
        groups = [{"params": look}, {"params": shape}]
        return torch.optim.Adam(groups, lr=value_at(self.learning_rate, 0), betas=(0.9, 0.99), eps=1e-8, fused=True)

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        # Before the step, not in it: Lightning already holds the step's optimizer by then.
        if self.geometry.refines_at(self.global_step):
            self._refine(self.global_step)

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        step = self.global_step
        for group, rate in zip(
            self.optimizers().param_groups,  # type: ignore[union-attr]
            (self.learning_rate, self.shape_learning_rate),
            strict=True,
        ):
            group["lr"] = value_at(rate, step)
        self.last = self.losses_at(step)
        return self.last.loss

    def losses_at(self, step: int) -> Weighed:
        """What the guidances say in a step, by the parts as they are."""
        torch.manual_seed(step_seed(self.seed, step))
        self.geometry.on_step(step)
        return weighed_losses(self.guidance, self._draw, self.data.at(step), step)

    def _draw(self, cameras: Cameras, pixels: Tensor | None, *, whole: bool = False) -> RenderOutput:
        self.renderer.train(not whole)
        return self.renderer(self.geometry, self.material, cameras, pixels)

    def surface(self) -> Mesh:
        """The closed mesh as it stands."""
        with torch.no_grad():
            return self.geometry.isosurface()

    def _refine(self, step: int) -> None:
        """A finer lattice around the present surface; texture and light keep their optimizer state."""
        before = self.optimizers(use_pl_optimizer=False)
        self.geometry.build(self.surface(), step)
        after = self.configure_optimizers()
        for parameter, state in before.state.items():  # type: ignore[union-attr]
            if any(parameter is kept for kept in after.param_groups[0]["params"]):
                after.state[parameter] = state
        self.trainer.strategy.optimizers = [after]
