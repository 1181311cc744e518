"""Requests that no page sends: odd tokens, deep JSON, long names, other scopes, requests that stay half. None is an error of the
server's, and none uses up the address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from visitor import Visitor, running

from zerosum.lab import server
from zerosum.lab.guard import Guard
from zerosum.lab.server import Served, serving
from zerosum.lab.settings import parse
from zerosum.lab.worker import Worker

SMALL = {"source": "mixture", "g_width": 8, "d_width": 8, "batch": 16}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(server, "WAIT_S", 0.4)
    with serving(Worker(parse(SMALL))) as made, running(made):
        yield made


@pytest.fixture
def browser(served: Served) -> Visitor:
    return Visitor(served)


def test_odd_tokens_and_cookies_are_refused_before_anything_else(browser: Visitor) -> None:
    for path in ("/?token=%C3%A9", "/?token=%ED%A0%80", "/?token=%FF", "/?token=" + "a" * 3000):
        assert browser.ask("GET", path)[0] == 403
    for cookie in (f"zerosum_lab_{browser.port}=\xe9", "a b=c; =;;", "\xff"):
        assert browser.ask("GET", "/", cookie=cookie)[0] == 403
    browser.enter()


def test_only_a_get_uses_up_the_address(browser: Visitor) -> None:
    path = browser.address.split(browser.host)[1]
    assert browser.ask("POST", path, b"", origin="http://evil.example")[0] == 403
    assert browser.ask("POST", path, b"", origin=f"http://{browser.host}")[0] == 403
    assert browser.ask("HEAD", path)[0] == 403
    browser.enter()


def test_deep_json_and_long_names_are_answered(browser: Visitor) -> None:
    browser.enter()
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"1" * 5000, b'{"action": "\\ud800"}'):
        status, answer = browser.post("/api/do", body)
        assert status == 400
        assert answer["error"].startswith("The message ")
    for name in ("a" * 5000 + ".js", "x/" * 50, "%2e%2e%2fserver.py", "lab.html%00.js"):
        assert browser.ask("GET", f"/static/{name}")[0] == 404
    assert browser.ask("GET", "/static/lab.js")[0] == 200


def closed(port: int, sent: bytes) -> tuple[float, bytes]:
    """Seconds until the server closes a connection on which this was sent, and what it said."""
    begun, received = time.monotonic(), b""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as made:
        made.sendall(sent)
        while part := made.recv(4096):
            received += part
    return time.monotonic() - begun, received


def test_requests_that_stay_half_are_given_up(
    browser: Visitor, served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    for half in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a"):
        waited, received = closed(browser.port, half)
        assert waited > 0.3  # and the connection itself has a time limit
        assert received == b""
    browser.enter()
    head = "\r\n".join(
        [
            "POST /api/do HTTP/1.1",
            f"Host: {browser.host}",
            f"Origin: http://{browser.host}",
            f"Cookie: {browser.headers['Cookie']}",
            "Content-Length: 50",
            "\r\n",
        ]
    ).encode()
    with contextlib.closing(socket.create_connection(("127.0.0.1", browser.port), timeout=60)) as made:
        made.sendall(head + b'{"acti')
        assert made.recv(4096).startswith(b"HTTP/1.1 400")
    with contextlib.closing(socket.create_connection(("127.0.0.1", browser.port), timeout=60)) as made:
        made.sendall(head + b'{"acti')
    time.sleep(0.3)
    browser.do("step")
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "other"])
def test_no_other_scope_passes_unchecked(kind: str) -> None:
    reached: list[str] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    asyncio.run(Guard(app, 80)({"type": kind, "headers": [], "path": "/", "query_string": b""}, receive, send))
    assert reached == []
    assert json.dumps(sent) == ('[{"type": "websocket.close", "code": 1008}]' if kind == "websocket" else "[]")
