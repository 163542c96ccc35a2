"""What a run's card says of its making."""

import hashlib
import json
import subprocess
from pathlib import Path

from sv3dgen.runs.provenance import commit, input_of, provenance
from sv3dgen.runs.run_folder import RunCard


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    return subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_commit_is_the_checkouts_own(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert commit(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "one")
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    (tmp_path / "new").write_text("not known to git")
    assert commit(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert commit(tmp_path) == head + "+"
    (tmp_path / "inner").mkdir()
    assert commit(tmp_path / "inner") is None


def test_input_is_a_path_and_the_hash_of_what_is_read(tmp_path: Path, views_folder: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"a picture")
    assert input_of({"image": str(photo), "views": None}) == {
        "path": str(photo),
        "sha256": hashlib.sha256(b"a picture").hexdigest(),
    }
    given = input_of({"image": None, "views": str(views_folder)})
    assert given is not None and len(given["sha256"]) == 64
    assert given == input_of({"views": str(views_folder)})
    assert input_of({"views": str(tmp_path / "gone")}) == {"path": str(tmp_path / "gone")}
    assert input_of({}) is None


def test_the_card_holds_it(tmp_path: Path) -> None:
    told = provenance({"image": None})
    RunCard.begin(tmp_path, config={}, seed=0, provenance=told)
    card = json.loads((tmp_path / "run.json").read_text())
    assert {key: card[key] for key in told} == told and card["command"].startswith("python launch.py")
