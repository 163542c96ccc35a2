"""A slow nvdiffrast: `rasterize`, `interpolate` and `antialias`, after its documentation and paper (Laine et al. 2020).

Row 0 of a picture is at the bottom. `rasterize` gives u and v, which belong to the first two corners, z / w, and the
face's number from 1 on. Vertices are snapped to 1/16 px to find what covers a center; u, v and z / w are those of the
true face there. Triangles that reach through the near or far plane are clipped.
"""

from typing import Any

import torch
from accelerator_case import module_of
from torch import Tensor

SNAP = 16
OFF = 1 / SNAP  # px, by which a crossing may be missed


class RasterizeCudaContext:
    def __init__(self, device: Any = None):
        self.device = torch.device(device)


def rasterize(
    glctx: RasterizeCudaContext, pos: Tensor, tri: Tensor, resolution: tuple[int, int], grad_db: bool = True
) -> tuple[Tensor, Tensor]:
    """Pictures [views, height, width, 4] of (u, v, z / w, face + 1), and derivatives that are not needed here."""
    assert isinstance(glctx, RasterizeCudaContext) and pos.dtype == torch.float32 and tri.dtype == torch.int32
    assert pos.is_contiguous() and tri.is_contiguous() and len(tri) > 0
    pictures = [_picture(view, tri.long(), *resolution) for view in pos]
    return torch.stack(pictures), torch.empty(0)


def _picture(pos: Tensor, tri: Tensor, height: int, width: int) -> Tensor:
    row, col = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = (2 * col + 1) / width - 1, (2 * row + 1) / height - 1
    nearest, number = torch.full((height, width), torch.inf), torch.zeros(height, width)
    first, second = torch.zeros(height, width), torch.zeros(height, width)
    for face, corners in enumerate(pos[tri]):
        u, v, depth = _at(corners, x, y)
        inside = (
            _covers(corners, col + 0.5, row + 0.5, height, width) & (depth <= 1) & (depth >= -1) & (depth < nearest)
        )
        nearest, number = torch.where(inside, depth, nearest), torch.where(inside, face + 1.0, number)
        first, second = torch.where(inside, u, first), torch.where(inside, v, second)
    return torch.stack([first, second, torch.where(number > 0, nearest, 0.0), number], dim=-1)


