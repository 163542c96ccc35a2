"""Both stages on a GPU, real (--device cuda) or pretended: the CPU's numbers, and hardly a wait in a step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import trimesh
from omegaconf import DictConfig, OmegaConf
from pretend_device import NAME, PretendDevice
from stage_case import HostsDraws, composed, pretended
from torch import Tensor

from guidance.masked_sds import MaskedSds
from guidance.normal_prior import NormalPrior
from sv3dgen import devices
from sv3dgen.devices import find_device
from sv3dgen.interfaces import Reference
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.metrics.lpips import Lpips
from sv3dgen.normals.source import NormalSource
from sv3dgen.renderers.unseen import UnseenMask
from sv3dgen.views.orbits import StaticOrbit
from sv3dgen.views.posed_views import PosedViews
from systems.building import build_stage
from tests.guidance.test_masked_sds import Linear, Model

FURTHER = pytest.mark.thorough
SMALL = (
    "coarse.geometry.levels=4",
    "coarse.geometry.log2_table_size=10",
    "coarse.renderer.resolution=16",
    "coarse.renderer.warmup_steps=0",
    "coarse.renderer.step_size=0.05",
    "coarse.hull_resolution=32",
    "coarse.mesh_resolution=24",
    "coarse.mesh_depth_px=24",
)
BATCHES = {
    "patches": {"size_px": 48, "layout": "patches", "patches": 64},
    "strided": {"size_px": 48, "layout": "strided", "views": 3, "stride": 4},
    "cropped": {"size_px": 32, "layout": "frames", "views": 2, "crop_margin_px": 4},
    "frames": {"size_px": 32, "layout": "frames", "views": 2},
}
# Every term of every guidance that needs no network.
TERMS = {
    "coarse": {
        "reference_views": {"rgb": 1000.0, "mask": 750.0},
        "smoothness": {"depth": 10.0, "normal": 7.0, "bilateral_depth": 99.0, "albedo": 9.0, "albedo_range": 300.0},
        "regularity": {"orientation": 10.0, "opaque": 20.0},
        "illumination": {"illumination": 5.0},
    },
    "fine": {
        "reference_views": {"rgb": 1000.0, "mask": 750.0},
        "smoothness": {"depth": 10.0, "normal": 7.0, "bilateral_normal": 99.0, "albedo": 9.0, "albedo_range": 300.0},
        "regularity": {"mesh_normal": 100.0},
        "illumination": {"illumination": 5.0},
    },
}


@pytest.fixture
def pretend(monkeypatch) -> Iterator[PretendDevice]:
    with pretended(monkeypatch) as entered:
        yield entered


@pytest.fixture
def device(request) -> Iterator[torch.device]:
    """Where the stages are tried: on a GPU (--device cuda), or on the pretend one."""
    real = str(request.config.getoption("--device"))
    if real == "cpu":
        request.getfixturevalue("pretend")
        yield torch.device("pretend")
        return
    with HostsDraws():
        yield find_device(real)


def with_all_terms(stage: str, layout: str, *settings: str) -> DictConfig:
    config = composed(*SMALL, *settings)
    OmegaConf.set_struct(config, False)
    config.fine.geometry.resolutions = [[0, 16]]
    config[stage].data.milestones = [[0, BATCHES[layout]]]
    config[stage].guidance.reference_views.background = "random"
    config[stage].renderer.albedo_jitter = 0.01
    for name, weights in TERMS[stage].items():
        config[stage].guidance[name].weights = weights
    return config


def coarse(views: PosedViews, device: torch.device, layout: str, *settings: str) -> Any:
    config = with_all_terms("coarse", layout, *settings)
    torch.manual_seed(0)
    stage = build_stage("coarse", config.coarse).to(device)
    stage.start_from(Reference(views, Path("views")))
    return stage.train()


def fine(views: PosedViews, device: torch.device, layout: str, *settings: str) -> Any:
    first = coarse(views, device, "patches", *settings)
    config = with_all_terms("fine", layout, *settings)
    stage = build_stage("fine", config.fine).to(device)
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=0.4)
    mesh = Mesh(torch.tensor(sphere.vertices, dtype=torch.float32), torch.tensor(sphere.faces))
    stage.start_from(Reference(views, Path("views")), mesh, first.geometry, first.material)
    return stage.train()


def step_of(stage: Any, step: int) -> list[Tensor]:
    """The loss of a step and its gradients, on the CPU."""
    stage.zero_grad()
    loss = stage.losses_at(step).loss
    loss.backward()
    pulled = [parameter.grad for parameter in stage.parameters() if parameter.grad is not None]
    assert {gradient.device.type for gradient in pulled} == {stage.device.type} == {loss.device.type}
    return [loss.detach().cpu(), *(gradient.cpu() for gradient in pulled)]


def assert_alike(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * float(other.abs().max()), rtol=1e-3)


@pytest.mark.parametrize(
    ("layout", "material"),
    [
        ("patches", "sg"),
        ("strided", "constant"),
        pytest.param("patches", "constant", marks=FURTHER),
        pytest.param("patches", "sg_fork", marks=FURTHER),
        pytest.param("strided", "sg", marks=FURTHER),
        pytest.param("strided", "sg_fork", marks=FURTHER),
    ],
)
def test_a_coarse_step_is_the_cpus(posed_views, device, material, layout):
    settings = (f"material={material}",)
    expected = step_of(coarse(posed_views, torch.device("cpu"), layout, *settings), 16)
    assert_alike(step_of(coarse(posed_views, device, layout, *settings), 16), expected)


@pytest.mark.parametrize(
    ("layout", "share", "material"),
    [
        ("cropped", 0.5, "constant"),
        ("frames", 1.0, "sg_fork"),
        pytest.param("cropped", 0.5, "sg", marks=FURTHER),
        pytest.param("cropped", 0.5, "sg_fork", marks=FURTHER),
        pytest.param("frames", 1.0, "constant", marks=FURTHER),
        pytest.param("frames", 1.0, "sg", marks=FURTHER),
    ],
)
def test_a_fine_step_is_the_cpus(posed_views, device, material, layout, share):
    settings = (f"material={material}", f"fine.renderer.shade_fraction={share}")
    expected = step_of(fine(posed_views, torch.device("cpu"), layout, *settings), 16)
    assert_alike(step_of(fine(posed_views, device, layout, *settings), 16), expected)


MARCHING = {"sv3dgen/kernels/ray_marching/march.py:march": 1, "sv3dgen/kernels/ray_marching/seen.py:march_seen": 1}
MESHING = {
    "sv3dgen/kernels/marching_tetrahedra/march.py:marching_tets": 2,
    "sv3dgen/kernels/rasterizer/edge_adjacency.py:_edge_adjacency_reference": 1,
    "sv3dgen/renderers/mesh.py:_shaded_pixels": 1,
}


@pytest.mark.parametrize("layout", ["patches", "strided"])
def test_in_a_coarse_step_the_host_waits_only_for_the_samples_of_its_rays(posed_views, pretend, layout):
    stage = coarse(posed_views, torch.device("pretend"), layout, "material=sg")
    assert waits_of(stage, 17, pretend) == MARCHING
    assert waits_of(stage, 32, pretend) == MARCHING | {"sv3dgen/renderers/volume.py:on_step": 1}


@pytest.mark.parametrize("layout", ["cropped", "frames"])
def test_in_a_fine_step_the_host_waits_only_for_what_the_surface_decides(posed_views, pretend, layout):
    stage = fine(posed_views, torch.device("pretend"), layout, "material=sg", "fine.renderer.shade_fraction=1.0")
    assert waits_of(stage, 17, pretend) == MESHING


@pytest.mark.parametrize("tried", [coarse, fine])
def test_a_device_without_float64_goes_over_the_cpu_where_it_has_to(posed_views, monkeypatch, tried):
    """As on Apple's: no Triton, and no double precision."""
    monkeypatch.setattr(devices, "WITHOUT_FLOAT64", (NAME,))
    layout, step = ("patches", 16) if tried is coarse else ("cropped", 16)
    expected = step_of(tried(posed_views, torch.device("cpu"), layout, "material=sg"), step)
    with PretendDevice(float64=False), HostsDraws():
        stage = tried(posed_views, torch.device(NAME), layout, "material=sg")
        assert_alike(step_of(stage, step), expected)
        assert len(stage.surface().faces) > 100


