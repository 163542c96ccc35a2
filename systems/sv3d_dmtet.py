"""The fine stage: a surface refined against reference views."""

from collections.abc import Mapping

import torch

from sv3dgen.data.view_batches import ViewBatches
from sv3dgen.data.view_corrections import ViewCorrections
from sv3dgen.domains import LearningRates, Pixels, Seed, Share, Steps
from sv3dgen.interfaces import Geometry, Guidance, Material, Reference, Renderer, Surface
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.schedules import Schedule
from systems.pace import Pace
from systems.stage import Stage
from systems.weighting import check_features, check_kind


class Sv3dDmtet(Stage):
    """Refines the coarse stage's mesh, texture field and light with the mesh renderer (SV3D, section 4).

    The surface's shape learns at `shape_learning_rate` (of a DMTet in cells a step), its features and the light at
    `learning_rate`. Where the surface is refined, the optimizer starts afresh for the new shape only. `small_steps` of
    `steps` will do where a model's views have at most `small_px` pixels a side (`pace.py`).
    """

    geometry: Surface

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
        small_px: Pixels | None = None,
        small_steps: Share = 1.0,
    ):
        super().__init__(
            geometry=geometry,
            material=material,
            renderer=renderer,
            guidance=guidance,
            data=data,
            steps=steps,
            corrections=corrections,
            seed=seed,
            pace=Pace("fine", steps, small_px, small_steps),
        )
        check_kind("fine.geometry", geometry, Surface, renderer)
        check_kind("fine.renderer", renderer, Renderer, geometry)
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
        self._take(reference)
        self.geometry.start_from(mesh if len(mesh.faces) else None, texture.to(self.device))
        check_features("fine", self.geometry, self.material)
        self.material.load_state_dict(material.state_dict())
        if corrections is not None and corrections.count == self.corrections.count:
            self.corrections.load_state_dict(corrections.state_dict())

    @property
    def rates(self) -> tuple[Schedule, ...]:
        return self.learning_rate, self.shape_learning_rate

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = self.geometry.trained()
        return self._adam([*trained.look, *self.material.parameters()], [*trained.shape])

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        # Before the step, not in it: Lightning already holds the step's optimizer by then.
        if self.geometry.refine(self.scheduled(self.global_step)):
            self._renew_optimizer()

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
