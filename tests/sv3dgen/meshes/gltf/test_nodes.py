"""Where a glTF scene puts its meshes: nodes, instances, skins and morph targets against matrices worked out by hand."""

import numpy as np
import pytest
import torch
from gltf_case import SQUARE, SQUARE_FACES, GltfCase

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh

QUARTER = [0, 0, np.sqrt(0.5), np.sqrt(0.5)]  # about z


@pytest.fixture
def case():
    made = GltfCase()
    made.square()
    return made


def extent(path):
    vertices = read_mesh(path).vertices
    return [[round(float(x), 4) for x in side] for side in (vertices.min(0).values, vertices.max(0).values)]


def test_parents_move_children_and_hidden_ones_are_left_out(case, tmp_path):
    case.json["nodes"] = [
        {"children": [1, 2], "translation": [10, 0, 0], "scale": [2, 2, 2]},
        {"mesh": 0, "rotation": QUARTER, "scale": [1, 3, 1]},
        {"mesh": 0, "translation": [100, 0, 0], "extensions": {"KHR_node_visibility": {"visible": False}}},
    ]
    assert extent(case.save(tmp_path / "a.glb")) == [[7, -1, 0], [13, 1, 0]]


def test_a_matrix_is_stored_by_columns(case, tmp_path):
    case.json["nodes"] = [{"mesh": 0, "matrix": [1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]}]
    assert extent(case.save(tmp_path / "a.glb")) == [[4.5, 5, 7], [5.5, 7, 7]]


@pytest.mark.parametrize("scale", [[-1, 1, 1], [1, 1, -1], [-1, -1, -1]])
def test_mirrored_faces_still_face_the_mirrored_way(case, tmp_path, scale):
    case.json["nodes"] = [{"mesh": 0, "scale": scale}]
    mesh = read_mesh(case.save(tmp_path / "a.glb"))
    corners = mesh.vertices[mesh.faces]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normals[:, 2].sign() == np.sign(scale[2])).all()  # a mirrored normal, as viewers shade it


def test_only_the_default_scene_is_read(case, tmp_path):
    case.json["nodes"] = [{"mesh": 0}, {"mesh": 0, "translation": [5, 0, 0]}]
    case.json |= {"scenes": [{"nodes": [0]}, {"nodes": [1]}], "scene": 1}
    assert extent(case.save(tmp_path / "a.glb"))[0] == [4.5, -0.5, 0]


def test_instances(case, tmp_path):
    moved = np.array([[0, 0, 0], [0, 4, 0]], dtype=np.float32)
    turned = case.array((np.array([[0, 0, 0, 1], QUARTER]) * 32767).round().astype(np.int16), normalized=True)
    scaled = case.array(np.array([[1, 1, 1], [1, 2, 1]], dtype=np.float32))
    rows = {"TRANSLATION": case.array(moved), "ROTATION": turned, "SCALE": scaled}
    case.json["nodes"] = [{"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": rows}}}]
    case.require("EXT_mesh_gpu_instancing")
    path = case.save(tmp_path / "a.glb")
    assert len(read_mesh(path).faces) == 4
    assert extent(path) == [[-1, -0.5, 0], [1, 4.5, 0]]


def test_skins_move_vertices_by_their_joints_alone(tmp_path):
    case = GltfCase()
    joints = np.zeros((4, 4), dtype=np.uint8)
    joints[2:, 0] = 1  # the upper two vertices
    weights = case.array(np.array([[255, 0, 0, 0]] * 4, dtype=np.uint8), normalized=True)
    case.primitive(SQUARE, SQUARE_FACES, JOINTS_0=joints, WEIGHTS_0=weights)
    unbind = np.eye(4, dtype=np.float32)[None].repeat(2, 0)
    unbind[1, 3, :3] = [0, -0.5, 0]  # by columns: joint 1 stood half a unit up
    case.json["nodes"] = [
        {"mesh": 0, "skin": 0, "translation": [100, 0, 0]},  # the node's own place doesn't count
        {"children": [2]},
        {"translation": [0, 2, 0], "rotation": QUARTER},
    ]
    case.json["scenes"] = [{"nodes": [0, 1]}]
    case.json["skins"] = [{"joints": [1, 2], "inverseBindMatrices": case.array(unbind)}]
    vertices = read_mesh(case.save(tmp_path / "a.glb")).vertices
    expected = [[-0.5, -0.5, 0], [0.5, -0.5, 0], [0, 2.5, 0], [0, 1.5, 0]]
    assert torch.allclose(vertices, torch.tensor(expected), atol=1e-6)


def test_morph_targets_with_the_weights_of_the_node_or_the_mesh(tmp_path):
    case = GltfCase()
    target = {"POSITION": case.array(np.array([[0, 0, 1]] * 4, dtype=np.float32))}
    case.square(targets=[target])
    case.json["meshes"][0]["weights"] = [0.25]
    assert extent(case.save(tmp_path / "a.glb"))[1][2] == 0.25
    case.json["nodes"][0]["weights"] = [0.5]
    assert extent(case.save(tmp_path / "a.glb"))[1][2] == 0.5


def test_nodes_in_a_circle(case, tmp_path):
    case.json["nodes"] = [{"mesh": 0, "children": [1]}, {"children": [0]}]
    with pytest.raises(InputError, match="children of themselves"):
        read_mesh(case.save(tmp_path / "a.glb"))
