"""Types read off the source agree with what beartype says of the imported annotation."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Optional

import pytest
from beartype import BeartypeConf
from beartype.door import is_bearable
from checkout import ROOT
from omegaconf import OmegaConf

from sv3dgen.cli.annotations import accepts
from sv3dgen.cli.class_sources import read_signature
from sv3dgen.cli.config_check import check_components, check_plain_values
from sv3dgen.errors import InputError
from sv3dgen.schedules import Schedule

NAMES = {"Mapping": Mapping, "Sequence": Sequence, "Literal": Literal, "Optional": Optional, "Schedule": Schedule}
ANNOTATIONS = (
    "int",
    "float",
    "bool",
    "str",
    "int | None",
    "float | int",
    "Literal['a', 'b']",
    "Literal[1, 2] | None",
    "Optional[str]",
    "Schedule",
    "Mapping[str, Schedule]",
    "dict[str, int]",
    "list[int]",
    "tuple[int, int]",
    "tuple[float, ...]",
    "Mapping",
    "'int | str'",
)
VALUES = (0, 2, -1.5, 1e3, True, None, "a", "c", "", [], [1, 2], [1.5, 2.0, 3.0], ["a"], {}, {"a": 1}, {0: 1.0, 9: 2})


def as_python(value: object, annotation: str) -> object:
    """A yaml list where a tuple is wanted: Hydra's conversion does not make it one, but our constructors take it."""
    return tuple(value) if isinstance(value, list) and "tuple" in annotation else value


@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_agrees_with_beartype(annotation: str) -> None:
    file = ROOT / "tests" / "sv3dgen" / "cli" / "test_config_check.py"
    hint = eval(annotation, dict(NAMES))
    hint = eval(hint, dict(NAMES)) if isinstance(hint, str) else hint
    node = ast.parse(annotation, mode="eval").body
    for value in VALUES:
        expected = is_bearable(as_python(value, annotation), hint, conf=BeartypeConf(is_pep484_tower=True))
        if isinstance(value, bool) and "bool" not in annotation:
            expected = False  # Python's True is an int; a config's is not
        assert accepts(node, value, file, ROOT) == expected, (annotation, value)


def test_unknown_annotations_accept_anything() -> None:
    node = ast.parse("Float[Tensor, 'rays 3']", mode="eval").body
    assert accepts(node, "whatever", Path(__file__), ROOT)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "geometry").mkdir()
    (tmp_path / "geometry" / "blob.py").write_text(
        "from typing import Literal\n"
        "from dataclasses import dataclass\n"
        "Size = int | None\n"
        "class Blob:\n"
        "    def __init__(self, *, radius: float, shape: Literal['round', 'flat'] = 'round', size: Size = None): ...\n"
        "@dataclass(frozen=True)\n"
        "class Point:\n"
        "    x: float = 0.0\n"
        "def anything(**settings): ...\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"radius": "one"}, "part.radius=one: expected float"),
        ({"radius": True}, "part.radius=true: expected float"),
        ({"shape": "square"}, "part.shape=square: expected one of round, flat"),
        ({"size": 1.5}, "part.size=1.5: expected int | null"),
        ({"radios": 1.0}, "part.radios: Blob has no such argument, expected one of: radius, shape, size"),
        ({"radius": "???"}, "part.radius: needs a value, expected float"),
        ({"radius": "${width}"}, "part.radius=wide: expected float"),
    ],
)
def test_wrong_values_are_named(project: Path, values: dict, message: str) -> None:
    config = OmegaConf.create({"part": {"_target_": "geometry.blob.Blob", **values}, "width": "wide"})
    with pytest.raises(InputError) as refusal:
        check_components(config, project)
    assert str(refusal.value) == message


def test_right_values_pass(project: Path) -> None:
    config = OmegaConf.create(
        {
            "part": {"_target_": "geometry.blob.Blob", "radius": 1, "shape": "flat", "size": None},
            "same": "${part}",
            "later": {"_target_": "geometry.blob.Blob", "radius": "${hydra:runtime.output_dir}"},
            "point": {"_target_": "geometry.blob.Point", "x": 2},
            "free": {"_target_": "geometry.blob.anything", "x": "y"},
            "foreign": {"_target_": "lightning.Trainer", "min_steps": "many"},
        }
    )
    check_components(config, project)


def test_dataclass_fields_are_arguments(project: Path) -> None:
    signature = read_signature("geometry.blob.Point", project)
    assert signature is not None and list(signature.arguments) == ["x"]


@pytest.mark.parametrize("target", ["geometry.blob.Blub", "geometry.blub.Blob", "geometry.Blob"])
def test_missing_class_is_named(project: Path, target: str) -> None:
    with pytest.raises(InputError, match=f"_target_={target}: no such class"):
        check_components(OmegaConf.create({"part": {"_target_": target}}), project)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": 1.5}, "seed=1.5: expected int, such as 0"),
        ({"seed": None}, "seed=null: expected int, such as 0"),
        ({"fov": "wide"}, "fov=wide: expected float, such as 33.8"),
        ({"inner": {"on": 1}}, "inner.on=1: expected bool, such as true"),
        ({"views": 3}, "views=3: expected a path"),
    ],
)
def test_plain_values_keep_the_type_of_their_default(given: dict, message: str) -> None:
    defaults = OmegaConf.create({"seed": 0, "fov": 33.8, "views": None, "inner": {"on": True}, "ref": "${seed}"})
    check_plain_values(OmegaConf.merge(defaults, {"fov": 40, "views": "x"}), defaults)  # type: ignore[arg-type]
    with pytest.raises(InputError) as refusal:
        check_plain_values(OmegaConf.merge(defaults, given), defaults)  # type: ignore[arg-type]
    assert str(refusal.value).startswith(message)
