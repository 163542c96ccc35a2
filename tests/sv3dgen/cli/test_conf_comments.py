"""What the files of conf/ say of their keys."""

from pathlib import Path

import pytest
from checkout import ROOT

from sv3dgen.cli.conf_comments import explained, said_of_keys, said_of_option

YAML = """# @package _global_
# What the file is: of two lines,
# the second. More of it.
defaults:
  - other
  - /group@place: option # which
  - _self_

a: 1 # behind it
# above it,
# on two lines
b:
  c: "# no comment" # but this
  d: 'x' #not this
  e:
    - 1 # of a list
f: 2
"""


def test_comments_stand_behind_a_key_or_right_above_it(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(YAML)
    told = explained(tmp_path / "file.yaml")
    assert told.head == "What the file is: of two lines, the second. More of it." and told.package == "_global_"
    assert told.keys == {"a": "behind it", "b": "above it, on two lines", "b.c": "but this"}
    assert told.bases == ("other",)


def test_a_later_file_speaks_before_the_one_it_builds_on(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "config.yaml").write_text("root: 1 # of the root\n")
    (tmp_path / "part" / "plain.yaml").write_text("# Plain.\nsize: 1 # of it\nname: x # its name\n")
    (tmp_path / "part" / "large.yaml").write_text("# Large: more. And more.\ndefaults:\n  - plain\nsize: 9 # a lot\n")
    said = said_of_keys({"part@stage.part": "large", "absent": None}, [tmp_path])
    assert said == {"root": "of the root", "stage.part.size": "a lot", "stage.part.name": "its name"}
    assert said_of_option("part", "large", [tmp_path]) == "Large" and said_of_option("part", "no", [tmp_path]) == ""


@pytest.mark.parametrize("group", [path.name for path in (ROOT / "conf").iterdir() if path.is_dir()])
def test_every_option_says_what_it_is(group: str) -> None:
    if group == "hydra":
        pytest.skip("Hydra's own")
    silent = [
        file.stem
        for file in (ROOT / "conf" / group).glob("*.yaml")
        if not said_of_option(group, file.stem, [ROOT / "conf"])
    ]
    assert silent == []
