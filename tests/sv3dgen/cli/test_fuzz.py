"""What strangers hand us, made at random: it is read, or refused in one line. Needs hypothesis (the dev extra).

A few seconds in the suite. For longer: SV3DGEN_FUZZ_EXAMPLES=100000 pytest -n 0 tests/sv3dgen/cli/test_fuzz.py,
and tests/helpers/fuzz_files.py, which damages real files.
"""

import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import trimesh
from checkout import ROOT
from fuzz_mutations import damage_of
from gltf_case import SQUARE, SQUARE_FACES, SQUARE_UV, GltfCase, quarters
from PIL import Image

pytest.importorskip("hypothesis", reason='needs hypothesis: pip install -c constraints.txt -e ".[dev]"')
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.cli.overrides import quoted
from sv3dgen.cli.saved_settings import distrust
from sv3dgen.errors import InputError, one_line
from sv3dgen.meshes.files import read_mesh
from sv3dgen.runs.run_folder import read_card
from sv3dgen.sv3d.checkpoint.safetensors_header import read_header
from sv3dgen.views.camera_check import check_cameras
from sv3dgen.views.image import read_photo
from sv3dgen.views.transforms_json import read_transforms

EXAMPLES = int(os.environ.get("SV3DGEN_FUZZ_EXAMPLES", "60"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="SV3DGEN_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)

NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 1e300, -1e300, 10**400, 1e-300, 2**31, 2**63, True, None, "1"])
)
KEYS = ("seed", "coarse.steps", "coarse", "fine.geometry.resolutions", "name", "preset", "share", "nvs", "x")
WORDS = ("[]", "{}", "null", "{0: 1}", "a,b", "${x}")
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


def refused_or_read(read: Callable[[], Any]) -> None:
    try:
        read()
    except InputError as refusal:
        told = one_line(str(refusal))  # as launch.py prints it
        assert told.isprintable() and len(told) < 3000


def changed(data: st.DataObject, document: Any) -> Any:
    """The document with something in it replaced, or left out."""
    if isinstance(document, dict) and document and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(document)))
        if data.draw(st.integers(0, 5)) == 0:
            return {k: v for k, v in document.items() if k != key}
        return document | {key: changed(data, document[key])}
    if isinstance(document, list) and document and data.draw(st.integers(0, 3)):
        index = data.draw(st.integers(0, len(document) - 1))
        return [*document[:index], changed(data, document[index]), *document[index + 1 :]]
    return data.draw(st.one_of(NUMBERS, JSON))


def mutated(data: st.DataObject, content: bytes) -> bytes:
    """Bytes with some of them changed, taken out, doubled or cut off."""
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        kind = data.draw(st.integers(0, 3))
        if kind == 0:
            content = content[:at] + data.draw(st.binary(min_size=1, max_size=4)) + content[at + 1 :]
        elif kind == 1:
            content = content[:at] + content[at + data.draw(st.integers(1, 64)) :]
        elif kind == 2:
            content = content[:at] + content[at : at + 40] + content[at:]
        else:
            content = content[:at]
    return content


@fuzzed
@given(data=st.data())
def test_transforms_json(data: st.DataObject, views_folder: Path, tmp_path: Path) -> None:
    document = json.loads((views_folder / "transforms.json").read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        document = changed(data, document)
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(document))
    refused_or_read(lambda: check_cameras(read_transforms(path, "train").frames))


