"""What all commands share: a mistake is one line, and the exit status says which kind it was."""

import argparse
import sys
from collections.abc import Callable

from sv3dgen.errors import InputError, one_line
from sv3dgen.runs.threads import settle_threads


class OneLineParser(argparse.ArgumentParser):
    """Without the usage in front of an error: one line is what the user has to read."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(f"{message} (see {self.prog} --help)")


def exit_status(command: Callable[[], int], name: str = "error", *, stopped: str = "stopped") -> int:
    """That of the command itself; 2 for what only the user can fix, 130 when stopped.

    Such a mistake, or the file system's refusal, is told in one line that starts with `name`; an interruption in the
    line `stopped`.
    """
    settle_threads()
    try:
        return command()
    except InputError as error:
        line = str(error)
    except OSError as error:
        line = f"{error.filename or 'writing'}: {error.strerror or error}"
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
    return refused(line, name)


def refused(message: str, name: str) -> int:
    """Tell a user's mistake in one line on stderr; gives the exit status that stands for one."""
    print(f"{name}: {one_line(message)}", file=sys.stderr)
    return 2
