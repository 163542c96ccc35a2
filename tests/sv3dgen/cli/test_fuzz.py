"""What strangers hand us, made at random: it is read, or refused in one line. Needs hypothesis (the dev extra).

A few seconds in the suite. For longer: SV3DGEN_FUZZ_EXAMPLES=100000 pytest -n 0 tests/sv3dgen/cli/test_fuzz.py
"""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trimesh
from checkout import ROOT

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


@fuzzed
@given(data=st.data())
@pytest.mark.parametrize("kind", ["glb", "obj", "ply"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of sums of what the file says
def test_meshes(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    exported = trimesh.creation.box().export(file_type=kind)
    content = exported.encode() if isinstance(exported, str) else bytes(exported)
    if kind == "glb" and data.draw(st.booleans()):
        length = struct.unpack("<I", content[12:16])[0]
        text = json.dumps(changed(data, json.loads(content[20 : 20 + length]))).encode()
        text += b" " * (-len(text) % 4)
        content = content[:8] + struct.pack("<II4s", len(content), len(text), b"JSON") + text + content[20 + length :]
    else:
        content = mutated(data, content)
    path = tmp_path / f"mesh.{kind}"
    path.write_bytes(content)
    refused_or_read(lambda: read_mesh(path))


@fuzzed
@given(card=JSON, text=st.text(max_size=60))
def test_run_cards_and_saved_settings(card: Any, text: str, tmp_path: Path) -> None:
    entries = {"stages": card, "warnings": card, "resumed": card}
    (tmp_path / "run.json").write_text(json.dumps(entries))
    refused_or_read(lambda: read_card(tmp_path))
    refused_or_read(lambda: distrust(quoted(text)))


@settings(fuzzed, max_examples=max(5, EXAMPLES // 12), phases=[Phase.explicit, Phase.generate])  # shrinking is slow
@given(
    key=st.sampled_from(
        ["seed", "coarse.steps", "coarse", "fine.geometry.resolutions", "name", "preset", "share", "nvs", "x"]
    ),
    value=st.one_of(
        st.text(max_size=20), NUMBERS.map(str), st.sampled_from(["[]", "{}", "null", "{0: 1}", "a,b", "${x}"])
    ),
    sign=st.sampled_from(["", "+", "++", "~", "-", "--"]),
)
def test_command_lines(key: str, value: str, sign: str, views_folder: Path) -> None:
    refused_or_read(lambda: checked_arguments([f"views={views_folder}", f"{sign}{key}={value}"], ROOT))