def waits_of(stage: Any, step: int, pretend: PretendDevice) -> dict[str, int]:
    """Where the host waits in a step that is not the first one, gradients and optimizer included."""
    optimizer = stage.configure_optimizers()
    for _ in range(2):
        pretend.waits.clear()
        optimizer.zero_grad()
        stage.losses_at(step).loss.backward()
        optimizer.step()
    return dict(pretend.counted())


def test_the_coarse_surface_is_the_cpus(posed_views, device):
    surfaces = []
    for where in (torch.device("cpu"), device):
        stage = coarse(posed_views, where, "patches", "material=sg", "coarse.unseen=open")
        surfaces.append(stage.surface())
        assert stage.views.images.device.type == where.type
    assert_alike([surfaces[1].vertices], [surfaces[0].vertices])
    assert torch.equal(surfaces[1].faces, surfaces[0].faces)


@pytest.mark.parametrize("layout", ["patches", "frames"])
def test_a_prior_of_normals_pulls_as_on_the_cpu(posed_views, device, layout):
    def pull(where: torch.device) -> list[Tensor]:
        stage = coarse(posed_views, where, layout, "material=sg")
        prior = NormalPrior(source=Upward(), weights={"normal": 10.0})
        prior.start_from(Reference(posed_views, Path("views")))
        stage.guidance["normal_prior"] = prior.to(where)
        return step_of(stage, 0)

    assert_alike(pull(device), pull(torch.device("cpu")))


