"""What of a gradio server the page needs; all the rest of it answers that there is nothing.

gradio serves files that were uploaded or allowed, fetches addresses for a client, and has pages of
its own for programs. The page uses none of these: pictures go to the browser inside of answers.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_OWN = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static|svelte)/[\w@./-]+"
    r"|/gradio_api/(startup-events|info/?|app_id/?|upload|upload_progress|cancel|reset/?"
    r"|heartbeat/\w+|queue/(join|data))"
)
_JOIN = "/gradio_api/queue/join"
_MOST_BYTES = 2**20  # of a request that joins the queue; pictures are uploaded before
# A browser itself refuses to ask any other machine for anything.
_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    b"form-action 'self'; frame-ancestors 'self'; base-uri 'self'"
)


class OnlyThePage:
    """An ASGI middleware."""

    def __init__(self, app: Any, hosts: frozenset[str] | None = None) -> None:
        """Wrap an application.

        Args:
            app: of gradio.
            hosts: names by which a browser may call this machine, so that no other page can be
                made to look like one of it, or ask it for anything; None for all.
        """
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if scope["type"] != "http" or not _OWN.fullmatch(path) or ".." in path:
            await _refuse(send, 404, "There is nothing here.")
            return
        if self.hosts is not None and not _names(scope) <= self.hosts:
            await _refuse(send, 403, "This page is for this machine alone.")
            return
        if path == _JOIN:
            body = await _body(receive)
            if body is None or _names_address(body):
                await _refuse(send, 403, "This is nothing that the page asks for.")
                return
            receive = _again(body, receive)

        async def send_with_policy(message: _Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", _POLICY)]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_with_policy)


def _names(scope: _Message) -> set[str]:
    """Return the names of the machine that is asked, and of that whose page asks."""
    headers = {b"host": b"", **dict(scope["headers"])}
    values = (headers[key].decode("latin-1") for key in (b"host", b"origin") if key in headers)
    return {re.sub(r"^https?://|:\d+$", "", value).lower() for value in values}


async def _body(receive: _Receive) -> bytes | None:
    """Read a request; None for one that is too large or was given up."""
    body = b""
    while len(body) <= _MOST_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body if len(body) <= _MOST_BYTES else None


def _again(body: bytes, receive: _Receive) -> _Receive:
    """Return a function that hands out a request that was read, and then what comes after it."""
    left = [body]

    async def once() -> _Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return once


def _names_address(body: bytes) -> bool:
    """Tell whether gradio would fetch something for it: a file whose path is an address."""
    try:
        left = [json.loads(body)]
    except (ValueError, RecursionError):
        return True
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "://" in str(value.get("path", "")):
                return True
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False


async def _refuse(send: _Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
