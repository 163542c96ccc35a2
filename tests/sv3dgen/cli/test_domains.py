"""Every number that can be set has a domain; what is outside of it is refused by name, before torch is imported."""

import dataclasses
import importlib
import math
import subprocess
import sys
import time
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from checkout import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from sv3dgen.cli.command_line import checked_arguments, register_resolvers
from sv3dgen.cli.config_check import OURS, check_components, check_schemas
from sv3dgen.cli.run_settings import SCHEMAS
from sv3dgen.commands.settings import numbers
from sv3dgen.domains import Between, Fields, Pairs, is_when
from sv3dgen.errors import InputError

VALUES = (0, -1, 10**12, math.nan, math.inf, "many", [1, 2], None, True)
CHOICES = [
    ["guidance/sds=soft", "orbit=dynamic", "memory=8gb"],
    ["preset=paper", "nvs=mesh", "orbit=sine30", "normals=marigold"],
    ["system=sv3d_finetune"],
    ["system=sv3d_autoencoder"],
    ["system=sv3d_decoder"],
]


def composed(*settings: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", list(settings))


def fits(hint: Any, value: Any, module: types.ModuleType) -> bool:
    """Whether a value is one of an annotation, as Python has it when it is imported: the slow way, and another one."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        return fits(args[0], value, module) and all(is_in(domain, value, module) for domain in args[1:])
    if origin in (typing.Union, types.UnionType):
        return any(fits(arg, value, module) for arg in args)
    if origin is typing.Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if origin is tuple:
        inner = args[:1] * len(value) if Ellipsis in args and isinstance(value, list) else args
        return (
            isinstance(value, list) and len(value) == len(inner) and all(map(fits, inner, value, [module] * len(inner)))
        )
    if origin is Mapping:
        return isinstance(value, dict) and all(
            fits(args[0], k, module) and fits(args[1], v, module) for k, v in value.items()
        )
    if hint is list:
        return isinstance(value, list)
    if origin is Sequence:
        return isinstance(value, list) and all(fits(args[0], v, module) for v in value)
    if hint is float:
        return type(value) in (int, float) and (type(value) is int or math.isfinite(value))
    return value is None if hint is type(None) else type(value) is hint


def is_in(domain: Any, value: Any, module: types.ModuleType) -> bool:
    if isinstance(domain, Fields):
        hints = typing.get_type_hints(getattr(module, domain.name), include_extras=True)
        return all(key in hints and fits(hints[key], v, module) for key, v in value.items())
    if isinstance(domain, Pairs):
        return len(value) > 0 and all(
            isinstance(pair, list) and len(pair) == 2 and is_when(pair[0]) and fits(domain.value, pair[1], module)
            for pair in value
        )
    return domain.low <= value <= domain.high


def hint_of(config: DictConfig, key: str) -> tuple[Any, types.ModuleType]:
    """The annotation that a setting is checked by."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    own = str(node.get("_target_") or "")
    module, _, target = (own if own.split(".")[0] in OURS else SCHEMAS[parent]).rpartition(".")
    found = importlib.import_module(module)
    part = getattr(found, target)
    with_hints = part if dataclasses.is_dataclass(part) else part.__init__
    return typing.get_type_hints(with_hints, include_extras=True)[name], found


@pytest.mark.parametrize("choices", CHOICES, ids=" ".join)
def test_every_numeric_setting_takes_what_is_in_its_domain_and_no_more(choices: list[str]) -> None:
    config = composed(*choices)
    wrong = []
    for key, _, domain in numbers(config):
        hint, module = hint_of(config, key)
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(config, parent) if parent else config
        target = {"_target_": node["_target_"]} if "_target_" in node else {}
        for value in VALUES:
            part = OmegaConf.create({} if parent else {name: value})
            if parent:
                OmegaConf.update(part, parent, {**target, name: value})
            started = time.perf_counter()
            try:
                check_components(part, ROOT)
                check_schemas(part, ROOT)
                accepted = True
            except InputError as refusal:
                accepted = False
                assert key in str(refusal) and "expected" in str(refusal) and "\n" not in str(refusal)
            assert time.perf_counter() - started < 3
            if accepted != fits(hint, value, module):
                wrong.append(f"{key}={value}: {'accepted' if accepted else 'refused'}, {domain}")
    assert wrong == []


@pytest.mark.parametrize("choices", CHOICES, ids=" ".join)
def test_every_number_in_the_config_has_a_domain(choices: list[str]) -> None:
    """But for what Lightning, loggers and Hydra take."""
    config = composed(*choices)
    known = {key for key, _, _ in numbers(config)}

    def inside(node: Any, path: str) -> list[str]:
        if isinstance(node, dict):
            return [found for key, value in node.items() for found in inside(value, f"{path}.{key}".lstrip("."))]
        is_bare = type(node) in (int, float) and not any(f"{path}.".startswith(f"{key}.") for key in known)
        return [path] if is_bare else []

    plain = OmegaConf.to_container(config, resolve=False)
    assert set(inside(plain, "")) <= {"trainer.strategy.tensor_parallel_size"}


@pytest.mark.parametrize(
    "setting",
    [
        "coarse.hull_resolution=0",
        "coarse.mesh_truncation=0",
        "coarse.hull_miss_votes=1000",
        "checkpoint_every_steps=0",
        "fine.geometry.resolutions=[[0, 0]]",
        "coarse.data.milestones=[[0, {size_px: 0, layout: patches}]]",
        "coarse.guidance.reference_views.weights.rgb=nan",
        "export.loose_share=nan",
        "export.turntable_frames=100000000",
        "coarse.learning_rate=inf",
        "coarse.learning_rate=[[0, -1]]",
        "seed=-1",
        "distance=1e300",
        "coarse=null",
        "kernels=null",
        "system=[]",
        "hydra.run.dir=",
        "trainer.accumulate_grad_batches=0",
        "trainer.max_steps=nan",
        "trainer.limit_train_batches=-3",
        "trainer.num_nodes=0",
    ],
)
def test_bad_numbers_are_told_before_there_is_a_folder(
    setting: str, views_folder: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    added = "+" if setting.startswith("trainer.") else ""
    with pytest.raises(InputError, match="expected") as refusal:
        checked_arguments([f"views={views_folder}", f"{added}{setting}"], ROOT)
    assert str(refusal.value).startswith(setting.partition("=")[0]) and "\n" not in str(refusal.value)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("model.unet.channels=0", "int from 1 to 16384"),
        ("model.unet.channel_mult=[1,0]", "a list of int from 1 to 128"),
        ("model.unet.channel_mult=[]", "a number for each level"),
        ("model.unet.channels=100", "multiple of unet.norm_groups=32"),
        ("+model.unet.head_channels=48", "multiple of unet.head_channels=48"),
        ("model.unet=null", "its settings"),
        ("+model.unet.chanels=320", "no such argument"),
        ("+model.sampler={sigma_max: 1e300}", "float from 0.001 to 100000"),
    ],
)
def test_sizes_of_a_model_that_cannot_be_built(setting: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        checked_arguments(["system=sv3d_finetune", f"data={tmp_path}", setting], ROOT)
    assert str(refusal.value).startswith("model") and expected in str(refusal.value)


def test_the_table_of_settings_is_made_without_torch() -> None:
    code = "import sys, sv3dgen.settings as s; print(s.table(['preset=draft'])); assert 'torch' not in sys.modules"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (
        told.returncode == 0
        and "| `coarse.steps` | `250` | whole number from 1 to 1048575 | of optimization;" in told.stdout
    ), told.stderr


def test_a_domain_is_said_as_it_is_meant() -> None:
    assert str(Between(0.0, 1.0)) == "0 to 1" and str(Between(1, 1048575)) == "1 to 1048575"
    assert 0 in Between(0.0, 1.0) and math.nan not in Between(0.0, 1.0) and 1.1 not in Between(0.0, 1.0)
