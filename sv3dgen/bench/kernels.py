"""Each kernel beside its plain-torch reference, on inputs of the size that the CPU preset gives it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from sv3dgen.bench.machine import describe
from sv3dgen.bench.timing import Timing, take_turns
from sv3dgen.cameras import look_at_origin
from sv3dgen.kernels.antialias import antialiased_coverage
from sv3dgen.kernels.backend import IMPLEMENTATIONS, Backend
from sv3dgen.kernels.edge_adjacency import edge_adjacency
from sv3dgen.kernels.hash_grid import hash_encode, hash_grid_spec
from sv3dgen.kernels.interpolate import barycentrics, interpolate
from sv3dgen.kernels.marching_tets import marching_tets
from sv3dgen.kernels.rasterize import clip_positions, rasterize
from sv3dgen.kernels.ray_marching import accumulate, march, render_weights
from sv3dgen.mesh import Mesh
from sv3dgen.tet_grid import bcc_grid

Case = tuple[str, str, Callable[[Backend], Any]]  # operation (of `backend.IMPLEMENTATIONS`), what is done, how


def measure(budget_s: float = 4.0, only: Sequence[str] = ()) -> dict[str, Any]:
    """Time every case whose operation is in `only` (all, if empty); the ratio is against plain torch, medians both."""
    rows = []
    for operation, title, run in cases():
        if only and operation not in only:
            continue
        backends = [name for name in IMPLEMENTATIONS[operation] if name != "triton"]
        timings = take_turns({name: _bound(run, name) for name in backends}, budget_s=budget_s)
        rows.append({"operation": operation, "case": title} | {name: vars(timing) for name, timing in timings.items()})
        if "numba" in timings:
            rows[-1]["ratio"] = timings["torch"].median_ms / timings["numba"].median_ms
    return {"machine": describe(), "cases": rows}


def cases() -> Iterator[Case]:
    """All measurements; inputs are made when a case is reached, and are the same in every run."""
    yield from _hash_grid_cases()
    yield _ray_marching_case()
    yield from _rasterizer_cases()
    yield _marching_tets_case()


def _hash_grid_cases() -> Iterator[Case]:
    sizes = {
        "7 levels, 2^17 entries": hash_grid_spec(levels=7, base_resolution=16, growth=1.447, log2_table_size=17),
        "16 levels, 2^19 entries": hash_grid_spec(levels=16, base_resolution=16, growth=1.44727, log2_table_size=19),
    }
    for title, spec in sizes.items():
        points = torch.rand(100_000, 3, generator=_generator())
        table = (torch.rand(spec.entries, 2, generator=_generator()) - 0.5).requires_grad_()
        gradient = torch.rand(len(points), spec.channels, generator=_generator())

        def run(backend: Backend, points=points, table=table, spec=spec, gradient=gradient) -> None:
            torch.autograd.grad(hash_encode(points, table, spec, backend=backend), table, gradient)

        yield "hash_grid", f"encode 100 k points, {title}, forward + backward", run


def _ray_marching_case() -> Case:
    cameras = look_at_origin(torch.tensor([20.0]), torch.tensor([30.0]), distance=2.0, size_px=64)
    origins, directions = (rays.reshape(-1, 3).contiguous() for rays in cameras.rays())
    centers = (torch.arange(64) + 0.5) / 64 * 1.24 - 0.62
    radius = torch.stack(torch.meshgrid(centers, centers, centers, indexing="ij")).norm(dim=0)
    occupied = (radius - 0.4).abs() < 0.06
    aabb = torch.tensor([[-0.62] * 3, [0.62] * 3])
    jitter = torch.rand(len(origins), generator=_generator())
    samples = march(origins, directions, occupied, aabb, step_size=0.0055, jitter=jitter)
    density = (20 * torch.rand(len(samples.t), generator=_generator())).requires_grad_()
    features = torch.rand(len(samples.t), 8, generator=_generator()).requires_grad_()

    def run(backend: Backend) -> None:
        found = march(origins, directions, occupied, aabb, step_size=0.0055, jitter=jitter, backend=backend)
        weights = render_weights(density, found.delta, found.offsets, backend=backend)
        colors = accumulate(weights, features, found.offsets, backend=backend)
        torch.autograd.grad(colors.sum(), (density, features))

    return "ray_marching", f"march 4096 rays, composite {len(samples.t) // 1000} k samples, forward + backward", run


def _rasterizer_cases() -> Iterator[Case]:
    sphere = bumpy_sphere(segments=202)
    cameras = look_at_origin(torch.tensor([20.0]), torch.tensor([30.0]), distance=2.0, size_px=512)
    clip = clip_positions(cameras, sphere.vertices).detach().requires_grad_()
    faces = sphere.faces
    triangles = f"{len(faces) // 1000} k triangles, 512 px"

    def draw(backend: Backend) -> None:
        rasterize(clip, faces, 512, 512, backend=backend)

    yield "rasterizer", f"rasterise {triangles}", draw
    fragments, edges = rasterize(clip, faces, 512, 512), edge_adjacency(faces)

    def smooth_outline(backend: Backend) -> None:
        torch.autograd.grad(antialiased_coverage(fragments, clip, faces, edges, backend=backend).sum(), clip)

    yield "rasterizer", f"antialias {triangles}, forward + backward", smooth_outline
    yield (
        "rasterizer",
        f"edges of {len(faces) // 1000} k triangles",
        lambda backend: edge_adjacency(faces, backend=backend),
    )
    view, row, col = (fragments.face_index >= 0).nonzero(as_tuple=True)
    face = fragments.face_index[view, row, col]
    attributes = torch.cat([sphere.vertices, sphere.vertices], dim=1).requires_grad_()

    def hit(backend: Backend) -> None:
        weights = barycentrics(clip, faces, face, view, row, col, 512, 512, backend=backend)
        values = interpolate(attributes, faces, face, weights, backend=backend)
        torch.autograd.grad(values.sum(), (clip, attributes))

    yield "rasterizer", f"interpolate at {len(face) // 1000} k pixels, forward + backward", hit


def _marching_tets_case() -> Case:
    grid = bcc_grid((-0.6, -0.6, -0.6), (0.6, 0.6, 0.6), 1.2 / 64)
    sdf = (grid.vertices.norm(dim=1) - 0.45).requires_grad_()
    positions = grid.vertices.clone().requires_grad_()

    def run(backend: Backend) -> None:
        mesh = marching_tets(sdf, positions, grid.tets, grid.edges, grid.tet_edges, backend=backend)
        torch.autograd.grad(mesh.vertices.sum(), (sdf, positions))

    return "marching_tetrahedra", f"march {len(grid.tets) // 1000} k tetrahedra, forward + backward", run


def bumpy_sphere(segments: int) -> Mesh:
    """A closed sphere of about 2 segments^2 triangles, with bumps that hide one another."""
    rings = segments // 2 + 1
    polar = torch.pi * torch.arange(1, rings) / rings
    around = 2 * torch.pi * torch.arange(2 * (segments - 2)) / (2 * (segments - 2))
    theta, phi = torch.meshgrid(polar, around, indexing="ij")
    radius = 0.4 + 0.05 * (9 * theta).sin() * (7 * phi).sin()
    points = torch.stack([theta.sin() * phi.sin(), theta.cos(), theta.sin() * phi.cos()], dim=-1) * radius[..., None]
    poles = torch.tensor([[0.0, 0.4, 0.0], [0.0, -0.4, 0.0]])
    vertices = torch.cat([points.reshape(-1, 3), poles])
    index = torch.arange((rings - 1) * len(around)).reshape(rings - 1, -1)
    right = index.roll(-1, dims=1)
    a, b, c, d = index[:-1].flatten(), index[1:].flatten(), right[1:].flatten(), right[:-1].flatten()
    top, bottom = torch.full_like(index[0], len(vertices) - 2), torch.full_like(index[0], len(vertices) - 1)
    caps = [torch.stack([top, index[0], right[0]], 1), torch.stack([bottom, right[-1], index[-1]], 1)]
    return Mesh(vertices, torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1), *caps]))


def print_table(report: dict[str, Any]) -> None:
    """The report for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="median (quartiles), ms", caption=report["machine"])
    for heading in ("operation", "numba", "plain torch", "times slower"):
        table.add_column(heading, justify="left" if heading == "operation" else "right")
    for row in report["cases"]:
        timings = (_shown(row.get(name)) for name in ("numba", "torch"))
        table.add_row(row["case"], *timings, f"{row['ratio']:.1f}" if "ratio" in row else "")
    Console().print(table)


def _shown(timing: dict[str, float] | None) -> str:
    if timing is None:
        return ""
    found = Timing(**timing)  # type: ignore[arg-type]
    digits = 2 if found.median_ms < 10 else 0
    return f"{found.median_ms:.{digits}f} ({found.low_ms:.{digits}f}-{found.high_ms:.{digits}f})"


def _bound(run: Callable[[Backend], Any], backend: Any) -> Callable[[], Any]:
    return lambda: run(backend)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
