"""Names out of files, in lines of the log."""

import logging
from collections.abc import Iterator

import pytest

from sv3dgen.runs.plain_log import log_plainly


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)


def test_codes_for_terminals_do_not_come_out(caplog: pytest.LogCaptureFixture) -> None:
    log_plainly()
    logging.getLogger("sv3dgen.meshes").warning("%s: mtllib %s is missing\nand so on", "a.obj", "\x1b]0;x\x07\u202e")
    assert caplog.messages == ["a.obj: mtllib ?]0;x?? is missing\nand so on"]


def test_other_programs_log_as_they_like(caplog: pytest.LogCaptureFixture) -> None:
    log_plainly()
    logging.getLogger("rich").warning("\x1b[1mbold")
    assert caplog.messages == ["\x1b[1mbold"]
