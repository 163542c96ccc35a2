"""What the kernels are timed on: inputs of a size for the device, the same in every run."""

from collections.abc import Iterator
from functools import partial

import torch

from sv3dgen.bench.drjit_grid import drjit_grid
from sv3dgen.bench.kernel_case import Case, Sizes, bytes_of, generator, in_words, sizes_for
from sv3dgen.bench.rasterizer_cases import bumpy_sphere, rasterizer_cases
from sv3dgen.kernels.backend import Backend
from sv3dgen.kernels.hash_grid.encode import hash_encode, hash_grid_spec
from sv3dgen.kernels.marching_tetrahedra.march import marching_tets
from sv3dgen.kernels.normal_consistency import normal_consistency
from sv3dgen.kernels.plane_sweep.sweep import plane_sweep
from sv3dgen.kernels.rasterizer.edge_adjacency import edge_adjacency
from sv3dgen.kernels.ray_marching.march import accumulate, march, render_weights
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.tet_grid import bcc_grid
from sv3dgen.views.cameras import look_at_origin


def cases(device: torch.device) -> Iterator[Case]:
    """All measurements with their inputs on `device`; the inputs of a case are made when it is reached."""
    sizes = sizes_for(device)
    yield from _hash_grid_cases(sizes, device)
    yield _ray_marching_case(sizes, device)
    yield from rasterizer_cases(sizes, device)
    yield _marching_tets_case(sizes, device)
    yield _normal_consistency_case(sizes, device)
    yield _plane_sweep_case(sizes, device)


def _hash_grid_cases(sizes: Sizes, device: torch.device) -> Iterator[Case]:
    grids = {
        "7 levels, 2^17 entries": hash_grid_spec(levels=7, base_resolution=16, growth=1.447, log2_table_size=17),
        "16 levels, 2^19 entries": hash_grid_spec(levels=16, base_resolution=16, growth=1.44727, log2_table_size=19),
    }
    for title, spec in grids.items():
        points = torch.rand(sizes.points, 3, generator=generator()).to(device)
        table = (torch.rand(spec.entries, 2, generator=generator()) - 0.5).to(device).requires_grad_()
        gradient = torch.rand(len(points), spec.channels, generator=generator()).to(device)

        def run(backend: Backend, points=points, table=table, spec=spec, gradient=gradient) -> None:
            torch.autograd.grad(hash_encode(points, table, spec, backend=backend), table, gradient)

        yield Case(
            "hash_grid",
            f"encode {in_words(len(points))} points, {title}, forward + backward",
            run,
            ("torch", "numba", "triton", "tinycudann"),
            # The encoding is as large as its gradient, the table as its own.
            2 * bytes_of(points, table, gradient),
            # A level: place and fraction 9, the corners' weights 16, and of each corner a product and a sum a feature.
            2 * len(points) * spec.levels * (9 + 16 + 16 * spec.features_per_level),
            {"drjit": partial(drjit_grid, points, spec, gradient)},
        )


def _ray_marching_case(sizes: Sizes, device: torch.device) -> Case:
    cameras = look_at_origin(torch.tensor([20.0]), torch.tensor([30.0]), distance=2.0, size_px=sizes.ray_size_px)
    origins, directions = (rays.reshape(-1, 3).contiguous().to(device) for rays in cameras.rays())
    centers = (torch.arange(64) + 0.5) / 64 * 1.24 - 0.62
    radius = torch.stack(torch.meshgrid(centers, centers, centers, indexing="ij")).norm(dim=0)
    occupied = ((radius - 0.4).abs() < 0.06).to(device)
    aabb = torch.tensor([[-0.62] * 3, [0.62] * 3], device=device)
    jitter = torch.rand(len(origins), generator=generator()).to(device)
    samples = march(origins, directions, occupied, aabb, step_size=0.0055, jitter=jitter)

    # A version may keep a sample more or less next to a cell's face, so each composites the samples of this march.
    density = (20 * torch.rand(len(samples.t), generator=generator())).to(device).requires_grad_()
    features = torch.rand(len(samples.t), 8, generator=generator()).to(device).requires_grad_()

    def run(backend: Backend) -> None:
        march(origins, directions, occupied, aabb, step_size=0.0055, jitter=jitter, backend=backend)
        weights = render_weights(density, samples.delta, samples.offsets, backend=backend)
        colors = accumulate(weights, features, samples.offsets, backend=backend)
        torch.autograd.grad(colors.sum(), (density, features))

    marching = bytes_of(origins, directions, occupied, jitter, samples.ray_index, samples.t, samples.offsets)
    colors = 4 * len(origins) * features.shape[1]
    # Forward: density and delta to weights; weights and features to colors. Backward: colors, weights and features to
    # both gradients; those of the weights, with weights and delta, to the density's.
    compositing = 9 * bytes_of(density) + 3 * bytes_of(features) + 2 * colors
    # A ray is clipped by 6 faces; a sample has a distance, a point and a cell, a weight and its gradient, and 2
    # operations a channel forward, 3 backward.
    operations = 24 * len(origins) + len(samples.t) * (3 + 6 + 6 + 5 + 5 + 5 * features.shape[1])
    title = f"march {len(origins)} rays, composite {in_words(len(samples.t))} samples, forward + backward"
    own = ("torch", "numba", "triton", "nerfacc")
    return Case("ray_marching", title, run, own, marching + compositing, operations)


