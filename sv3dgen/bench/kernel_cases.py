"""What the kernels are timed on: inputs of the size that the CPU preset gives them, the same in every run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sv3dgen.cameras import look_at_origin
from sv3dgen.kernels.antialias import antialiased_coverage
from sv3dgen.kernels.backend import Backend
from sv3dgen.kernels.edge_adjacency import edge_adjacency
from sv3dgen.kernels.hash_grid import hash_encode, hash_grid_spec
from sv3dgen.kernels.interpolate import barycentrics, interpolate
from sv3dgen.kernels.marching_tets import marching_tets
from sv3dgen.kernels.rasterize import clip_positions, rasterize
from sv3dgen.kernels.ray_marching import accumulate, march, render_weights
from sv3dgen.mesh import Mesh
from sv3dgen.tet_grid import bcc_grid


@dataclass(frozen=True)
class Case:
    """One measurement."""

    operation: str  # of `backend.IMPLEMENTATIONS`
    title: str
    run: Callable[[Backend], Any]
    num_bytes: (
        int  # what its passes have to move at the least: each of their inputs read once, each result written once
    )


def cases(device: torch.device) -> Iterator[Case]:
    """All measurements with their inputs on `device`; the inputs of a case are made when it is reached."""
    yield from _hash_grid_cases(device)
    yield _ray_marching_case(device)
    yield from _rasterizer_cases(device)
    yield _marching_tets_case(device)


def _hash_grid_cases(device: torch.device) -> Iterator[Case]:
    sizes = {
        "7 levels, 2^17 entries": hash_grid_spec(levels=7, base_resolution=16, growth=1.447, log2_table_size=17),
        "16 levels, 2^19 entries": hash_grid_spec(levels=16, base_resolution=16, growth=1.44727, log2_table_size=19),
    }
    for title, spec in sizes.items():
        points = torch.rand(100_000, 3, generator=_generator()).to(device)
        table = (torch.rand(spec.entries, 2, generator=_generator()) - 0.5).to(device).requires_grad_()
        gradient = torch.rand(len(points), spec.channels, generator=_generator()).to(device)

        def run(backend: Backend, points=points, table=table, spec=spec, gradient=gradient) -> None:
            torch.autograd.grad(hash_encode(points, table, spec, backend=backend), table, gradient)

        moved = 2 * _bytes(points, table, gradient)  # the encoding is as large as its gradient, the table as its own
        yield Case("hash_grid", f"encode 100 k points, {title}, forward + backward", run, moved)


def _ray_marching_case(device: torch.device) -> Case:
    cameras = look_at_origin(torch.tensor([20.0]), torch.tensor([30.0]), distance=2.0, size_px=64)
    origins, directions = (rays.reshape(-1, 3).contiguous().to(device) for rays in cameras.rays())
    centers = (torch.arange(64) + 0.5) / 64 * 1.24 - 0.62
    radius = torch.stack(torch.meshgrid(centers, centers, centers, indexing="ij")).norm(dim=0)
    occupied = ((radius - 0.4).abs() < 0.06).to(device)
    aabb = torch.tensor([[-0.62] * 3, [0.62] * 3], device=device)
    jitter = torch.rand(len(origins), generator=_generator()).to(device)
    samples = march(origins, directions, occupied, aabb, step_size=0.0055, jitter=jitter)
    density = (20 * torch.rand(len(samples.t), generator=_generator())).to(device).requires_grad_()
    features = torch.rand(len(samples.t), 8, generator=_generator()).to(device).requires_grad_()

    def run(backend: Backend) -> None:
        found = march(origins, directions, occupied, aabb, step_size=0.0055, jitter=jitter, backend=backend)
        weights = render_weights(density, found.delta, found.offsets, backend=backend)
        colors = accumulate(weights, features, found.offsets, backend=backend)
        torch.autograd.grad(colors.sum(), (density, features))

    marching = _bytes(origins, directions, occupied, jitter, samples.ray_index, samples.t, samples.offsets)
    colors = 4 * len(origins) * features.shape[1]
    # Forward: density and delta to weights; weights and features to colours. Backward: colours, weights and features to
    # both gradients; those of the weights, with weights and delta, to the density's.
    compositing = 9 * _bytes(density) + 3 * _bytes(features) + 2 * colors
    title = f"march 4096 rays, composite {len(samples.t) // 1000} k samples, forward + backward"
    return Case("ray_marching", title, run, marching + compositing)


def _rasterizer_cases(device: torch.device) -> Iterator[Case]:
    sphere = bumpy_sphere(segments=202)
    cameras = look_at_origin(torch.tensor([20.0]), torch.tensor([30.0]), distance=2.0, size_px=512)
    clip = clip_positions(cameras, sphere.vertices).detach().to(device).requires_grad_()
    faces = sphere.faces.to(device)
    triangles = f"{len(faces) // 1000} k triangles, 512 px"
    fragments, edges = rasterize(clip, faces, 512, 512), edge_adjacency(faces)

    def draw(backend: Backend) -> None:
        rasterize(clip, faces, 512, 512, backend=backend)

    drawn = _bytes(clip, faces, fragments.face_index, fragments.depth)
    yield Case("rasterizer", f"rasterise {triangles}", draw, drawn)

    def smooth_outline(backend: Backend) -> None:
        torch.autograd.grad(antialiased_coverage(fragments, clip, faces, edges, backend=backend).sum(), clip)

    outline = 2 * _bytes(fragments.face_index, fragments.depth, clip) + _bytes(faces, edges.vertices, edges.faces, clip)
    yield Case("rasterizer", f"antialias {triangles}, forward + backward", smooth_outline, outline)

    def pair(backend: Backend) -> None:
        edge_adjacency(faces, backend=backend)

    paired = _bytes(faces, edges.vertices, edges.faces)
    yield Case("rasterizer", f"edges of {len(faces) // 1000} k triangles", pair, paired)

    view, row, col = (fragments.face_index >= 0).nonzero(as_tuple=True)
    face = fragments.face_index[view, row, col]
    attributes = torch.cat([sphere.vertices, sphere.vertices], dim=1).to(device).requires_grad_()

    def hit(backend: Backend) -> None:
        weights = barycentrics(clip, faces, face, view, row, col, 512, 512, backend=backend)
        values = interpolate(attributes, faces, face, weights, backend=backend)
        torch.autograd.grad(values.sum(), (clip, attributes))

    pixels, weights, values = _bytes(face, view, row, col), 12 * len(face), 4 * len(face) * attributes.shape[1]
    # Each of the four passes reads the pixels and the faces; weights and values cross from one to the next.
    hits = 4 * (pixels + _bytes(faces)) + 5 * weights + 2 * values + 3 * _bytes(clip, attributes)
    yield Case("rasterizer", f"interpolate at {len(face) // 1000} k pixels, forward + backward", hit, hits)


def _marching_tets_case(device: torch.device) -> Case:
    grid = bcc_grid((-0.6, -0.6, -0.6), (0.6, 0.6, 0.6), 1.2 / 64).to(device)
    sdf = (grid.vertices.norm(dim=1) - 0.45).requires_grad_()
    positions = grid.vertices.clone().requires_grad_()

    def run(backend: Backend) -> Mesh:
        mesh = marching_tets(sdf, positions, grid.tets, grid.edges, grid.tet_edges, backend=backend)
        torch.autograd.grad(mesh.vertices.sum(), (sdf, positions))
        return mesh

    mesh = run("auto")
    moved = _bytes(grid.tets, grid.edges, grid.tet_edges, mesh.faces) + 2 * _bytes(sdf, positions, mesh.vertices)
    title = f"march {len(grid.tets) // 1000} k tetrahedra, forward + backward"
    return Case("marching_tetrahedra", title, run, moved)


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


def _bytes(*tensors: Tensor) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
