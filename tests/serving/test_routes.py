"""What the server answers at all."""

import asyncio
import json

import pytest

from pointrend_ext.serving.routes import OnlyThePage


def ask(
    path, method="GET", body=b"", host="localhost:7860", hosts=frozenset({"localhost"}), **more
):
    """Ask an application that answers with what it was asked; return status, headers and body."""
    sent = []

    async def app(scope, receive, send):
        message = await receive() if scope["method"] == "POST" else {}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message.get("body", b"")})

    parts = [body[:10], body[10:]]

    async def receive():
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method}
    more = [(key.encode(), value.encode()) for key, value in more.items()]
    scope["headers"] = [(b"host", host.encode()), *more]
    asyncio.run(OnlyThePage(app, hosts)(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/theme.css",
        "/assets/index-a_b.js",
        "/static/fonts/x/Y-Z.woff2",
        "/gradio_api/upload",
        "/gradio_api/queue/data",
        "/gradio_api/heartbeat/abc123",
    ],
)
def test_the_page_gets_what_it_needs_from_here_alone(path):
    status, headers, _ = ask(path)
    assert status == 200
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/file=https://example.org/",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/static/../../etc/passwd",
        "/assets/..%2f..%2fetc/passwd",
        "/static//etc/passwd/..",
        "/gradio_api/proxy=https://example.org",
        "/gradio_api/call/predict",
        "/gradio_api/run/predict",
        "/gradio_api/api/predict",
        "/gradio_api/deep_link",
        "/gradio_api/runs",
        "/gradio_api/mcp",
        "/monitoring",
        "/docs",
        "/openapi.json",
        "/login",
        "",
    ],
)
def test_there_is_nothing_else(path):
    assert ask(path)[0] == 404
    assert ask(path, "POST")[0] == 404


def test_names_of_this_machine():
    assert ask("/", host="evil.example:7860")[0] == 403
    assert ask("/", host="")[0] == 403
    assert ask("/", host="LOCALHOST")[0] == 200
    assert ask("/", host="evil.example", hosts=None)[0] == 200


def test_pages_of_other_machines_ask_for_nothing():
    """A browser sends what a form of any page holds; its pictures would fill the disk."""
    for origin in ("https://evil.example", "http://evil.example:7860", "null"):
        assert ask("/gradio_api/upload", "POST", origin=origin)[0] == 403
        assert ask("/gradio_api/upload", "POST", origin=origin, hosts=None)[0] == 200
    for origin in ("http://localhost:7860", "https://LOCALHOST"):
        assert ask("/gradio_api/upload", "POST", origin=origin)[0] == 200


def join(value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return ask("/gradio_api/queue/join", "POST", body)


def test_a_request_is_handed_on_whole():
    value = {"data": [{"path": "/uploads/a.png"}, None, 0.5], "fn_index": 1}
    assert join(value)[::2] == (200, json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        {"data": [{"path": "https://example.org/a.png"}]},
        {"data": [[{"x": {"path": "HTTP://127.0.0.1/"}}]]},
        {"data": [{"path": ["http://example.org"]}]},
        b'{"data": [{"path": "http:\\u002f/example.org"}]}',
        b"no json",
        b"[" * 100_000,
        {"data": ["x" * 2**20]},
    ],
)
def test_nothing_is_fetched_for_a_user(value):
    assert join(value)[0] == 403
