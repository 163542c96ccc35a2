"""conf/: every yaml fits the constructor it names, and every combination that is promised composes."""

import inspect
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from beartype import BeartypeConf
from beartype.door import is_bearable
from checkout import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from sv3dgen.cli.command_line import register_resolvers
from sv3dgen.cli.config_check import OURS, check_components
from sv3dgen.schedules import check_reach, in_steps, schedules_in, value_at

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


TRAINS = ("sv3d_autoencoder", "sv3d_decoder", "sv3d_finetune")


def promised() -> Iterator[Any]:
    """Each system, and each choice with a run and with a training; the same with all the others under --thorough."""
    for system in options("system"):
        yield system, ""
        for group in ("preset", "experiment", "trainer", "logger"):
            if system not in TRAINS or group in ("trainer", "logger"):
                further = () if system in ("sv3d_dmtet", "sv3d_finetune") else (pytest.mark.thorough,)
                yield from (pytest.param(system, f"{group}={option}", marks=further) for option in options(group))


@pytest.mark.parametrize(("system", "choice"), list(promised()))
def test_promised_combinations_compose(system: str, choice: str) -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [f"system={system}", *filter(None, [choice])])
    check_components(config, ROOT)
    assert config.name == "run" and "resume" in config
    trains = "train" in config.system.stages
    assert ("views" in config) != trains and not (trains and {"coarse", "fine", "export", "nvs"} & config.keys())


def test_masked_is_another_name_of_soft():
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        one, other = (compose("config", [f"guidance/sds={name}"]) for name in ("masked", "soft"))
    assert one.fine.guidance.sds.mask.high == 0.5 and one == other


@cache
def composed(*settings: str) -> DictConfig:
    """The configuration, to be looked at only: several tests ask for the same."""
    with initialize_config_dir(str(CONF), version_base=None):
        return compose("config", list(settings))


def schedules_of(*settings: str, stage: str = "coarse") -> dict[str, Any]:
    """The stage's schedules by their dotted keys, in steps."""
    config = OmegaConf.to_container(composed(*settings)[stage], resolve=False)
    assert isinstance(config, dict)
    return dict(schedules_in(in_steps(config, config["steps"])))


@pytest.mark.parametrize("preset", options("preset"))
def test_schedules_of_an_experiment_hold_at_every_preset(preset: str) -> None:
    found = schedules_of(f"preset={preset}", "experiment=vessel")
    weights, rates = found["guidance.smoothness.weights.bilateral_depth"], found["learning_rate"]
    assert weights == [[400, 0.0], [700, 5.0]]
    assert rates == [[0, 0.01], [600, 0.005], [1200, 0.005], [2500, 0.001]]


@pytest.mark.parametrize("preset", options("preset"))
def test_no_preset_has_a_knot_beyond_its_end(preset: str) -> None:
    for length in ([], ["coarse.steps=77", "fine.steps=77"]):
        config = composed(f"preset={preset}", "guidance/sds=soft", *length)
        for stage in ("coarse", "fine"):
            plain = OmegaConf.to_container(config[stage], resolve=True)
            assert isinstance(plain, dict)
            assert check_reach(stage, {str(key): value for key, value in plain.items()}) == []


@pytest.mark.parametrize("experiment", ["light", "all"])
@pytest.mark.parametrize(
    ("preset", "own"), [("paper", 150.0), ("fork", 200.0), ("cpu", None), ("gpu", None), ("draft", None)]
)
def test_an_experiments_albedo_weight_gives_way_to_a_presets_own(experiment: str, preset: str, own: float | None):
    plain, given = composed(f"preset={preset}"), composed(f"preset={preset}", f"experiment={experiment}")
    before, after = (config.fine.guidance.smoothness.weights.albedo for config in (plain, given))
    if own is None:
        assert (before, after) == (0.0, 50.0)
    else:
        assert before == after == [["10%", 0.0], ["20%", own]]
    assert given.fine.renderer.albedo_jitter > 0


def test_a_debug_run_reaches_score_distillation():
    for preset in options("preset"):
        config = composed("trainer=debug", f"preset={preset}", "guidance/sds=soft")
        assert config.distillation.weight > 0, preset


def test_score_distillation_comes_to_its_turn_at_every_preset():
    for preset in options("preset"):
        config = composed(f"preset={preset}", "guidance/sds=soft")
        for steps in (config.fine.steps, 30):
            schedule = in_steps(OmegaConf.to_container(config.fine.guidance.sds.weights, resolve=True), steps)
            assert value_at(schedule["sds"], 0) == 0 and value_at(schedule["sds"], steps - 1) > 0, preset
