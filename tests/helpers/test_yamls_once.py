"""A yaml that is kept is the file's: a change is read, and what one config is made into is not the next one's."""

import os

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf


def composed(folder):
    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose("config")


def test_each_config_is_its_own_and_a_change_is_read(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("a: {b: 1}\n")
    first = composed(tmp_path)
    first.a.b = 2
    assert composed(tmp_path) == {"a": {"b": 1}}
    file.write_text("a: {b: 3}\n")
    os.utime(file, ns=(0, 0))
    assert composed(tmp_path) == {"a": {"b": 3}} and first == {"a": {"b": 2}}


def test_a_file_that_stays_is_parsed_once(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    parsed, load = [], OmegaConf.load
    monkeypatch.setattr(OmegaConf, "load", lambda file: (parsed.append(file.name), load(file))[1])
    assert composed(tmp_path) == composed(tmp_path) == {"a": 1}
    assert [name for name in parsed if name.startswith(str(tmp_path))] == [str(tmp_path / "config.yaml")]
