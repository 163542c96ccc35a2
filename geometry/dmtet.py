"""A deformable tetrahedral mesh (DMTet): signed distances and offsets on a lattice, in a band around the surface."""

import logging
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor, nn

from sv3dgen.domains import Between, Pairs, Share
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Geometry, Surface, SurfaceParameters
from sv3dgen.kernels.marching_tetrahedra.march import marching_tets
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.saved_mesh import saved_mesh
from sv3dgen.meshes.signed_distance import lattice_signed_distance
from sv3dgen.meshes.tet_grid import TetGrid, bcc_band, neighbor_mean, vertex_neighbors
from sv3dgen.meshes.topology import euler_number_of_largest
from sv3dgen.schedules import from_when_on

log = logging.getLogger(__name__)

MOST_LOST = 0.02  # of the seed's vertices, which lie more than a cell off; of a wire rack a tenth does on 80 cells
MOST_LOST_VOLUME = 0.03  # of the seed; on 40 cells a solid figure loses .02, a bowl .075
THIN_VOLUME = 0.01  # of the seed, that a lattice loses where there are walls; of a box of crayons it loses .008
SETTLE_EVERY = 10  # steps, in which no distance changes by `KEPT` at rates of up to .025 cells a step
KEPT = 0.25  # cells, that a point keeps its distance from zero where the surface does not pass
LEAST_WALL = 0.01  # cells, by which the middle of a wall stays inside at any rate
MIDDLE = 0.5  # cells from the middle of a wall, within which no edge of the lattice passes through it


def enclosed_volume(mesh: Mesh) -> float:
    """Of a closed mesh."""
    a, b, c = mesh.vertices[mesh.faces].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


