"""The one exception that means: the user gave us something we can't use."""

_LONGEST = 2000  # letters of a line


class InputError(ValueError):
    """A user's mistake, told in one line that names the file or key and what was expected.

    `launch.py` and every `python -m sv3dgen.*` command print it without a traceback and exit with status 2.
    """


def one_line(message: str) -> str:
    """A message as it is printed: what it quotes may hold line breaks, codes that a terminal would obey, or no end."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(message.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
