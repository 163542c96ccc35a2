"""What rasterizing, interpolating and antialiasing are timed on: a bumpy sphere, one by one and all together."""

from collections.abc import Iterator

import torch

from sv3dgen.bench.kernel_case import Case, Sizes, bytes_of, in_words
from sv3dgen.kernels.backend import Backend
from sv3dgen.kernels.rasterizer.antialias import antialiased_coverage
from sv3dgen.kernels.rasterizer.edge_adjacency import edge_adjacency
from sv3dgen.kernels.rasterizer.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.cameras import look_at_origin

ALL = ("torch", "numba", "triton", "nvdiffrast")
COMPILED = ("torch", "numba", "triton")
OWN = ("torch", "numba")  # of what is plain torch on a GPU


def rasterizer_cases(sizes: Sizes, device: torch.device) -> Iterator[Case]:
    """Each step of drawing views of a mesh, and all of them together."""
    sphere, px = bumpy_sphere(segments=sizes.segments), sizes.picture_px
    azimuth_deg = 30 + torch.arange(sizes.views) * 360.0 / sizes.views
    cameras = look_at_origin(torch.full((sizes.views,), 20.0), azimuth_deg, distance=2.0, size_px=px)
    clip = clip_positions(cameras, sphere.vertices).detach().to(device).requires_grad_()
    faces = sphere.faces.to(device)
    views = f"{px} px" if sizes.views == 1 else f"{sizes.views} views of {px} px"
    what = f"{in_words(len(faces))} triangles, {views}"
    fragments, edges = rasterize(clip, faces, px, px), edge_adjacency(faces)
    view, row, col = (fragments.face_index >= 0).nonzero(as_tuple=True)
    face = fragments.face_index[view, row, col]
    attributes = torch.cat([sphere.vertices, sphere.vertices], dim=1).to(device).requires_grad_()
    corners, hits, channels = sizes.views * len(sphere.vertices), len(face), attributes.shape[1]

    def draw(backend: Backend) -> None:
        rasterize(clip, faces, px, px, backend=backend)

    drawn = bytes_of(clip, faces, fragments.face_index, fragments.depth)
    # A vertex is projected, a face has an area and a slope of depth, a covered pixel three sides and a depth.
    drawing = 8 * corners + 20 * sizes.views * len(faces) + 20 * hits
    yield Case("rasterizer", f"rasterize {what}", draw, ALL, drawn, drawing)

    def smooth_outline(backend: Backend) -> None:
        torch.autograd.grad(antialiased_coverage(fragments, clip, faces, edges, backend=backend).sum(), clip)

    outline = bytes_of(faces, edges.vertices, edges.faces, clip)
    outline += 2 * bytes_of(fragments.face_index, fragments.depth, clip)
    # A vertex is projected, and a face faces some way; the outline itself is short.
    outlining = 8 * corners + 7 * sizes.views * len(faces)
    yield Case("rasterizer", f"antialias {what}, forward + backward", smooth_outline, COMPILED, outline, outlining)

    def pair(backend: Backend) -> None:
        edge_adjacency(faces, backend=backend)

    paired = bytes_of(faces, edges.vertices, edges.faces)
    yield Case("rasterizer", f"edges of {in_words(len(faces))} triangles", pair, OWN, paired, 0)

    def hit(backend: Backend) -> None:
        weights = barycentrics(clip, faces, face, view, row, col, px, px, backend=backend)
        values = interpolate(attributes, faces, face, weights, backend=backend)
        torch.autograd.grad(values.sum(), (clip, attributes))

    # Each of the four passes reads the pixels and the faces; weights and values cross from one to the next.
    interpolated = 4 * (bytes_of(face, view, row, col) + bytes_of(faces)) + 5 * 12 * hits
    interpolated += 2 * 4 * hits * channels + 3 * bytes_of(clip, attributes)
    # Barycentric coordinates 26 and backward 45; a channel 5, and backward 3 for the vertices and 6 for the weights.
    interpolating = hits * (26 + 45 + 14 * channels)
    title = f"interpolate at {in_words(hits)} pixels, forward + backward"
    yield Case("rasterizer", title, hit, ALL, interpolated, interpolating)

    def picture(backend: Backend) -> None:
        found = rasterize(clip, faces, px, px, backend=backend)
        v, r, c = (found.face_index >= 0).nonzero(as_tuple=True)
        shown = found.face_index[v, r, c]
        weights = barycentrics(clip, faces, shown, v, r, c, px, px, backend=backend)
        values = interpolate(attributes, faces, shown, weights, backend=backend)
        coverage = antialiased_coverage(found, clip, faces, edges, backend=backend)
        torch.autograd.grad(values.sum() + coverage.sum(), (clip, attributes))

    moved, computed = drawn + outline + interpolated, drawing + outlining + interpolating
    yield Case(
        "rasterizer", f"rasterize, interpolate, antialias {what}, forward + backward", picture, ALL, moved, computed
    )


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
