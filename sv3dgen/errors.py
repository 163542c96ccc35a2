"""The one exception that means: the user gave us something we can't use."""


class InputError(ValueError):
    """A user's mistake, told in one line that names the file or key and what was expected.

    `launch.py` and every `python -m sv3dgen.*` command print it without a traceback and exit with status 2.
    """
