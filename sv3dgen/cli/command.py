"""What all commands share: a mistake is one line, and the exit status says which kind it was."""

import argparse
import os
import select
import sys
from collections.abc import Callable
from typing import Any

from sv3dgen.domains import Between
from sv3dgen.errors import InputError, one_line
from sv3dgen.runs.plain_log import log_plainly
from sv3dgen.runs.threads import settle_threads


class DefaultsFormatter(argparse.HelpFormatter):
    """Tells each option's default, unless it is none or its help speaks of it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        told = action.help or ""
        silent = "default" in told or not action.option_strings or action.nargs == 0
        if silent or action.default in (None, "", [], argparse.SUPPRESS):
            return told
        return f"{told} (default: %(default)s)"


class OneLineParser(argparse.ArgumentParser):
    """Without the usage in front of an error: one line is what the user has to read. Defaults are told in the help."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": DefaultsFormatter} | settings)

    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(f"{message} (see {self.prog} --help)")


def within(low: float | int, high: float | int) -> Callable[[str], Any]:
    """The `type` of an option whose number lies between two others, both included; whole where these are."""
    whole, domain = isinstance(low, int), Between(low, high)

    def number(text: str) -> float | int:
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = float("nan")  # in no domain
        if value not in domain:
            raise argparse.ArgumentTypeError(f"{text}: expected {'a whole number, ' if whole else ''}{domain}")
        return value

    return number


SEED = within(0, 2**32 - 1)


def exit_status(command: Callable[[], int], name: str = "error", *, stopped: str = "stopped") -> int:
    """That of the command itself; 2 for what only the user can fix, 130 when stopped.

    Such a mistake, or the file system's refusal, is told in one line that starts with `name`; an interruption in the
    line `stopped`.
    """
    settle_threads()
    log_plainly()
    try:
        return command()
    except InputError as error:
        line = str(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            return _unread()
        line = f"{error.filename or 'writing'}: {error.strerror or error}"
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
    return refused(line, name)


def print_through(text: str) -> None:
    """Print a text that is long enough to be cut off by `| head`, which is no mistake of anybody's."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _unread()


def _is_unread() -> bool:
    """Whether it was stdout that broke, and not some other pipe, as to a program that was started."""
    try:
        sys.stdout.flush()  # fails again, unless nothing of what failed was kept
        if not hasattr(select, "poll"):  # Windows
            return False
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))  # only errors and ends are told unasked
    except BrokenPipeError:
        return True
    except (OSError, ValueError):  # not of a system's file
        return False


def _unread() -> int:
    """Whoever read the output is gone: nothing is left to be told, and the interpreter is not to try it either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # as a shell would say it


def refused(message: str, name: str) -> int:
    """Tell a user's mistake in one line on stderr; gives the exit status that stands for one."""
    print(f"{name}: {one_line(message)}", file=sys.stderr)
    return 2
