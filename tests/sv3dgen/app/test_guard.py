"""What stands before the app."""

import asyncio

import pytest

from sv3dgen.app.guard import Guard


async def plain(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


def asked(path="/", bodies=(b"",), **headers):
    """Status and headers of what comes back."""
    sent = []
    messages = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    messages[-1]["more_body"] = False

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    given = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "path": path, "headers": pairs}
    asyncio.run(Guard(plain, port=7860, most_bytes=100)(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:7860"}, 200),
        ({"origin": "http://127.0.0.1:7860"}, 200),
        ({"host": "evil.example:7860"}, 403),
        ({"host": "127.0.0.1:7861"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content_length": "101"}, 413),
        ({"content_length": "-1"}, 413),
    ],
)
def test_only_its_own_pages_are_answered(headers, status):
    assert asked(**headers)[0] == status


def test_a_body_that_does_not_say_its_length_is_bounded():
    assert asked(bodies=[b"x" * 60] * 2)[0] == 413


def test_pages_are_held_to_themselves():
    assert "connect-src 'self'" in asked("/")[1]["content-security-policy"]
    assert "sandbox" in asked("/runs/a/b/report.html")[1]["content-security-policy"]
    assert asked("/gradio_api/file=/x.svg")[1]["content-security-policy"].startswith("default-src 'none'")
