"""Score distillation: its gradient is the closed form, the UNet is never differentiated, the mask masks."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from guidance.masked_sds import MaskedSds
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Reference, RenderOutput, ViewBatch
from sv3dgen.nvs_interfaces import NVSAbilities, NVSModel, OrbitPrior
from sv3dgen.renderers.framing import framed_picture
from sv3dgen.renderers.unseen import UnseenMask
from sv3dgen.views.cameras import look_at_origin
from sv3dgen.views.orbits import DistillationOrbit, Orbit, StaticOrbit
from sv3dgen.views.posed_views import PosedViews

SIZE, FRAMES = 16, 5


class Linear(OrbitPrior):
    """Latents are twice the mean of every 4 x 4 pixels; clean latents are always `clean`."""

    def __init__(self, clean: float = 0.25, takes_poses: bool = True) -> None:
        self.abilities = NVSAbilities("stub", FRAMES, SIZE, takes_poses, "none")
        self.clean, self.noises, self.sigmas, self.orbits = clean, [], [], []

    def sigma(self, level: float) -> float:
        return 10.0 * level

    def encode(self, pictures: Tensor) -> Tensor:
        return 2 * torch.nn.functional.avg_pool2d(pictures, 4)

    def pull_back(self, pictures: Tensor, gradient: Tensor) -> Tensor:
        return gradient.repeat_interleave(4, 2).repeat_interleave(4, 3) * 2 / 16

    def denoise(self, noisy: Tensor, sigma: float, orbit: Orbit, *, guidance_max: float) -> Tensor:
        assert not noisy.requires_grad
        self.noises.append(noisy)
        self.sigmas.append(sigma)
        self.orbits.append(orbit)
        return torch.full_like(noisy, self.clean)

    def decode(self, latents: Tensor) -> Tensor:
        return latents.repeat_interleave(4, 2).repeat_interleave(4, 3) / 2


class Model(NVSModel):
    def __init__(self, prior: Linear) -> None:
        self.abilities, self.made, self.picture = prior.abilities, prior, None

    def views(self, image, orbit, *, seed):
        raise AssertionError("not asked for")

    def prior(self, image, *, seed):
        self.picture = image
        return self.made


def reference(prior: Linear, front_deg: float = 0.0, elevation_deg: float = 10.0) -> Reference:
    azimuths = torch.tensor([120.0, 240.0, 0.0]) + front_deg
    cameras = look_at_origin(torch.full((3,), elevation_deg), azimuths, distance=2.0, size_px=SIZE)
    images = torch.full((3, 4, SIZE, SIZE), 255, dtype=torch.uint8)
    views = PosedViews(
        images, cameras, ("0", "1", "2"), ("train",) * 3, torch.zeros(3), azimuths, torch.eye(4).double()
    )
    model = Model(prior)
    return Reference(views, Path("."), model)


def guidance(prior: Linear | None = None, **settings: Any) -> MaskedSds:
    defaults: dict[str, Any] = {
        "weights": {"sds": 1.0},
        "mask": None,
        "orbit": DistillationOrbit(),
        "noise_low": 0.5,
        "noise_high": 0.5,
    }
    part = MaskedSds(**(defaults | settings))
    part.start_from(reference(prior or Linear()))
    return part


def render_of(pictures: Tensor, normal: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> RenderOutput:
    """A wall through the origin that fills every frame."""
    ones = torch.ones(len(pictures), 1, *pictures.shape[2:])
    normals = torch.tensor(normal)[None, :, None, None].expand(len(pictures), 3, *pictures.shape[2:])
    return RenderOutput(pictures, ones, ones > 0, {"depth": 2 * ones, "normal": normals})


NO_BATCH = ViewBatch(
    look_at_origin(torch.zeros(0), torch.zeros(0), distance=2.0), None, torch.zeros(0, 3, 1, 1), torch.zeros(0, 1, 1, 1)
)


@pytest.mark.parametrize(("weighting", "factor"), [("clean", 1.0), ("uniform", 0.2), ("variance", 5 / 26)])
def test_latent_gradient_is_the_closed_form(weighting, factor):
    prior = Linear()
    part = guidance(prior, weighting=weighting)
    pictures = torch.rand(FRAMES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = part(render_of(pictures), NO_BATCH, 7).losses["sds"]
    loss.backward()
    latents = prior.encode(pictures.detach())
    assert prior.sigmas == [5.0]
    noise = (prior.noises[0] - latents) / 5.0
    predicted = (prior.noises[0] - 0.25) / 5.0  # eps of the model
    w = {"clean": 5.0, "uniform": 1.0, "variance": 25 / 26}[weighting]
    expected = prior.pull_back(pictures, w * (predicted - noise) / FRAMES)
    torch.testing.assert_close(pictures.grad, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loss.detach(), 0.5 * factor * (latents - 0.25).square().sum() / FRAMES)


def test_noise_is_unit_and_follows_seed_and_step():
    def noise(seed: int, step: int) -> Tensor:
        prior = Linear()
        part = guidance(prior, seed=seed)
        part(render_of(torch.zeros(FRAMES, 3, SIZE, SIZE)), NO_BATCH, step)
        return prior.noises[0] / 5.0

    first = noise(0, 0)
    assert torch.equal(first, noise(0, 0))
    assert not torch.equal(first, noise(0, 1)) and not torch.equal(first, noise(1, 0))
    many = torch.stack([noise(0, step) for step in range(40)])
    assert abs(float(many.mean())) < 0.02 and float(many.std()) == pytest.approx(1, abs=0.02)


def test_pixel_gradient_is_the_masked_residual():
    prior = Linear()
    mask = UnseenMask()
    part = guidance(prior, form="pixel", mask=mask)
    pictures = torch.rand(FRAMES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    tilted = (0.0, 0.98, 0.2)
    loss = part(render_of(pictures, tilted), NO_BATCH, 3).losses["sds"]
    loss.backward()
    cameras = part.cameras(3)
    assert cameras is not None
    origins, directions = cameras.rays()
    points = (origins + 2 * directions).reshape(-1, 3)
    normals = torch.tensor(tilted).expand_as(points)
    m = mask(points, normals, reference(prior).views.cameras).reshape(FRAMES, 1, SIZE, SIZE)
    assert 0.05 < m.mean() < 0.95
    torch.testing.assert_close(pictures.grad, m.square() * (pictures.detach() - 0.125) / FRAMES)
    torch.testing.assert_close(loss.detach(), 0.5 * (m * (pictures.detach() - 0.125)).square().sum() / FRAMES)


def test_seen_surfaces_are_left_alone():
    for form in ("latent", "pixel"):
        pictures = torch.rand(FRAMES, 3, SIZE, SIZE, requires_grad=True)
        part = guidance(form=form, mask=UnseenMask())
        part(render_of(pictures), NO_BATCH, 0).losses["sds"].backward()
        assert pictures.grad is not None and not pictures.grad.any()


def test_the_mask_reaches_a_pixel_beyond_the_outline():
    part = guidance(form="pixel", mask=UnseenMask())
    opacity = torch.zeros(FRAMES, 1, SIZE, SIZE)
    opacity[..., 4:8] = 1
    opacity.requires_grad_()
    render = dataclasses.replace(
        render_of(torch.rand(FRAMES, 3, SIZE, SIZE), (0.0, 1.0, 0.0)), opacity=opacity, shaded=opacity > 0
    )
    part(render, NO_BATCH, 0).losses["sds"].backward()
    assert opacity.grad is not None
    assert (opacity.grad[..., 3:9].abs().sum((0, 1, 2)) > 0).all()
    assert not opacity.grad[..., :3].any() and not opacity.grad[..., 9:].any()


def test_supersampled_pictures_are_averaged():
    prior = Linear()
    part = guidance(prior, supersample=3, form="pixel")
    cameras = part.cameras(0)
    assert cameras is not None and cameras.width_px == 3 * SIZE
    pictures = torch.rand(FRAMES, 3, 3 * SIZE, 3 * SIZE, requires_grad=True)
    part(render_of(pictures), NO_BATCH, 0).losses["sds"].backward()
    small = torch.nn.functional.avg_pool2d(pictures.detach(), 3)
    expected = ((small - 0.125) / FRAMES / 9).repeat_interleave(3, 2).repeat_interleave(3, 3)
    torch.testing.assert_close(pictures.grad, expected)


def test_noise_range_follows_its_schedule():
    prior = Linear()
    part = guidance(prior, noise_low=[[0, 0.7], [100, 0.3]], noise_high=[[0, 0.9], [100, 0.8]])
    still = render_of(torch.zeros(FRAMES, 3, SIZE, SIZE))
    for step in [0] * 1 + [100] * 1 + list(range(200, 400)):
        part(still, NO_BATCH, step)
    assert 7 <= prior.sigmas[0] <= 9
    late = torch.tensor(prior.sigmas[1:])
    assert late.min() == pytest.approx(3.0) and late.max() == pytest.approx(8.0)
    assert len(late.unique()) == 26  # the levels of a schedule of 50


def test_orbits_begin_at_the_conditioning_view():
    prior = Linear()
    part = MaskedSds(
        weights={"sds": 1.0},
        mask=None,
        orbit=DistillationOrbit(),
        noise_low=0.5,
        noise_high=0.5,
        pictures_every_steps=2,
    )
    part.start_from(reference(prior, front_deg=50.0, elevation_deg=20.0))
    cameras = part.cameras(1)
    assert cameras is not None
    last = look_at_origin(torch.tensor([20.0]), torch.tensor([50.0]), distance=2.0)
    torch.testing.assert_close(cameras.positions[-1:], last.positions, rtol=0, atol=1e-5)
    said = part(render_of(torch.rand(FRAMES, 3, SIZE, SIZE)), NO_BATCH, 1)
    assert prior.orbits[0].azimuth_deg[-1] == 0 and prior.orbits[0].elevation_deg[-1] == pytest.approx(20.0, abs=1e-4)
    assert {name: picture.shape[1] for name, picture in said.pictures.items()} == {"render": 3, "wanted": 3, "mask": 1}
    assert not part(render_of(torch.rand(FRAMES, 3, SIZE, SIZE)), NO_BATCH, 2).pictures


def test_a_model_without_poses_gets_static_orbits():
    prior = Linear(takes_poses=False)
    part = guidance(prior)
    part(render_of(torch.rand(FRAMES, 3, SIZE, SIZE)), NO_BATCH, 0)
    static = StaticOrbit()(10.0, FRAMES, torch.Generator())
    torch.testing.assert_close(prior.orbits[0].azimuth_deg, static.azimuth_deg)
    torch.testing.assert_close(prior.orbits[0].elevation_deg, static.elevation_deg, rtol=0, atol=1e-4)


def test_without_weight_no_model_is_loaded():
    part = MaskedSds(
        weights={"sds": [[10, 0.0], [20, 1.0]]}, mask=None, orbit=StaticOrbit(), noise_low=0.5, noise_high=0.5
    )
    assert part.needs_nvs

    class Never(Model):
        def prior(self, image, *, seed):
            raise AssertionError("loaded")

    part.start_from(dataclasses.replace(reference(Linear()), nvs=Never(Linear())))
    assert part.cameras(5) is None
    assert not part(render_of(torch.rand(1, 3, SIZE, SIZE)), NO_BATCH, 5).losses
    off = MaskedSds(weights={"sds": 0.0}, mask=None, orbit=StaticOrbit(), noise_low=0.5, noise_high=0.5)
    assert not off.needs_nvs


def test_it_says_that_it_needs_a_model():
    part = MaskedSds(weights={"sds": 1.0}, mask=None, orbit=StaticOrbit(), noise_low=0.5, noise_high=0.5)
    with pytest.raises(InputError, match="novel-view model"):
        part.start_from(dataclasses.replace(reference(Linear()), nvs=None))


@pytest.mark.parametrize(
    "setting",
    [{"supersample": 0}, {"pictures_every_steps": -1}, {"noise_low": 2.0}, {"noise_high": [[0, 0.9], [9, -0.1]]}],
)
def test_impossible_numbers_are_refused(setting):
    with pytest.raises(InputError, match=f"distillation.{next(iter(setting))}=.*expected"):
        guidance(**setting)


def checkers(size: int) -> Tensor:
    ticks = (torch.arange(size) * 8 // size) % 2
    return (ticks[:, None] ^ ticks[None]).float()


@pytest.mark.parametrize(("distance", "fov_deg"), [(2.0, 33.8), (4.0, 17.274), (3.0, 33.8)])
def test_a_view_is_framed_as_the_model_would(distance, fov_deg):
    size = 128
    camera = look_at_origin(torch.zeros(1), torch.zeros(1), distance=distance, fov_deg=fov_deg, size_px=size)
    images = torch.full((1, 4, size, size), 255, dtype=torch.uint8)
    images[0, :3] = (255 * checkers(size)).byte()
    names, angles = ("0",), torch.zeros(1)
    view = PosedViews(images, camera, names, ("train",), angles, angles, torch.eye(4).double())
    framed = framed_picture(view, size)
    tan = torch.tan(torch.deg2rad(torch.tensor([fov_deg, 33.8])) / 2)
    shown = float(distance * tan[0] / (2.0 * tan[1]))  # of the model's frame
    if shown < 1.01:  # the same frame: the same picture, but for the last row and column of a pixel's blur
        assert (framed[0] - checkers(size)).abs().median() < 1e-3
    else:  # from farther away the square is the middle of what is seen
        middle = torch.nn.functional.interpolate(checkers(size)[None, None], scale_factor=shown, mode="nearest")
        edge = (middle.shape[-1] - size) // 2
        cut = middle[0, 0, edge : edge + size, edge : edge + size]
        assert (framed[0] - cut).abs().median() < 1e-3
