"""Scores of recovered light and albedo: free of the one factor that nobody can tell, and of nothing else."""

import copy

import torch
import trimesh

from sv3dgen.bench.light import LIGHT, albedo_psnr, irradiance_error
from sv3dgen.color import linear_to_srgb, srgb_to_linear
from sv3dgen.meshes.textured_mesh import TexturedMesh


def ball(colors) -> TexturedMesh:
    sphere = trimesh.creation.icosphere(3, 0.5)
    vertices = torch.from_numpy(sphere.vertices).float()
    return TexturedMesh(vertices, torch.from_numpy(sphere.faces).long(), vertex_colors=colors(vertices))


def checker(vertices: torch.Tensor) -> torch.Tensor:
    return 0.3 + 0.4 * ((vertices / 0.2).floor().sum(1, keepdim=True) % 2).expand(-1, 3)


def test_a_brighter_light_is_the_same_light():
    brighter = copy.deepcopy(LIGHT)
    for lobe in brighter["lobes"]:
        lobe["amplitude"] *= 1.7
    assert irradiance_error(brighter, ball(checker)) < 1e-5


def test_an_even_light_is_off_by_how_uneven_the_true_one_is():
    even = {"type": "constant"}
    off = irradiance_error(even, ball(checker))
    assert 0.15 < off < 0.6
    turned = copy.deepcopy(LIGHT)
    turned["lobes"][0]["axis"] = [-0.6, -0.64, -0.48]
    assert irradiance_error(turned, ball(checker)) > off


def test_albedo_is_compared_after_one_factor():
    truth = ball(checker)
    darker = ball(lambda vertices: linear_to_srgb(0.5 * srgb_to_linear(checker(vertices))))
    assert albedo_psnr(darker, truth) > 45
    flat = ball(lambda vertices: torch.full_like(vertices, 0.5))
    assert albedo_psnr(flat, truth) < 25
