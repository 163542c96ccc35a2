"""Meshes out of checkpoints and shared stages: a face that leads nowhere would have compiled kernels write there."""

import pytest
import torch

from geometry.dmtet import DMTet
from sv3dgen.meshes.saved_mesh import saved_mesh

VERTICES = torch.eye(4, 3)
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])


@pytest.mark.parametrize(
    ("vertices", "faces", "told"),
    [
        (VERTICES, FACES + 1, "faces of 4 vertices"),
        (VERTICES, FACES - 1, "faces of 4 vertices"),
        (VERTICES, FACES + 2**40, "faces of 4 vertices"),
        (VERTICES[:0], FACES, "faces of 0 vertices"),
        (VERTICES, FACES.float(), "3 numbers of vertices"),
        (VERTICES, FACES.flatten(), "3 numbers of vertices"),
        (VERTICES[:, :2], FACES, "3 coordinates"),
        (VERTICES.long(), FACES, "3 coordinates"),
        (VERTICES * float("nan"), FACES, "within 1000 of the origin"),
        (VERTICES * 1e30, FACES, "within 1000 of the origin"),
        ("x", FACES, "as tensors"),
    ],
)
def test_what_is_no_mesh_is_refused(vertices, faces, told):
    with pytest.raises(ValueError, match=told):
        saved_mesh(vertices, faces)


def test_a_mesh_is_taken_as_it_is():
    assert saved_mesh(VERTICES, FACES).faces is FACES
    assert len(saved_mesh(VERTICES[:0], FACES[:0]).faces) == 0  # of a surface that has not begun


@pytest.mark.parametrize(("key", "value"), [("seed_faces", FACES + 9), ("cells", torch.tensor(10**6))])
def test_a_lattice_is_not_rebuilt_from_just_anything(key, value):
    surface = DMTet(resolutions=[[0, 8]])
    state = {"seed_vertices": VERTICES, "seed_faces": FACES, "cells": torch.tensor(8), key: value}
    with pytest.raises(ValueError, match="expected"):
        surface.load_state_dict(state, strict=False)
