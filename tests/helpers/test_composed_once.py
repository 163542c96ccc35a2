"""What is composed once is what Hydra composes each time."""

from pathlib import Path

import composed_once
import pytest
import yaml
from checkout import ROOT
from hydra import compose, initialize_config_dir
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf


def composed(folder: Path, *settings: str) -> DictConfig:
    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose("config", list(settings), return_hydra_config=True)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("seed=3", "coarse.steps=7"),
        ("material=sg", "guidance/sds=soft", "views=a"),
        ("seed=3", "guidance/sds=harsh"),
        ("experiment=table9", "seed=3"),
        ("material={sharpness: 3.0}", "hydra.run.dir=here"),
    ],
)
def test_it_is_what_hydra_composes(settings, monkeypatch):
    folder = ROOT / "conf"

    def told() -> str:
        try:
            return OmegaConf.to_yaml(composed(folder, *settings))
        except ConfigCompositionException as error:
            return str(error)

    kept = [told(), told()]
    monkeypatch.setattr(config_loader_impl, "create_defaults_list", composed_once._list_files)
    monkeypatch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", composed_once._merge_files)
    monkeypatch.setattr(defaults_list, "_create_interpolation_map", composed_once._map_choices)
    assert kept == [told()] * 2


def test_each_is_a_copy_and_a_changed_file_or_another_option_is_seen(tmp_path):
    def write(name: str, content: object) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(yaml.safe_dump(content))

    write("config.yaml", {"defaults": ["_self_", {"part": "a"}], "seed": 0})
    write("part/a.yaml", {"size": 1})
    composed(tmp_path).part.size = 5
    assert composed(tmp_path).part.size == 1
    assert composed(tmp_path, "part.size=2").part.size == 2 and composed(tmp_path).part.size == 1
    write("part/a.yaml", {"size": 30})
    assert composed(tmp_path).part.size == 30
    write("part/b.yaml", {"size": 4})
    assert composed(tmp_path, "part=b").part.size == 4 and composed(tmp_path).part.size == 30
