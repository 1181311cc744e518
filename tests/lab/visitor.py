"""A client of the lab's server over real sockets, and a server that runs beside the test."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from zerosum.lab.server import Served


class Visitor:
    """A client that keeps its cookie, as a page of the server would."""

    def __init__(self, served: Served) -> None:
        self.port = served.guard.port
        self.host = f"127.0.0.1:{self.port}"
        self.address = served.guard.address
        self.headers: dict[str, str] = {}

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Host": self.host, **self.headers, **{name.title(): value for name, value in headers.items()}}
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            for name, value in (sent | {"Content-Length": str(len(data))}).items():
                connection.putheader(name, value)
            connection.endheaders(data)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def enter(self) -> None:
        """Opens the one-time address and keeps the cookie."""
        status, headers, _ = self.ask("GET", self.address.split(self.host)[1] + "&source=ring")
        assert (status, headers["location"]) == (303, "/?source=ring")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        self.headers["Cookie"] = cookie.split(";")[0]

    def get(self, path: str) -> Any:
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        status, _, answer = self.ask("POST", path, body, origin=f"http://{self.host}")
        return status, json.loads(answer)

    def do(self, action: str, **more: Any) -> None:
        assert self.post("/api/do", {"action": action, **more}) == (200, {"ok": True})

    @contextlib.contextmanager
    def frames(self) -> Iterator[Iterator[dict[str, Any]]]:
        """The frames of /api/events as they come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/api/events", headers={"Host": self.host, **self.headers})
            answer = connection.getresponse()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield (json.loads(line[5:]) for line in answer if line.startswith(b"data:"))

    def until(self, wanted: Any) -> dict[str, Any]:
        """The first frame of which `wanted` is true."""
        end = time.monotonic() + 30
        with self.frames() as frames:
            for frame in frames:
                if wanted(frame):
                    return frame
                assert time.monotonic() < end, frame
        raise AssertionError("the stream ended")


@contextlib.contextmanager
def running(served: Served) -> Iterator[Served]:
    thread = threading.Thread(target=served.run, args=(lambda address: None,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.stop()
        thread.join(timeout=10)
        assert not thread.is_alive()
