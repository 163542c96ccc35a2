"""conf/: every yaml fits the constructor it names, and every combination that is promised composes."""

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from beartype import BeartypeConf
from beartype.door import is_bearable
from checkout import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from sv3dgen.cli.command_line import register_resolvers
from sv3dgen.cli.config_check import OURS, check_components
from sv3dgen.schedules import value_at

CONF = ROOT / "conf"
INT_IS_FLOAT = BeartypeConf(is_pep484_tower=True)
YAMLS = sorted(CONF.rglob("*.yaml"))


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def nodes_with_target(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield tree
        for value in tree.values():
            yield from nodes_with_target(value)


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.relative_to(CONF).as_posix())
def test_values_fit_the_constructor(path: Path) -> None:
    """Existence, argument names, types and Literals: the constructor is the schema, and nothing repeats it."""
    tree = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    for node in nodes_with_target(tree):
        target = get_object(node["_target_"])
        if node["_target_"].split(".")[0] not in OURS:
            continue
        arguments = inspect.signature(target).parameters
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
        for key, value in node.items():
            if key.startswith("_") or key == "defaults":
                continue
            assert key in arguments, f"{key}: {node['_target_']} has only {list(arguments)}"
            assert key in hints, f"{key}: not annotated in {node['_target_']}"
            elsewhere = (isinstance(value, str) and "${" in value) or (isinstance(value, dict) and "_target_" in value)
            # Containers that hold references are checked once composed.
            elsewhere |= isinstance(value, dict | list) and "${" in str(value)
            assert elsewhere or is_bearable(value, hints[key], conf=INT_IS_FLOAT), f"{key}={value!r}: {hints[key]}"


@pytest.mark.parametrize("group", [g for g in ("geometry", "guidance", "system") if (CONF / g).is_dir()])
def test_one_yaml_per_part(group: str) -> None:
    """A yaml's target lives in the folder that its group mirrors."""
    folder = {"system": "systems"}.get(group, group)
    for path in (CONF / group).rglob("*.yaml"):
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        if isinstance(config, dict) and "_target_" in config:
            assert str(config["_target_"]).split(".")[0] == folder, path


@pytest.mark.parametrize(
    "choice",
    [
        f"{group}={option}"
        for group in ("system", "preset", "experiment", "trainer", "logger")
        for option in options(group)
    ],
)
@pytest.mark.parametrize("system", options("system"))
def test_promised_combinations_compose(system: str, choice: str) -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [f"system={system}", choice])
    check_components(config, ROOT)
    assert config.name == "run"
    assert "views" in config and "resume" in config


def test_masked_is_another_name_of_soft():
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        one, other = (compose("config", [f"guidance/sds={name}"]) for name in ("masked", "soft"))
    assert one.fine.guidance.sds.mask.high == 0.5 and one == other


@pytest.mark.parametrize("preset", options("preset"))
def test_schedules_of_an_experiment_hold_at_every_preset(preset: str) -> None:
    """Knots are merged by step, so those of a preset would stay between those of experiment=vessel."""
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config", [f"preset={preset}", "experiment=vessel"])
    coarse = OmegaConf.to_container(config.coarse, resolve=False)
    assert isinstance(coarse, dict)
    weights = coarse["guidance"]["smoothness"]["weights"]["bilateral_depth"]
    assert [value_at(weights, step) for step in range(0, 2501, 50)] == [
        pytest.approx(5 * min(1, max(0, (step - 400) / 300))) for step in range(0, 2501, 50)
    ]
    rates = [value_at(coarse["learning_rate"], step) for step in range(2501)]
    assert rates == sorted(rates, reverse=True) and rates[600] == pytest.approx(0.005)


@pytest.mark.parametrize("experiment", ["light", "all"])
@pytest.mark.parametrize(
    ("preset", "own"), [("paper", 150.0), ("fork", 200.0), ("cpu", None), ("gpu", None), ("draft", None)]
)
def test_an_experiments_albedo_weight_gives_way_to_a_presets_own(experiment: str, preset: str, own: float | None):
    with initialize_config_dir(str(CONF), version_base=None):
        plain = compose("config", [f"preset={preset}"])
        given = compose("config", [f"preset={preset}", f"experiment={experiment}"])
    before, after = (config.fine.guidance.smoothness.weights.albedo for config in (plain, given))
    if own is None:
        assert (before, after) == (0.0, 50.0)
    else:
        assert before == after == {100: 0.0, 200: own}
    assert given.fine.renderer.albedo_jitter > 0


def test_a_debug_run_reaches_score_distillation():
    with initialize_config_dir(str(CONF), version_base=None):
        for preset in options("preset"):
            config = compose("config", ["trainer=debug", f"preset={preset}", "guidance/sds=soft"])
            first, second = (value_at(config.distillation.weight, step) for step in range(config.trainer.fast_dev_run))
            assert first > 0 and second > 0, preset
        assert value_at(compose("config", ["guidance/sds=soft"]).distillation.weight, 1) == 0


def test_score_distillation_comes_to_its_turn_at_every_preset():
    for preset in options("preset"):
        with initialize_config_dir(str(CONF), version_base=None):
            config = compose("config", [f"preset={preset}", "guidance/sds=soft"])
        schedule = OmegaConf.to_container(config.fine.guidance.sds.weights, resolve=True)
        assert isinstance(schedule, dict) and value_at(schedule["sds"], config.fine.steps - 1) > 0, preset
