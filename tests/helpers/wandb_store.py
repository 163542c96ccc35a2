"""Reading a run that wandb has kept offline.

wandb's Python has no reader of its file any more (its service has one, in Go), so the frames around the records are
read here; the records themselves are wandb's own protocol buffers.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

HEADER, BLOCK, FRAME = 7, 32768, 7  # bytes of the file's head, of a block, and of a frame's head
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(file: Path) -> Iterator[Any]:
    """All records, in order. The file is a LevelDB log: frames of checksum, length and kind, none across two blocks."""
    content = file.read_bytes()
    assert content[:4] == b":W&B", "not a file of wandb"
    place, whole = HEADER, b""
    while place < len(content):
        left = BLOCK - place % BLOCK
        if left < FRAME:
            place += left
            continue
        checksum, length, kind = struct.unpack("<IHB", content[place : place + FRAME])
        data = content[place + FRAME : place + FRAME + length]
        assert checksum == zlib.crc32(bytes([kind]) + data), "a damaged frame"
        place += FRAME + length
        whole = data if kind in (FULL, FIRST) else whole + data
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]  (made when it is imported)
            record.ParseFromString(whole)
            yield record


class Kept:
    """What a run's file says: the run, its config, its history (one dict a row) and its last summary."""

    def __init__(self, file: Path):
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.exit_code: int | None = None
        self.group = self.name = self.id = ""
        for record in records(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.group, self.name, self.id = record.run.run_group, record.run.display_name, record.run.run_id
            elif kind == "config":
                self.config |= items(record.config.update)
            elif kind == "history":
                self.history.append(items(record.history.item))
            elif kind == "summary":
                self.summary |= items(record.summary.update)
            elif kind == "exit":
                self.exit_code = record.exit.exit_code

    def series(self, key: str) -> list[Any]:
        return [row[key] for row in self.history if key in row]


def items(found: Any) -> dict[str, Any]:
    """Keys and values; what wandb stores as `turntable` > `path` becomes a dict in the dict."""
    tree: dict[str, Any] = {}
    for item in found:
        *above, last = list(item.nested_key) or [item.key]
        node = tree
        for key in above:
            node = node.setdefault(key, {})
        node[last] = json.loads(item.value_json)
    return tree