def _marching_tets_case(sizes: Sizes, device: torch.device) -> Case:
    grid = bcc_grid((-0.6, -0.6, -0.6), (0.6, 0.6, 0.6), 1.2 / sizes.tet_cells).to(device)
    sdf = (grid.vertices.norm(dim=1) - 0.45).requires_grad_()
    positions = grid.vertices.clone().requires_grad_()

    def run(backend: Backend) -> Mesh:
        mesh = Mesh(*marching_tets(sdf, positions, grid.tets, grid.edges, grid.tet_edges, backend=backend))
        torch.autograd.grad(mesh.vertices.sum(), (sdf, positions))
        return mesh

    mesh = run("auto")
    moved = bytes_of(grid.tets, grid.edges, grid.tet_edges, mesh.faces)
    moved += 2 * bytes_of(sdf, positions, mesh.vertices)
    # A vertex: the share of its edge 2, and three coordinates of 3; backward about twice that.
    operations = 3 * 11 * len(mesh.vertices)
    title = f"march {in_words(len(grid.tets))} tetrahedra, forward + backward"
    return Case("marching_tetrahedra", title, run, ("torch", "numba", "triton"), moved, operations)


def _normal_consistency_case(sizes: Sizes, device: torch.device) -> Case:
    sphere = bumpy_sphere(segments=sizes.segments)
    vertices, faces = sphere.vertices.to(device).requires_grad_(), sphere.faces.to(device)
    pairs = edge_adjacency(faces).faces

    def run(backend: Backend) -> None:
        torch.autograd.grad(normal_consistency(vertices, faces, pairs, backend=backend), vertices)

    # The vertices' gradient is as large as they are. A face has two sides and their cross product, 9, its area, 6; a
    # pair a product of normals, 6; backward about twice that.
    operations = 3 * (15 * len(faces) + 6 * len(pairs))
    title = f"compare normals of {in_words(len(faces))} triangles, forward + backward"
    moved = bytes_of(faces, pairs) + 2 * bytes_of(vertices)
    return Case("normal_consistency", title, run, ("torch", "numba"), moved, operations)


def _plane_sweep_case(sizes: Sizes, device: torch.device) -> Case:
    side, planes, sources = sizes.picture_px // 4, 32, 4
    pictures = torch.rand(1 + sources, side, side, generator=generator()).to(device)
    masks = torch.ones(1 + sources, side, side, dtype=torch.bool, device=device)
    homographies = torch.eye(3, device=device).repeat(planes, sources, 1, 1)
    homographies[:, :, 0, 2] = torch.arange(planes, device=device)[:, None] / 4
    first = torch.zeros(side, side, dtype=torch.int32, device=device)

    def run(backend: Backend) -> None:
        settings = {"radius": 2, "backend": backend}
        plane_sweep(pictures[0], masks[0], pictures[1:], masks[1:], homographies, first, first + planes - 1, **settings)

    # A pixel on a plane in a source: its place 17, the color there 9, products and window sums 5 + 4 x 6, the score 14.
    operations = side**2 * planes * sources * 69
    # Written and read once more: the scores of all planes.
    moved = bytes_of(pictures, masks, homographies) + (2 * planes + 5) * 4 * side**2
    title = f"sweep {planes} planes, {side} x {side} px, {sources} sources"
    return Case("plane_sweep", title, run, ("torch", "numba"), moved, operations)
