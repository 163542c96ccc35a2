"""What stands before viser: only requests of its own pages, by what the browser says of itself.

A page of a stranger's can make a browser open a connection to 127.0.0.1, or send requests there under a name of its own
(DNS rebinding). viser asks for neither, but its server, of the package `websockets`, calls a function for each request.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any


@contextmanager
def only_own_pages() -> Iterator[list[int]]:
    """Have the servers that are started in the block answer their own pages only.

    Gives the ports on which servers were started. Empty, the server was started in another way, and nothing guards it.
    """
    import websockets.asyncio.server  # pyright: ignore[reportMissingImports]  (comes with viser)

    module: Any = websockets.asyncio.server
    serve, guarded = module.serve, []

    def with_guard(
        handler: Any, host: str, port: int, process_request: Callable[..., Any] | None = None, **rest: Any
    ) -> Any:
        guarded.append(port)

        def asked(connection: Any, request: Any) -> Any:
            refusal = refusal_of(request.headers, connection.local_address[1])
            if refusal is not None:
                return connection.respond(HTTPStatus.FORBIDDEN, refusal)
            return None if process_request is None else process_request(connection, request)

        return serve(handler, host, port, process_request=asked, **rest)

    module.serve = with_guard
    try:
        yield guarded
    finally:
        module.serve = serve


def refusal_of(headers: Any, port: int) -> str | None:
    """Why a request is not answered; None for one of the server's own pages, or of a program that is no browser."""
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    if headers.get("host") not in hosts:
        return "expected 127.0.0.1 or localhost as the host"
    origin = headers.get("origin")
    if origin is not None and origin.removeprefix("http://") not in hosts:
        return "expected a request of the live view's own page"
    return None
