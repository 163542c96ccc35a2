"""Ports of this machine."""

import socket

from sv3dgen.errors import InputError

HOST = "127.0.0.1"  # of this machine alone: there are no accounts, and SV3D's weights forbid hosting


def free_port(port: int, option: str) -> int:
    """The port, or a free one for 0. Raises InputError, naming the option, where another program has it."""
    if not 0 <= port <= 65535:
        raise InputError(f"{option} {port}: expected 0 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(f"{option} {port}: {error.strerror}; expected one that is free, or 0 for any") from None
        return probe.getsockname()[1]