def _volumes(corners: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
    px = [corner[0] - x * corner[3] for corner in corners]
    py = [corner[1] - y * corner[3] for corner in corners]
    return [px[(k + 1) % 3] * py[(k + 2) % 3] - px[(k + 2) % 3] * py[(k + 1) % 3] for k in range(3)]


def _at(corners: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u, v and z / w of a face's plane at points of the picture."""
    volumes = _volumes(corners, x, y)
    total = volumes[0] + volumes[1] + volumes[2]
    z, w = (torch.stack([volumes[k] * corners[k, axis] for k in range(3)]).sum(0) for axis in (2, 3))
    depth = z / w
    return (volumes[0] / total).clamp(0, 1), (volumes[1] / total).clamp(0, 1), depth


def _covers(corners: Tensor, col: Tensor, row: Tensor, height: int, width: int) -> Tensor:
    corners = corners.detach()
    if not ((corners[:, 2].abs() <= corners[:, 3]).all()):  # to be clipped: as it is, and where it is in front
        x, y = 2 * col / width - 1, 2 * row / height - 1
        volumes = torch.stack(_volumes(corners, x, y))
        return ((volumes >= 0).all(0) | (volumes <= 0).all(0)) & (volumes != 0).any(0)
    px = ((corners[:, 0] / corners[:, 3] * 0.5 + 0.5) * width * SNAP).round() / SNAP
    py = ((corners[:, 1] / corners[:, 3] * 0.5 + 0.5) * height * SNAP).round() / SNAP
    sides = []
    for k in range(3):
        j = (k + 1) % 3
        sides.append((px[j] - px[k]) * (row - py[k]) - (py[j] - py[k]) * (col - px[k]))
    sides = torch.stack(sides)
    return ((sides >= 0).all(0) | (sides <= 0).all(0)) & (sides != 0).any(0)


def interpolate(attr: Tensor, rast: Tensor, tri: Tensor) -> tuple[Tensor, Tensor]:
    """Attributes [1 or views, vertices, channels] at the pixels of pictures, zero where they show nothing."""
    assert attr.dtype == rast.dtype == torch.float32 and tri.dtype == torch.int32 and len(attr) in (1, len(rast))
    assert attr.is_contiguous() and rast.is_contiguous() and tri.is_contiguous() and rast.numel() > 0
    face = rast[..., 3].long() - 1
    view = torch.arange(len(rast))[:, None, None] if len(attr) > 1 else torch.zeros_like(face)
    corners = tri.long()[face.clamp(min=0)]
    u, v = rast[..., 0:1], rast[..., 1:2]
    values = (
        u * attr[view, corners[..., 0]] + v * attr[view, corners[..., 1]] + (1 - u - v) * attr[view, corners[..., 2]]
    )
    return torch.where(face[..., None] < 0, 0.0, values), torch.empty(0)


def antialias(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor) -> Tensor:
    """Pictures [views, height, width, channels] whose neighbors of different faces are mixed at silhouette edges."""
    assert color.dtype == rast.dtype == pos.dtype == torch.float32 and tri.dtype == torch.int32
    assert all(tensor.is_contiguous() for tensor in (color, rast, pos, tri))
    opposite = _opposite_vertices(tri.tolist())
    views, height, width, _ = rast.shape
    half = torch.tensor([width / 2, height / 2])
    changes: list[tuple[tuple[int, int, int], Tensor]] = []
    for down in (0, 1):
        here = rast[:, : height - down, : width - 1 + down]
        there = rast[:, down:, 1 - down :]
        for view, row, col in (here[..., 3] != there[..., 3]).nonzero().tolist():
            near, far = (view, row, col), (view, row + down, col + 1 - down)
            z0, z1 = rast[near][2], rast[far][2]
            face0, face1 = int(rast[near][3]) - 1, int(rast[far][3]) - 1
            of_near = face1 < 0 or (face0 >= 0 and bool(z0 < z1))
            face, center = (face0, near) if of_near else (face1, far)
            middle = torch.tensor([center[2] + 0.5, center[1] + 0.5]) - half
            crossing = _crossing(
                pos[view], tri[face].tolist(), opposite[face], half, middle, down, 1 if of_near else -1
            )
            if crossing is None or not -OFF < crossing < 1 + OFF:
                continue
            share = (0.5 - crossing.clamp(0, 1)) * (1 if of_near else -1)
            changes.append((near if share > 0 else far, share * (color[far] - color[near])))
    if not changes:
        return color
    where = torch.tensor([place for place, _ in changes]).unbind(1)
    return color.index_put(where, torch.stack([change for _, change in changes]), accumulate=True)


def _opposite_vertices(tri: list[list[int]]) -> list[list[int | None]]:
    """Of each face and corner, the corner that the face across the opposite edge does not share; None at a border."""
    across: dict[frozenset[int], list[int]] = {}
    for face in tri:
        for k in range(3):
            across.setdefault(frozenset((face[(k + 1) % 3], face[(k + 2) % 3])), []).append(face[k])
    found = []
    for face in tri:
        edges = [across[frozenset((face[(k + 1) % 3], face[(k + 2) % 3]))] for k in range(3)]
        found.append([next((v for v in ends[:2] if v != face[k]), None) for k, ends in enumerate(edges)])
    return found


def _crossing(
    pos: Tensor, face: list[int], opposite: list[int | None], half: Tensor, middle: Tensor, down: int, sign: int
) -> Tensor | None:
    """How far from the face's pixel, towards the neighbor, its silhouette is met; None where no edge is one."""

    def project(vertex: int) -> Tensor:
        return pos[vertex, :2] / pos[vertex, 3] * half - middle

    def side(a: Tensor, b: Tensor, c: Tensor) -> bool:
        return bool((b - a)[0] * (c - a)[1] - (c - a)[0] * (b - a)[1] >= 0)

    corners = [project(vertex) for vertex in face]
    outermost: tuple[Tensor, bool] | None = None
    for k in range(3):
        a, b = corners[(k + 1) % 3], corners[(k + 2) % 3]
        along, across = (0, 1) if not down else (1, 0)
        if (a[across] >= 0) == (b[across] >= 0):
            continue
        meets = sign * (a[along] - a[across] * (b - a)[along] / (b - a)[across])
        wing = opposite[k]
        silhouette = wing is None or side(a, b, project(wing)) == side(a, b, corners[k])
        steep = bool((b - a)[across].abs() >= (b - a)[along].abs())
        if outermost is None or meets > outermost[0]:
            outermost = meets, silhouette and steep
    return outermost[0] if outermost is not None and outermost[1] else None


torch_part = module_of(
    "nvdiffrast.torch",
    RasterizeCudaContext=RasterizeCudaContext,
    rasterize=rasterize,
    interpolate=interpolate,
    antialias=antialias,
)
MODULES = {"nvdiffrast": module_of("nvdiffrast", torch=torch_part), "nvdiffrast.torch": torch_part}