@pytest.mark.parametrize("cut_px", [None, 16])
def test_lpips_pulls_as_on_the_cpu(posed_views, device, cut_px):
    def pull(where: torch.device) -> list[Tensor]:
        stage = fine(posed_views, where, "frames")
        part = stage.guidance["reference_views"]
        part.weights, part.lpips, part.lpips_px = {"lpips": 100.0}, Lpips().to(where), cut_px
        return step_of(stage, 0)

    assert_alike(pull(device), pull(torch.device("cpu")))


@pytest.mark.parametrize(
    ("form", "mask"),
    [
        ("latent", "soft"),
        ("pixel", "occluded"),
        pytest.param("latent", "naive", marks=FURTHER),
        pytest.param("latent", "occluded", marks=FURTHER),
        pytest.param("pixel", "naive", marks=FURTHER),
        pytest.param("pixel", "soft", marks=FURTHER),
    ],
)
def test_score_distillation_pulls_as_on_the_cpu(posed_views, device, mask, form):
    def pull(where: torch.device) -> list[Tensor]:
        stage = fine(posed_views, where, "frames", "material=sg")
        unseen = None if mask == "naive" else UnseenMask(occlusion=mask == "occluded", depth_px=32)
        part = MaskedSds(
            weights={"sds": 1.0}, mask=unseen, orbit=StaticOrbit(), noise_low=0.4, noise_high=0.6, form=form
        )
        part.start_from(Reference(posed_views, Path("views"), Model(Linear())))
        stage.guidance = torch.nn.ModuleDict({"sds": part})
        return step_of(stage, 0)

    assert_alike(pull(device), pull(torch.device("cpu")))


class Upward(NormalSource):
    """Normals that point up and at the viewer everywhere."""

    missing = ""

    def maps(self, views: PosedViews, folder: Path) -> Tensor:
        height, width = views.images.shape[2:]
        return torch.tensor([0.0, 0.6, 0.8]).expand(len(views), height, width, 3)

    def bring_along(self, views: PosedViews, given: Path, folder: Path) -> None:
        pass
