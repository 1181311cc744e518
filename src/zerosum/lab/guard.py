"""Access to the lab's server: only its own pages, opened with the one-time address on this machine."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """ASGI middleware. The token is exchanged for a cookie once; requests without the cookie are refused.

    Other host names are refused, because a foreign name could resolve to this address (DNS rebinding), and so are POST
    requests of other origins.
    """

    def __init__(self, app: App, port: int) -> None:
        self.app, self.port = app, port
        self.token: str | None = secrets.token_urlsafe(24)
        self._key = secrets.token_urlsafe(24)
        self._cookie = f"zerosum_lab_{port}"  # cookies of one host are shared by its ports
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    @property
    def address(self) -> str:
        """The address to open in a browser; it works once."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    async def __call__(
        self, scope: Scope, receive: Callable[..., Awaitable[Any]], send: Callable[..., Awaitable[None]]
    ) -> None:
        """One request."""
        if scope["type"] != "http":  # the lab uses HTTP only; other protocols are refused
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if headers.get("host") not in self._hosts:
            await _respond(
                send, 400, f"This server is available only as 127.0.0.1:{self.port} and localhost:{self.port}."
            )
        elif (scope["method"], scope["path"]) == ("GET", "/") and self._is_valid_token(query.pop("token", None)):
            await self._set_cookie(send, query)
        elif not self._has_valid_cookie(headers.get("cookie", "")):
            await _respond(
                send,
                403,
                "This page needs the address that `zerosum lab` printed, which can be opened once. "
                "To open the lab in another browser, stop it (Ctrl-C) and start it again.",
            )
        elif scope["method"] not in ("GET", "HEAD") and not self._is_own_origin(headers.get("origin")):
            await _respond(send, 403, "Only pages of this server may send commands to it.")
        else:
            await self.app(scope, receive, _with_headers(send))

    def _is_valid_token(self, token: str | None) -> bool:
        return token is not None and self.token is not None and _equal(token, self.token)

    def _has_valid_cookie(self, cookies: str) -> bool:
        try:
            found = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return False
        return found is not None and _equal(found.value, self._key)

    def _is_own_origin(self, origin: str | None) -> bool:
        return origin in {f"http://{host}" for host in self._hosts}

    async def _set_cookie(self, send: Callable[..., Awaitable[None]], query: dict[str, str]) -> None:
        self.token = None
        place = "/" + (f"?{urlencode(query)}" if query else "")
        cookie = f"{self._cookie}={self._key}; HttpOnly; SameSite=Strict; Path=/"
        await _respond(send, 303, "", ((b"location", place.encode()), (b"set-cookie", cookie.encode())))


def _equal(given: str, wanted: str) -> bool:
    """Compares in constant time; `given` may hold any characters."""
    return secrets.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _with_headers(send: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Adds those of HEADERS that a response does not set."""

    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *((n, v) for n, v in HEADERS if n not in present)]
        await send(message)

    return with_headers


async def _respond(
    send: Callable[..., Awaitable[None]], status: int, text: str, more: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *more, *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
