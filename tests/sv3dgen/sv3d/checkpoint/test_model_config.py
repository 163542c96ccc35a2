"""The model's sizes, from the configuration next to a checkpoint."""

import json
from pathlib import Path

import pytest
from loaded_parts import Values, assert_equal, expected, parameters, refusal
from tiny_checkpoint import TINY, write_checkpoint

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.load import load_parts
from sv3dgen.sv3d.checkpoint.model_config import read_config_beside
from sv3dgen.sv3d.config import SV3DConfig


def test_config_beside_the_file(values: Values, tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path, values)
    config_file = tmp_path / "config.json"
    config_file.write_text("{broken")
    assert "not JSON" in refusal_of(config_file, file)
    config_file.write_text(json.dumps({"unet": {"chanels": 32}}))
    assert "unet.chanels: no such key" in refusal_of(config_file, file)
    config_file.write_text(json.dumps({"unet": {"channels": "many"}}))
    assert "unet.channels: found many, expected a whole number" in refusal_of(config_file, file)
    config_file.write_text(json.dumps({"official_config": {"model": {}}}))
    assert "no params" in refusal_of(config_file, file)
    config_file.write_text(json.dumps({"official_config": []}))
    assert "not the official configuration" in refusal_of(config_file, file)
    config_file.write_text(json.dumps({"model_type": "something else"}))
    assert "by the released sizes" in refusal(file)
    assert_equal(parameters(load_parts(file, TINY)), expected(values))


def test_official_configuration(shared: Path, tmp_path: Path) -> None:
    document = json.loads((shared / "parity" / "dev" / "config.json").read_text())
    unet = document["official_config"]["model"]["params"]["network_config"]["params"]
    noise = document["official_config"]["model"]["params"]["sampler_config"]["params"]["discretization_config"]
    file = tmp_path / "model.safetensors"

    def read() -> SV3DConfig:
        (tmp_path / "config.json").write_text(json.dumps(document))
        found = read_config_beside(file)
        assert found is not None and found[1] == str(tmp_path / "config.json")
        return found[0]

    assert read().sampler.sigma_max == 700 and read().unet.transformer_depth == 1
    del noise["params"]["sigma_max"], unet["transformer_depth"]  # the official defaults
    assert read().sampler.sigma_max == 80 and read().unet.transformer_depth == 1
    unet["transformer_depth"] = [1, 2]
    with pytest.raises(InputError, match="transformer_depth"):
        read()


def refusal_of(named: Path, file: Path) -> str:
    """The refusal of a checkpoint for another file."""
    with pytest.raises(InputError) as caught:
        load_parts(file)
    assert str(named) in str(caught.value)
    return str(caught.value)
