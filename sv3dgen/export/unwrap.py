"""Texture coordinates: every face its own place in the unit square."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.export.charts import connected, describe, make_charts, project_charts
from sv3dgen.export.packing import hidden_faces, pack
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.topology import components

GUTTER_PX = 8  # so that each chart can be padded by 4 texels, enough for two mip levels
SPLIT_ROUNDS = 8


@dataclass(frozen=True)
class Unwrap:
    """Where each face lies in the texture. OpenGL's axes: v grows upwards."""

    uv: Float[Tensor, "uvs 2"]
    uv_faces: Int[Tensor, "faces 3"]
    charts: int


def unwrap_by_projection(mesh: Mesh, size_px: int) -> Unwrap:
    """Project groups of faces along their mean normals and pack them; no two faces share a texel center."""
    vertices = mesh.vertices.double().numpy()
    faces = mesh.faces.numpy()
    surface = describe(vertices, faces)
    chart = make_charts(surface)
    for _ in range(SPLIT_ROUNDS):
        flat, uv_faces, heights, _ = project_charts(vertices, faces, surface, chart)
        area = flat_area(flat, uv_faces)
        # Small textures of many charts hold them with a narrower gutter only; without one every chart fits.
        packed = (pack(flat, uv_faces, chart, area, size_px, gutter) for gutter in (GUTTER_PX, 4, 2, 0))
        texels = next((found for found in packed if found is not None), None)
        if texels is None:
            raise InputError(
                f"export.texture_px={size_px}: too small for the {int(chart.max()) + 1} charts of this shape"
            )
        hidden = hidden_faces(texels, uv_faces, heights, size_px)
        if not hidden.any():
            break
        chart = connected(2 * chart + hidden, surface.neighbors)
    return Unwrap(torch.from_numpy(texels / size_px).float(), torch.from_numpy(uv_faces), int(chart.max()) + 1)


def unwrap_by_xatlas(mesh: Mesh, size_px: int, limit_s: float) -> Unwrap | None:
    """The same by xatlas, which stretches less and takes 5 to 20 times as long; None where it fails or takes too
    long."""
    worker = Path(__file__).with_name("xatlas_worker.py")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        faces = mesh.faces.numpy().astype(np.uint32)
        np.savez(source, vertices=mesh.vertices.numpy(), faces=faces, size_px=size_px, gutter_px=GUTTER_PX)
        try:
            subprocess.run([sys.executable, worker, source, target], timeout=limit_s, check=True, capture_output=True)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            return None
        found = np.load(target)
        uv, uv_faces = found["uv"], found["uv_faces"]
    charts, _ = components(len(uv), np.concatenate([uv_faces[:, :2], uv_faces[:, 1:]]))
    return Unwrap(torch.from_numpy(uv), torch.from_numpy(uv_faces), charts)


def flat_area(flat: Float[np.ndarray, "uvs 2"], uv_faces: Int[np.ndarray, "faces 3"]) -> float:
    """Total area of flat faces."""
    a, b, c = flat[uv_faces].transpose(1, 0, 2)
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    return float(0.5 * np.abs(ux * vy - uy * vx).sum())
