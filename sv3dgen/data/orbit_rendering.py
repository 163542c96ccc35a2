"""One object to its training orbits (SV3D, appendix B): what a process of `sv3dgen.render_dataset` does.

Everything that is drawn follows from the seed and the orbit's own name, whichever process renders it and whenever.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sv3dgen.data.orbit_files import SAMPLES, Angles, OrbitRecord, Split, write_orbit
from sv3dgen.errors import InputError
from sv3dgen.kernels.rasterizer.texture import Appearance
from sv3dgen.materials.studio_light import StudioLight, creased_normals, random_light
from sv3dgen.meshes.files import fit_unit_box, read_mesh
from sv3dgen.meshes.textured_mesh import DEFAULT_COLOR, TexturedMesh
from sv3dgen.procedural.objects import procedural_object
from sv3dgen.renderers.textured import appearance, fitting_distance, render_batches
from sv3dgen.seeding import generator
from sv3dgen.views.orbits import DynamicOrbit, Orbit, SineOrbit, StaticOrbit

FRAMES = 21
ELEVATIONS_DEG = (-5.0, 30.0)  # of static orbits, and of the first view of dynamic ones
SINE_AMPLITUDES_DEG = (8.0, 35.0)


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """What all orbits of a folder share."""

    out: Path
    size_px: int = 64
    supersample: int = 3
    fov_deg: float = 33.8
    distance: float | None = None  # None: as near as lets no view of the orbit clip the object
    sine_share: float = 0.0  # of dynamic orbits that swing up and down once instead, by 8 to 35 degrees
    untextured: bool = False  # take meshes that have no colors, in gray
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class RenderJob:
    """One object, and the orbits of it that are still missing."""

    name: str
    source: Path | int  # a mesh file, or the seed of a procedural object
    orbits: tuple[tuple[str, int], ...]  # kind and number
    split: Split
    licence: str


def render_object(job: RenderJob, settings: RenderSettings) -> int:
    """Render and write a job's orbits; returns their number. InputError says what is wrong with the mesh."""
    mesh = load(job.source, settings.untextured)
    normals = creased_normals(mesh)
    unlit = appearance(mesh)
    for kind, number in job.orbits:
        stream = generator(settings.seed, job.name, kind, number)
        path = draw_path(kind, settings.sine_share, stream)
        look = lit(unlit, random_light(stream), normals)
        distance = settings.distance or fitting_distance(mesh.vertices, path.cameras(1.0, settings.fov_deg))
        cameras = path.cameras(distance, settings.fov_deg, settings.size_px)
        rgba = torch.cat(list(render_batches(mesh, cameras, look, settings.supersample)))
        record = OrbitRecord(
            name=job.name,
            kind=kind,
            number=number,
            split=job.split,
            distance=distance,
            fov_deg=settings.fov_deg,
            size_px=settings.size_px,
            source=str(job.source.name) if isinstance(job.source, Path) else f"procedural {job.source}",
            licence=job.licence,
        )
        pictures = (rgba * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        angles = Angles(path.elevation_deg.tolist(), path.azimuth_deg.tolist())
        write_orbit(settings.out, record, angles, pictures)
    return len(job.orbits)


def load(source: Path | int, untextured: bool) -> TexturedMesh:
    """The object in the unit box."""
    if isinstance(source, int):
        return procedural_object(source)
    mesh = fit_unit_box(read_mesh(source))
    if not untextured and not has_colors(mesh):
        raise InputError(f"{source}: no texture and no colors (--untextured takes it in gray)")
    return mesh


def has_colors(mesh: TexturedMesh) -> bool:
    """Whether the file said anything about color."""
    if mesh.textures:
        return True
    return mesh.vertex_colors is not None and bool((mesh.vertex_colors != DEFAULT_COLOR).any())


def draw_path(kind: str, sine_share: float, generator: torch.Generator) -> Orbit:
    """84 views from azimuth 0 on."""
    first, swing, amplitude = torch.rand(3, dtype=torch.float64, generator=generator).tolist()
    low, high = ELEVATIONS_DEG
    elevation_deg = low + (high - low) * first
    if kind == "static":
        path = StaticOrbit().samples(elevation_deg, FRAMES, generator)
    elif swing < sine_share:
        least, most = SINE_AMPLITUDES_DEG
        # Always rising at azimuth 0, which does not matter: samples start anywhere.
        height = least + (most - least) * amplitude
        path = SineOrbit(amplitude_deg=height).samples(height * (2 * first - 1) * 0.999, FRAMES, generator)
    else:
        path = DynamicOrbit().samples(elevation_deg, FRAMES, generator)
    assert len(path) == SAMPLES
    return path


def lit(look: Appearance, light: StudioLight, normals: torch.Tensor) -> Appearance:
    """The colors under a light."""
    pyramid = replace(look.pyramid, texels=look.pyramid.texels * light.tint)
    return replace(
        look,
        pyramid=pyramid,
        vertex_colors=look.vertex_colors * light.tint,
        vertex_light=light.irradiance(normals),
    )


def procedural_seeds(first: int, count: int, test: bool) -> Sequence[int]:
    """Seeds of objects to train or to test with: even ones and odd ones, so that the two never meet."""
    return range(2 * first + test, 2 * (first + count) + test, 2)


def set_one_thread() -> None:
    """What every process of several calls first: they share the cores among themselves."""
    import numba

    torch.set_num_threads(1)
    numba.set_num_threads(1)
