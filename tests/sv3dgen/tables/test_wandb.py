"""The table as Weights & Biases keeps it."""

import json

import wandb
from wandb_store import Kept

from sv3dgen.tables.wandb import Home, send


def test_a_column_of_numbers_and_words_goes_to_weights_and_biases_as_words(tmp_path):
    send("weight,faces,PSNR\n0.1,1000,17.5\nschedule,2000,\n", "", Home("tables", "now", True, tmp_path))
    wandb.teardown()
    (kept,) = (tmp_path / "wandb").glob("offline-run-*")
    (entry,) = Kept(next(kept.glob("run-*.wandb"))).series("table")
    stored = json.loads((kept / "files" / entry["path"]).read_text())
    assert stored["data"] == [["0.1", 1000, 17.5], ["schedule", 2000, None]]