@fuzzed
@given(data=st.data())
def test_headers_of_safetensors(data: st.DataObject, tmp_path: Path) -> None:
    header = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "__metadata__": {"format": "pt"}}
    text = json.dumps(changed(data, header)).encode()
    length = data.draw(st.one_of(st.just(len(text)), st.integers(0, 2**64 - 1)))
    content = struct.pack("<Q", length) + text + bytes(16)
    path = tmp_path / "model.safetensors"
    path.write_bytes(mutated(data, content) if data.draw(st.booleans()) else content)
    refused_or_read(lambda: read_header(path))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A whole mesh file of each kind, made once: a 3MF is another one each time."""
    made = {"rich.glb": rich_gltf(tmp_path_factory.mktemp("seeds") / "a.glb")}
    for kind in ("glb", "obj", "ply", "stl", "off", "3mf"):
        exported = trimesh.creation.box().export(file_type=kind)
        made[kind] = exported.encode() if isinstance(exported, str) else bytes(exported)
    return made


def rich_gltf(path: Path) -> bytes:
    """A square with most of what is read of glTF: colors, a moved texture, a mask, sparse rows, bones, instances."""
    case = GltfCase()
    transform = {"extensions": {"KHR_texture_transform": {"offset": [0.5, 0], "scale": [0.5, 2], "rotation": 0.3}}}
    image = quarters().convert("RGBA")
    image.putalpha(image.getchannel("R"))
    material = case.textured(image, transform | {"texCoord": 1}, alphaMode="MASK", alphaCutoff=0.4)
    case.json["textures"][0]["sampler"] = 0
    case.json["samplers"] = [{"wrapS": 33071, "wrapT": 33648}]
    case.material(extensions={"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [0.5, 0.5, 0.5, 1]}})
    weights = case.array(np.array([[255, 0, 0, 0]] * 4, dtype=np.uint8), normalized=True)
    case.square(
        material=material,
        TEXCOORD_1=case.array((SQUARE_UV * 65535).astype(np.uint16), normalized=True, padding=4),
        COLOR_0=case.array(np.full((4, 4), 200, dtype=np.uint8), normalized=True),
        JOINTS_0=np.zeros((4, 4), dtype=np.uint8),
        WEIGHTS_0=weights,
        targets=[{"POSITION": case.array(SQUARE * 0.1)}],
    )
    case.primitive(SQUARE, SQUARE_FACES[[0, 1, 2, 5]], material=1, mode=5)
    rows = {"indices": {"bufferView": case.view(bytes([0, 2])), "componentType": 5121}, "count": 2}
    case.json["accessors"][0]["sparse"] = rows | {"values": {"bufferView": case.view(SQUARE[:2].tobytes())}}
    moved = {"TRANSLATION": case.array(np.array([[0, 0, 0], [0, 4, 0]], dtype=np.float32))}
    case.json["meshes"][0]["weights"] = [0.5]
    case.json["nodes"] = [
        {"mesh": 0, "skin": 0, "children": [1, 2]},
        {"translation": [0, 1, 0], "rotation": [0, 0, 0, 1]},
        {"mesh": 0, "scale": [1, -1, 1], "extensions": {"EXT_mesh_gpu_instancing": {"attributes": moved}}},
    ]
    unbind = case.array(np.eye(4, dtype=np.float32).reshape(1, 16))
    case.json["skins"] = [{"joints": [1], "inverseBindMatrices": unbind}]
    return case.save(path).read_bytes()


@fuzzed
@given(data=st.data())
@pytest.mark.parametrize("kind", ["rich.glb", "glb", "obj", "ply", "stl", "off", "3mf"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of sums of what the file says
def test_meshes(kind: str, data: st.DataObject, seeds: dict[str, bytes], tmp_path: Path) -> None:
    path, content = tmp_path / f"mesh.{kind}", seeds[kind]
    if kind.endswith("glb") and data.draw(st.integers(0, 3)):
        length = struct.unpack("<I", content[12:16])[0]
        document = json.loads(content[20 : 20 + length])
        for _ in range(data.draw(st.integers(1, 3))):
            document = changed(data, document)
        text = json.dumps(document).encode()
        text += b" " * (-len(text) % 4)
        content = content[:8] + struct.pack("<II4s", len(content), len(text), b"JSON") + text + content[20 + length :]
    else:
        content = mutated(data, content)
    path.write_bytes(content)
    refused_or_read(lambda: read_mesh(path))


@fuzzed
@given(data=st.data())
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "tiff", "avif"])
def test_photos(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    quarters().save(file, kind, **({"exif": exif} if kind in ("png", "jpeg", "webp", "tiff", "avif") else {}))
    path = tmp_path / f"photo.{kind}"
    path.write_bytes(mutated(data, file.getvalue()))
    refused_or_read(lambda: read_photo(path))


@fuzzed
@given(card=JSON, text=st.text(max_size=60))
def test_run_cards_and_saved_settings(card: Any, text: str, tmp_path: Path) -> None:
    entries = {"stages": card, "warnings": card, "resumed": card}
    (tmp_path / "run.json").write_text(json.dumps(entries))
    refused_or_read(lambda: read_card(tmp_path))
    refused_or_read(lambda: distrust(quoted(text)))


@settings(fuzzed, max_examples=max(5, EXAMPLES // 12), phases=[Phase.explicit, Phase.generate])  # shrinking is slow
@given(
    key=st.sampled_from(KEYS),
    value=st.one_of(st.text(max_size=20), NUMBERS.map(str), st.sampled_from(WORDS)),
    sign=st.sampled_from(["", "+", "++", "~", "-", "--"]),
)
def test_command_lines(key: str, value: str, sign: str, views_folder: Path) -> None:
    refused_or_read(lambda: checked_arguments([f"views={views_folder}", f"{sign}{key}={value}"], ROOT))


@pytest.mark.parametrize("kind", ["rich.glb", "obj", "ply", "stl", "3mf", "json", "safetensors"])
def test_the_hour_of_fuzzing_damages_whatever_it_is_given(kind: str, seeds: dict[str, bytes]) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "n": 10**400}).encode()
    content = seeds.get(kind, header)
    content = struct.pack("<Q", len(header)) + header + bytes(16) if kind == "safetensors" else content
    damage = damage_of(f"given.{kind}")
    made = [damage(content, Random(seed)) for seed in range(100)]
    assert made[7] == damage(content, Random(7)) and len(set(made)) > 60
