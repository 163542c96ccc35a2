"""The one exception that means: the user gave us something we can't use."""


class InputError(ValueError):
    """A user's mistake, told in one line that names the file or key and what was expected.

    `launch.py` and every `python -m sv3dgen.*` command print it without a traceback and exit with status 2.
    """


def one_line(message: str) -> str:
    """A message as it is printed: a name in it may hold line breaks, or codes that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(message.split()))
