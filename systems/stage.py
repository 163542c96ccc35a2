"""What the coarse and the fine stage have in common: their parts, the views they fit, and how a step goes."""

from collections.abc import Mapping
from typing import cast

import lightning
import torch
from torch import Tensor, nn

from sv3dgen.data.view_batches import ViewBatches
from sv3dgen.data.view_corrections import ViewCorrections
from sv3dgen.interfaces import Geometry, Guidance, Material, Reference, Renderer, RenderOutput
from sv3dgen.schedules import Schedule, value_at
from sv3dgen.seeding import seed_draws
from sv3dgen.views.cameras import Cameras
from systems.pace import Pace
from systems.weighting import (
    Weighted,
    buffers_needed,
    check_steps,
    corrected_losses,
    start_guidance,
    step_seed,
    switched_on,
)


class Stage(lightning.LightningModule):
    """Fits a geometry and a material to views: one render a step, weighed by the guidances, one Adam step.

    A subclass says what the optimizer learns (`configure_optimizers`, by `_adam`) and at which rates (`rates`).
    """

    geometry: Geometry
    material: Material
    renderer: Renderer

    def __init__(
        self,
        *,
        geometry: Geometry,
        material: Material,
        renderer: Renderer,
        guidance: Mapping[str, Guidance | Mapping],
        data: ViewBatches,
        steps: int,
        corrections: ViewCorrections | None,
        seed: int,
        pace: Pace,
    ):
        super().__init__()
        check_steps(steps, seed)
        self.geometry, self.material, self.renderer = geometry, material, renderer
        self.guidance = switched_on(guidance)
        self.corrections = ViewCorrections(of="none") if corrections is None else corrections
        self.data, self.steps, self.seed, self.pace = data, steps, seed, pace

    @property
    def rates(self) -> tuple[Schedule, ...]:
        """The learning rates of the optimizer's groups, in their order, without that of the corrections."""
        raise NotImplementedError

    @property
    def last_step(self) -> int:
        """After how many steps the stage ends; it may find out, while it runs, that fewer than `steps` will do."""
        return self.pace.last_step

    def scheduled(self, step: int) -> int:
        """The step of the whole stage's schedules that a step takes place at."""
        return self.pace.scheduled(step)

    def guidance_keys(self, reference: Reference) -> dict[str, str | None]:
        """What the losses of each guidance follow from, but for settings, views and model (`Guidance.cache_key`)."""
        parts = cast(Mapping[str, Guidance], self.guidance)
        return {name: part.cache_key(reference) for name, part in parts.items()}

    def _take(self, reference: Reference) -> None:
        """Have views, guidances and corrections start from the reference."""
        self.views = reference.views.to(self.device)
        if not any(part.needs_nvs for part in self.guidance.values()):  # a model at work has its own time to take
            self.pace.start_from(reference.views)
        self.data.use(self.views)
        start_guidance(self.guidance, reference)
        self.guidance.to(self.device)
        self.renderer.draw_only(buffers_needed(self.guidance))
        self.corrections.start_from(reference.views)

    def _adam(self, *groups: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam over groups of parameters, and the corrections' where there are any."""
        learned = [*groups, [*self.corrections.parameters()]] if self.corrections.count else [*groups]
        named = [{"params": parameters} for parameters in learned]
        return torch.optim.Adam(named, lr=value_at(self.rates[0], 0), betas=(0.9, 0.99), eps=1e-8, fused=True)

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        step = self.global_step
        for group, rate in zip(
            self.optimizers().param_groups,  # type: ignore[union-attr]
            (*self.rates, self.corrections.learning_rate),
            strict=False,  # without corrections there is no group of theirs
        ):
            group["lr"] = value_at(rate, self.scheduled(step))  # type: ignore[arg-type]
        self.last = self.losses_at(step)
        return self.last.loss

    def losses_at(self, step: int) -> Weighted:
        """What the guidances say in a step, by the parts as they are."""
        seed_draws(step_seed(self.seed, step), self.device)
        self._on_step(step)
        scheduled = self.scheduled(step)
        return corrected_losses(self.guidance, self._draw, self.data.at(step, scheduled), scheduled, self.corrections)

    def _on_step(self, step: int) -> None:
        self.geometry.on_step(self.scheduled(step))

    def _draw(self, cameras: Cameras, pixels: Tensor | None, *, whole: bool = False) -> RenderOutput:
        self.renderer.train(not whole)
        return self.renderer(self.geometry, self.material, cameras, pixels)
