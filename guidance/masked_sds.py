"""What a novel-view model would rather see where no reference view has looked (paper, section 4.2: masked SDS)."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.color import over_white
from sv3dgen.devices import sent_to
from sv3dgen.domains import Between, IntervalOrNever, Seed, Shares, Weights
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Guidance, GuidanceOutput, Reference, RenderOutput, ViewBatch
from sv3dgen.nvs_interfaces import OrbitPrior
from sv3dgen.renderers.framing import framed_picture
from sv3dgen.renderers.outlines import spread_to_outline
from sv3dgen.renderers.unseen import UnseenMask
from sv3dgen.schedules import active_terms, checked_weights, ever_nonzero, value_at, values_of
from sv3dgen.seeding import generator
from sv3dgen.views.cameras import Cameras, look_at_origin
from sv3dgen.views.orbits import SV3D_DISTANCE, Orbit, OrbitRecipe, StaticOrbit, elevations_and_azimuths

NOISE_LEVELS = 50  # of the model's schedule, between which a step draws (docs/method.md)

STEEPEST_DEG = 89.0  # elevation of a view that an orbit can begin at


class MaskedSds(Guidance):
    """Term `sds`: a random orbit of the render against the model's clean estimate of it, one noise level for the orbit.

    The render z (its latents, `form` "latent", the paper's; or its pixels x, "pixel", the authors' code's) is noised by
    sigma and denoised. Gradients: w(sigma) M (eps_model - eps) = w M (z - z_clean) / sigma for latents, with w
    "variance" = sigma^2 / (1 + sigma^2), as DreamFusion, "uniform" = 1, "clean" = sigma; M^2 (x - x_clean) for pixels.
    Both are sums over an orbit, divided by its frames. The UNet is never differentiated. `mask` None is naive SDS.

    The noise range [noise_low, noise_high] is in levels of the model's schedule, 0 to 1. The orbit starts at the view
    that the model is conditioned on, the last of the reference views. `supersample` draws that many times as large and
    averages. Pictures of what the model saw, what it wanted and the mask are kept every `pictures_every_steps` steps.
    """

    terms: tuple[str, ...] = ("sds",)

    def __init__(
        self,
        *,
        weights: Weights,
        mask: UnseenMask | None,
        orbit: OrbitRecipe,
        noise_low: Shares,
        noise_high: Shares,
        form: Literal["latent", "pixel"] = "latent",
        weighting: Literal["variance", "uniform", "clean"] = "clean",
        guidance_max: Annotated[float | int, Between(0.0, 100.0)] = 3.0,
        supersample: Annotated[int, Between(1, 8)] = 1,
        pictures_every_steps: IntervalOrNever = 0,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        if supersample < 1:
            raise InputError(f"distillation.supersample={supersample}: expected at least 1")
        if pictures_every_steps < 0:
            raise InputError(f"distillation.pictures_every_steps={pictures_every_steps}: expected 0 or more")
        for name, levels in (("noise_low", noise_low), ("noise_high", noise_high)):
            if not all(0 <= level <= 1 for level in values_of(levels)):
                raise InputError(f"distillation.{name}={levels}: expected levels from 0 to 1")
        self.weights = checked_weights(weights, self.terms)
        self.needs_nvs = ever_nonzero(self.weights.get("sds", 0.0))
        self.mask, self.recipe, self.form, self.weighting = mask, orbit, form, weighting
        self.noise_low, self.noise_high, self.guidance_max = noise_low, noise_high, guidance_max
        self.supersample, self.pictures_every_steps, self.seed = supersample, pictures_every_steps, seed
        self._reference: Reference | None = None
        self._prior: OrbitPrior | None = None

    def start_from(self, reference: Reference) -> None:
        if self.needs_nvs and reference.nvs is None:
            raise InputError("guidance/sds: needs a novel-view model; expected nvs=auto, sv3d_p, sv3d_u or sv3d_tiny")
        self._reference, self._prior = reference, None
        elevations_deg, azimuths_deg = elevations_and_azimuths(reference.views.cameras[-1:])
        self._front_deg = float(elevations_deg[0]), float(azimuths_deg[0])
        if self.needs_nvs and abs(self._front_deg[0]) > STEEPEST_DEG:
            raise InputError(
                f"guidance/sds: the last view looks from {self._front_deg[0]:.1f} degrees, where no orbit begins; "
                f"expected it within +-{STEEPEST_DEG:g}"
            )

    @property
    def prior(self) -> OrbitPrior:
        """The model, loaded and shown its picture when a step first asks: many runs stop before."""
        if self._prior is None:
            assert self._reference is not None and self._reference.nvs is not None, "call start_from first"
            model = self._reference.nvs
            picture = framed_picture(self._reference.views[-1:], model.abilities.size_px)
            self._prior = model.prior(picture, seed=self.seed)
        return self._prior

    def cameras(self, step: int) -> Cameras | None:
        if not active_terms(self.weights, step):
            return None
        orbit, size_px = self._orbit(step), self.supersample * self.prior.abilities.size_px
        azimuth_deg = orbit.azimuth_deg + self._front_deg[1]
        return look_at_origin(orbit.elevation_deg, azimuth_deg, distance=SV3D_DISTANCE, size_px=size_px)

    def forward(self, render: RenderOutput, batch: ViewBatch, step: int) -> GuidanceOutput:
        cameras = self.cameras(step)
        if cameras is None:
            return GuidanceOutput({})
        drawn = self._averaged(over_white(spread_to_outline(render.rgb, render.shaded), render.opacity))
        mask = self._averaged(self._unseen(render, cameras))
        value, gradient, clean = self._pull(drawn.detach(), mask, step)
        # The value is half the squared residual, and its gradient the one above.
        loss = value + ((drawn - drawn.detach()) * gradient).sum()
        every = self.pictures_every_steps
        if not every or (step + 1) % every:  # counted as the other pictures are: by steps that are done
            return GuidanceOutput({"sds": loss})
        wanted = self.prior.decode(clean)
        return GuidanceOutput({"sds": loss}, {"render": drawn.detach(), "wanted": wanted, "mask": mask})

    def _pull(
        self, drawn: Float[Tensor, "frames 3 height width"], mask: Float[Tensor, "frames 1 height width"], step: int
    ) -> tuple[Tensor, Float[Tensor, "frames 3 height width"], Float[Tensor, "frames channels _ _"]]:
        """Value of the loss, its gradient for the pictures, and the clean latents that the model estimates."""
        generator = self._generator(step, stream="noise")
        latents = self.prior.encode(drawn)
        sigma = self.prior.sigma(self._noise_level(step, generator))
        noise = sent_to(latents.device, torch.randn(latents.shape, generator=generator))
        noisy = latents + sigma * noise
        clean = self.prior.denoise(noisy, sigma, self._orbit(step), guidance_max=self.guidance_max)
        frames = len(drawn)
        if self.form == "pixel":
            residual = mask * (drawn - self.prior.decode(clean))
            return 0.5 * residual.square().sum() / frames, mask * residual / frames, clean
        factor = {"variance": sigma / (1 + sigma**2), "uniform": 1 / sigma, "clean": 1.0}[self.weighting]
        weight = factor / frames * torch.nn.functional.adaptive_avg_pool2d(mask, (latents.shape[2], latents.shape[3]))
        value = 0.5 * (weight * (latents - clean).square()).sum()
        return value, self.prior.pull_back(drawn, weight * (latents - clean)), clean

    def _unseen(self, render: RenderOutput, cameras: Cameras) -> Float[Tensor, "frames 1 height width"]:
        """The mask as pictures. Pixels next to the object take their neighbors' values: an outline moves both ways."""
        if self.mask is None:
            return torch.ones_like(render.opacity)
        assert self._reference is not None, "call start_from first"
        device = render.opacity.device
        view, _, row, col = (render.shaded & (render.opacity > 0)).nonzero(as_tuple=True)
        origins, directions = cameras.to(device).rays()
        where = view, row, col
        points = origins[where] + render.buffer("depth").detach()[view, 0, row, col, None] * directions[where]
        normals = render.buffer("normal").detach()[view, :, row, col]
        looking = self._reference.views.cameras.to(device)
        values = self.mask(points, normals, looking, render.mesh and render.mesh.detach())
        mask = torch.full_like(render.opacity, -1.0)
        mask[view, 0, row, col] = values
        grown = torch.nn.functional.max_pool2d(mask, 3, stride=1, padding=1)
        return torch.where(mask >= 0, mask, grown).clamp(min=0).detach()

    def _averaged(self, pictures: Float[Tensor, "frames channels height width"]) -> Tensor:
        return pictures if self.supersample == 1 else torch.nn.functional.avg_pool2d(pictures, self.supersample)

    def _noise_level(self, step: int, generator: torch.Generator) -> float:
        low, high = (round(NOISE_LEVELS * value_at(limit, step)) for limit in (self.noise_low, self.noise_high))
        return int(torch.randint(low, max(low, high) + 1, (), generator=generator)) / NOISE_LEVELS

    def _orbit(self, step: int) -> Orbit:
        """The step's orbit; its azimuths are counted from the conditioning view."""
        abilities = self.prior.abilities
        recipe = self.recipe if abilities.takes_poses else StaticOrbit()
        return recipe(self._front_deg[0], abilities.frames, self._generator(step, stream="orbit"))

    def _generator(self, step: int, *, stream: str) -> torch.Generator:
        """Of what is random in a step: the same numbers whatever came before it."""
        return generator(self.seed, "masked_sds", stream, step)
