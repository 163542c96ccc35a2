"""What stands before the app: only requests of its own pages, of bounded size, and pages that ask nobody else.

A page of a stranger's can make a browser send requests to 127.0.0.1, under a name of its own (DNS rebinding) or across
origins. Both are refused by what the browser says of itself.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Gradio's page has scripts and styles in itself; a frame shows a run's report.
_PAGE = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; connect-src 'self' data: blob:; "
    "frame-src 'self'; frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'"
)
_UPLOADED = "default-src 'none'; style-src 'unsafe-inline'; sandbox"  # an SVG, say: nothing in it does anything
_REPORT = (
    "default-src data: blob: 'unsafe-inline' 'wasm-unsafe-eval'; connect-src data: blob:; "
    "sandbox allow-scripts allow-downloads"
)


class TooLarge(Exception):
    """A request's body is larger than allowed."""


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: App, *, port: int, most_bytes: int) -> None:
        self.app, self.most_bytes = app, most_bytes
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal is not None:
            await _refuse(scope["type"], send, *refusal)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.most_bytes:
                raise TooLarge
            return message

        async def held_to_itself(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *(pair for pair in message.get("headers", []) if pair[0].lower() != b"content-security-policy"),
                    (b"content-security-policy", _policy(scope["path"]).encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        try:
            await self.app(scope, bounded, held_to_itself)
        except TooLarge:
            await _refuse(scope["type"], send, 413, "too large")

    def _refusal(self, headers: dict[str, str]) -> tuple[int, str] | None:
        if headers.get("host") not in self.hosts:
            return 403, "expected 127.0.0.1 or localhost as the host"
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self.hosts:
            return 403, "expected a request of the app's own page"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.most_bytes:
            return 413, f"too large: expected at most {self.most_bytes // 2**20} MB"
        return None


def _policy(path: str) -> str:
    if path.startswith("/runs/"):
        return _REPORT
    if path.startswith("/gradio_api/file="):
        return _UPLOADED
    return _PAGE


async def _refuse(kind: str, send: Send, status: int, reason: str) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": reason.encode()})
