"""Lines of the log hold names out of files, and so may hold codes that a terminal would obey: they come out as `?`."""

import logging

from sv3dgen.runs.run_folder import OURS


class _PlainRecord(logging.LogRecord):
    def getMessage(self) -> str:
        message = super().getMessage()
        if message.isprintable() or self.name.split(".")[0] not in OURS:
            return message
        return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in message)


def log_plainly() -> None:
    """From now on, whatever this project logs is fit to be printed."""
    logging.setLogRecordFactory(_PlainRecord)