class DMTet(Surface):
    """Marching tetrahedra over a band of a body-centered cubic lattice; features come from a field carried over.

    `resolutions` are [step, cells]: from a step on, that many cells lie along the longest side of the object's own box.
    Only `band_cells` cells around the surface exist, and the outermost keep their sign: nothing can float off, and the
    surface stays closed. Signed distances are stored in cells; vertices may move by `deform_cells`. Gradients of both
    are averaged over `smooth_rings` rings of neighbors before the optimizer sees them, since silhouette gradients
    alone are so sparse that Adam would turn them into waves.

    The surface moves, but keeps its topology as far as it can. Next to it, averaged gradients move points that no
    picture tells of, and Adam makes full steps of them: crumbs would appear in front of a plain wall, and holes in it,
    which its other side hides. So points change their sign only where the surface passes, and never in the middle of
    a wall or a wire.

    A lattice that can't hold its seed is made twice as fine, up to `thin_factor` times the last of `resolutions`: one
    that loses some of its volume, as walls of a cell do, or parts of it, as wires are that fit between its points. One
    that pierces a wall is too coarse to begin with, and is made as fine as the last of `resolutions` at most.
    """

    sdf: nn.Parameter
    offsets: nn.Parameter
    seed_vertices: Tensor
    seed_faces: Tensor
    cells: Tensor

    def __init__(
        self,
        *,
        resolutions: Annotated[list, Pairs(Annotated[int, Between(4, 512)])],
        band_cells: Annotated[float | int, Between(1.0, 16.0)] = 3.0,
        deform_cells: Share = 0.3,
        smooth_rings: Annotated[int, Between(0, 10)] = 1,
        margin: Share = 0.1,
        thin_factor: Annotated[int, Between(1, 4)] = 2,
    ):
        super().__init__()
        self.resolutions: dict[int, int] = from_when_on(resolutions, "geometry.resolutions")
        self.band_cells, self.deform_cells = band_cells, deform_cells
        self.smooth_rings, self.margin = smooth_rings, margin
        self.thin_factor = thin_factor
        self.texture: Geometry | None = None
        self.grid: TetGrid | None = None
        self.register_buffer("seed_vertices", torch.zeros(0, 3))
        self.register_buffer("seed_faces", torch.zeros(0, 3, dtype=torch.long))
        self.register_buffer("cells", torch.tensor(0))
        self.sdf = nn.Parameter(torch.zeros(0))
        self.offsets = nn.Parameter(torch.zeros(0, 3))

    @property
    def feature_dim(self) -> int:  # type: ignore[override]
        """That of the field whose features it carries."""
        assert self.texture is not None, "give the surface a texture field first"
        return self.texture.feature_dim

    def start_from(self, mesh: Mesh | None, texture: Geometry) -> None:
        self.texture = texture
        if mesh is not None:
            self.build(mesh)

    def trained(self) -> SurfaceParameters:
        assert self.texture is not None, "give the surface a texture field first"
        return SurfaceParameters([self.sdf, self.offsets], list(self.texture.parameters()))

    def on_step(self, step: int) -> None:
        if step > 0 and step % SETTLE_EVERY == 0 and self.grid is not None:
            self._settle()

    @torch.no_grad()
    def _settle(self) -> None:
        """Keep points away from zero that are not to change their sign."""
        inside = torch.where(self.frozen, self.seed_sdf, self.sdf) < 0
        alike = (inside[self._known_neighbors] == inside[:, None]).all(1)
        settled = torch.where(inside, self.sdf.clamp(max=-KEPT), self.sdf.clamp(min=KEPT))
        self.sdf.copy_(torch.where(alike | (self.middle & inside), settled, self.sdf))

    def refine(self, step: int) -> bool:
        """A finer lattice around the present surface, at the steps that `resolutions` names."""
        due = step > 0 and self._cells_at(step) > int(self.cells)
        if due:
            with torch.no_grad():
                mesh = self.isosurface()
            if len(mesh.faces) == 0:
                raise InputError(f"fine: the surface is gone at step {step}; are the views and their masks right?")
            self.build(mesh, step)
        return due

    def build(self, mesh: Mesh, step: int = 0) -> None:
        """Start from a closed mesh: a true signed distance to it on the lattice of `step`. Makes new parameters."""
        seed, usual = mesh.detach(), max(self.resolutions.values())
        cells = first = self._cells_at(step)
        finest = self.thin_factor * usual
        self._build(seed, cells)
        while 2 * cells <= finest and not (self._holds(seed) and (cells >= usual or not self._pierces(seed))):
            cells *= 2
            self._build(seed, cells)
        if cells != first:
            log.info("the lattice has %d cells along the object: fewer would lose parts of it that are thin", cells)

    def _cells_at(self, step: int) -> int:
        """What `resolutions` asks for at a step."""
        return self.resolutions[max(known for known in self.resolutions if known <= step)]

    @torch.no_grad()
    def _holds(self, seed: Mesh) -> bool:
        """Whether little of the seed's volume is gone, and few of its vertices are more than a cell off the surface."""
        surface, seed = self.isosurface().to("cpu"), seed.to("cpu")
        if len(surface.faces) == 0 or enclosed_volume(surface) < (1 - MOST_LOST_VOLUME) * enclosed_volume(seed):
            return False
        tree = cKDTree(surface.vertices.numpy())
        distance, _ = tree.query(seed.vertices.numpy(), distance_upper_bound=self.cell_size)
        return bool(np.isinf(distance).mean() <= MOST_LOST)

    @torch.no_grad()
    def _pierces(self, seed: Mesh) -> bool:
        """Whether the lattice's surface has holes through its walls that the seed has not."""
        surface = self.isosurface().to("cpu")
        if enclosed_volume(surface) >= (1 - THIN_VOLUME) * enclosed_volume(seed.to("cpu")):
            return False
        return euler_number_of_largest(surface) < euler_number_of_largest(seed)

    def isosurface(self) -> Mesh:
        assert self.grid is not None, "call build(mesh) first"
        # Frozen vertices keep the seed's sign, whatever momentum does to them, and so does the middle of a wall.
        walls = torch.where(self.middle, self.sdf.clamp(max=-LEAST_WALL), self.sdf)
        sdf = torch.where(self.frozen, self.seed_sdf, walls)
        positions = self.grid.vertices + (self.deform_cells * self.cell_size) * torch.tanh(self.offsets)
        return Mesh(*marching_tets(sdf, positions, self.grid.tets, self.grid.edges, self.grid.tet_edges))

    def features(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points features"]:
        assert self.texture is not None, "give the surface a texture field first"
        return self.texture.features(points)

    def _build(self, mesh: Mesh, cells: int) -> None:
        device = self.seed_vertices.device
        self.seed_vertices, self.seed_faces = mesh.vertices.to(device), mesh.faces.to(device)
        self.cells = torch.tensor(cells, device=device)
        mesh = mesh.to("cpu")  # where lattices are made
        low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
        extent = (high - low).max().item()
        # BCC has two vertices a cell: scale so that `cells` counts what a cubic lattice of the same density would.
        self.cell_size = extent / cells * 2 ** (1 / 3)
        pad = max(self.margin * extent, (self.band_cells + 2) * self.cell_size)
        lower = low - pad
        counts = ((high + pad - lower) / self.cell_size).ceil().int().tolist()
        # Half a cell short, so that rounding can't decide how many cubes cover the box: it is always `counts + 1`,
        # which overhang it by three quarters of a cell on every side.
        upper = lower + self.cell_size * (torch.tensor(counts) - 0.5)
        origin = lower - 0.75 * self.cell_size
        shape = (counts[0] + 2, counts[1] + 2, counts[2] + 2)
        band = (self.band_cells + 1.5) * self.cell_size
        corners = lattice_signed_distance(mesh, origin, self.cell_size, shape, band=band)
        centers = lattice_signed_distance(mesh, origin + self.cell_size / 2, self.cell_size, shape, band=band)
        both = torch.stack([corners, centers]) / self.cell_size

        def seed_sdf(positions: Tensor) -> Tensor:
            halves = ((positions - origin) * (2 / self.cell_size)).round().long()
            x, y, z = (halves // 2).unbind(-1)
            return both[halves[:, 0] % 2, x, y, z]

        self.grid = bcc_band(lower, upper, self.cell_size, lambda points: seed_sdf(points).abs() < self.band_cells)
        self.seed_sdf = seed_sdf(self.grid.vertices).to(device)
        self.grid = self.grid.to(device)
        self.neighbors = vertex_neighbors(self.grid)
        self.frozen = self.seed_sdf.abs() >= self.band_cells
        itself = torch.arange(len(self.neighbors), dtype=self.neighbors.dtype, device=device)[:, None]
        self._known_neighbors = torch.where(self.neighbors >= 0, self.neighbors, itself)
        deepest = self.seed_sdf[self._known_neighbors].amin(1)
        self.middle = (self.seed_sdf < 0) & (self.seed_sdf <= deepest + MIDDLE)
        self.sdf = nn.Parameter(self.seed_sdf.clone())
        self.offsets = nn.Parameter(torch.zeros_like(self.grid.vertices))
        if self.smooth_rings > 0:
            self.sdf.register_hook(lambda gradient: self._smooth(gradient[:, None])[:, 0])
            self.offsets.register_hook(self._smooth)

    def _smooth(self, gradient: Tensor) -> Tensor:
        for _ in range(self.smooth_rings):
            gradient = neighbor_mean(gradient, self.neighbors)
        return gradient

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        """The lattice is rebuilt from its seed mesh, so that a checkpoint holds no tetrahedra."""
        seed = saved_mesh(state_dict[prefix + "seed_vertices"], state_dict[prefix + "seed_faces"])
        if len(seed.faces):
            cells, finest = int(state_dict[prefix + "cells"]), self.thin_factor * max(self.resolutions.values())
            if not 0 < cells <= finest:
                raise ValueError(f"a lattice of {cells} cells, expected at most {finest}")
            self._build(seed, cells)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
