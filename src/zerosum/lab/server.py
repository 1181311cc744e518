"""The web server of the lab: the routes of its protocol over one worker, on the loopback address only."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerosum.errors import Damaged, UserError
from zerosum.jsonfile import parse_json
from zerosum.lab import recordings
from zerosum.lab.explanations import STAGES
from zerosum.lab.guard import Guard
from zerosum.lab.settings import choices, defaults, limits, sources
from zerosum.lab.watch import watch_routes
from zerosum.lab.worker import Worker

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST_BYTES = 4_000_000
KEEPALIVE_S, POLL_S = 10.0, 0.5
"""Seconds after which a stream without frames sends a comment, and between checks whether the server ends."""
WAIT_S = 10.0
"""Time limit for the line and headers of a request, and for its body."""
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def need_extra() -> None:
    """UserError when the packages of the server are missing."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise UserError("The lab needs a web server. Install it with: pip install 'zerosum[lab]'.") from None


def all_choices() -> dict[str, Any]:
    """All settings that can be chosen, for the page."""
    from zerosum.engine import penalties

    weights = {name: maker().weight for name, maker in penalties.table(any_game=True).items()}

    def listed(field: str) -> list[dict[str, Any]]:
        return [{"name": name, "summary": summary} for name, summary in choices(field).items()]

    return {
        "sources": [{"name": name, "summary": words, "num_dims": dims} for name, (words, dims) in sources().items()],
        "losses": listed("loss"),
        "penalties": [row | {"weight": weights.get(row["name"], 1.0)} for row in listed("penalty")],
        "optimizers": listed("optimizer"),
        "activations": listed("activation"),
        "defaults": defaults().model_dump(),
        "dirac_defaults": defaults("dirac").model_dump(),
        "limits": limits(),
        "stages": {
            player: [{"title": title, "text": text} for title, text in rows.items()] for player, rows in STAGES.items()
        },
    }


def asset(name: str) -> tuple[bytes, str] | None:
    """A file of lab/static and its type; None when there is no such file."""
    place = next((file for file in files("zerosum.lab").joinpath("static").iterdir() if file.name == name), None)
    kind = KINDS.get(Path(name).suffix)
    if kind is None or place is None or not place.is_file():
        return None
    return place.read_bytes(), kind


class Routes:
    """The routes of the protocol. Commands run in the worker and are awaited."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.closing: Callable[[], bool] = lambda: False

    async def page(self, request: Request) -> Response:
        """The lab's page."""
        return self._asset("lab.html")

    async def static(self, request: Request) -> Response:
        """A file of the page."""
        return self._asset(request.path_params["name"])

    def _asset(self, name: str) -> Response:
        from starlette.responses import Response

        found = asset(name)
        if found is None:
            return Response(f"There is no {name}.", 404, media_type="text/plain")
        return Response(found[0], media_type=found[1])

    async def choices(self, request: Request) -> Response:
        """The choices for a new game."""
        return _json(all_choices())

    async def new(self, request: Request) -> Response:
        """Starts a new game."""
        return await self._command(request, self.worker.new, lambda made: {"settings": made.model_dump()})

    async def do(self, request: Request) -> Response:
        """Runs an action."""
        return await self._command(request, self.worker.do)

    async def change(self, request: Request) -> Response:
        """Changes settings of the running game."""
        return await self._command(request, self.worker.change)

    async def replay(self, request: Request) -> Response:
        """Plays a saved game."""
        return await self._command(request, self.worker.replay)

    async def record(self, request: Request) -> Response:
        """Starts or ends a recording."""
        return await self._command(request, lambda plain: self.worker.record(plain.get("on") is True))

    async def recording(self, request: Request) -> Response:
        """The recording as a page (.html) or an animation (.gif)."""
        from starlette.responses import Response

        try:
            frames, points = await self._ask(
                lambda: (self.worker.recorder.recorded(), self.worker.screen.history.points())
            )
        except UserError as error:
            return _json({"error": str(error)}, 400)
        kind = request.path_params["kind"]
        if kind == "gif":
            made: bytes = await asyncio.to_thread(recordings.animation, frames)
            return Response(made, media_type="image/gif", headers=_saved_as("gif"))
        if kind != "html":
            return _json({"error": f"A recording is available as html or gif, not as {kind!r}."}, 404)
        text = await asyncio.to_thread(recordings.page, all_choices(), frames, points)
        return Response(text, media_type="text/html", headers=_saved_as("html"))

    async def history(self, request: Request) -> Response:
        """The numbers of all steps up to the furthest played."""
        return _json({"points": await self._ask(lambda: self.worker.screen.history.points())})

    async def log(self, request: Request) -> Response:
        """The log of the game, to be saved and replayed."""
        return _json(await self._ask(lambda: self.worker.lab.log.to_json()))

    async def events(self, request: Request) -> Response:
        """A stream of frames; a slow client gets only the newest."""
        from starlette.responses import StreamingResponse

        return StreamingResponse(self._frames(), media_type="text/event-stream")

    async def _frames(self) -> AsyncIterator[str]:
        seen, silent_s = 0, 0.0
        while not self.closing():
            newest = await self.worker.slot.newer(seen, POLL_S)
            silent_s = 0.0 if newest else silent_s + POLL_S
            if newest:
                seen, text = newest
                yield f"event: frame\ndata: {text}\n\n"
            elif silent_s >= KEEPALIVE_S:
                silent_s = 0.0
                yield ": keepalive\n\n"

    async def _ask(self, action: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self.worker.ask(action))

    async def _command(
        self, request: Request, command: Callable[[Any], Any], answer: Callable[[Any], dict[str, Any]] = lambda _: {}
    ) -> Response:
        from starlette.requests import ClientDisconnect

        try:
            plain = await _body(request)
            made = await self._ask(lambda: command(plain))
        except (UserError, ClientDisconnect) as error:  # a disconnected client receives no response
            return _json({"error": str(error)}, 400)
        return _json({"ok": True, **answer(made)})


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; UserError when it is not one, is too long, or is not complete within WAIT_S."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(WAIT_S):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise UserError(f"The message is longer than {MOST_BYTES:,} bytes.")
    except TimeoutError:
        raise UserError(f"The message was not complete after {WAIT_S:g} s.") from None
    try:
        plain = parse_json(b"".join(parts) or b"{}", "The message")
    except Damaged as error:
        raise UserError(f"{error}.") from None
    if not isinstance(plain, dict):
        raise UserError(f"The message is {type(plain).__name__}, not a JSON object.")
    return plain


def _saved_as(kind: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="zerosum-lab.{kind}"'}


def _json(content: Any, status: int = 200) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(content, status)


def lab_routes(routes: Routes) -> list[Any]:
    """The routes of a lab."""
    from starlette.routing import Route

    posts = ("new", "do", "change", "replay", "record")
    gets = ("choices", "history", "log", "events")
    return [
        Route("/", routes.page),
        Route("/lab", routes.page),
        Route("/static/{name}", routes.static),
        Route("/api/recording.{kind}", routes.recording),
        *(Route(f"/api/{name}", getattr(routes, name), methods=["POST"]) for name in posts),
        *(Route(f"/api/{name}", getattr(routes, name)) for name in gets),
    ]


def open_socket(port: int) -> socket.socket:
    """A socket on the loopback address; port 0 takes any free one. UserError when the port is taken."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
        made.listen(128)  # a browser may connect before the server is ready
    except OSError as error:
        made.close()
        raise UserError(f"Port {port} cannot be used: {error.strerror}. Omit --port to use any free one.") from None
    return made


def _protocol_with_time_limit() -> Any:
    """uvicorn's protocol with a time limit: a connection is closed when no answer has started WAIT_S after it was opened or after
    its last answer."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Timed(H11Protocol):  # uvicorn itself has no limit for the headers of a request
        late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._rest()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                self._rest()
            elif self.late is None:
                self.late = self.loop.call_later(WAIT_S, self._drop)

        def _rest(self) -> None:
            if self.late is not None:
                self.late.cancel()
            self.late = None

        def _drop(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Timed


class Served:
    """Routes on a socket of the loopback address, behind a Guard."""

    def __init__(self, routes: list[Any], port: int = 0) -> None:
        import uvicorn
        from starlette.applications import Starlette

        self._socket = open_socket(port)
        self.guard = Guard(Starlette(routes=routes), self._socket.getsockname()[1])
        config = uvicorn.Config(
            self.guard,
            http=_protocol_with_time_limit(),
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        self.server = uvicorn.Server(config)

    def ending(self) -> bool:
        """Whether the server is about to stop."""
        return self.server.should_exit

    def run(self, opened: Callable[[str], None]) -> None:
        """Serves until a signal, or until `stop`. opened: called with the address when pages can be fetched."""
        opened(self.guard.address)
        self.server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Asks the server to end; may be called from any thread."""
        self.server.should_exit = True


@contextlib.contextmanager
def serving(worker: Worker, port: int = 0, folder: Path | None = None) -> Iterator[Served]:
    """A lab on its socket with a running worker; with a run folder, the start page is the page of the run. Stops the worker on
    exit."""
    routes = Routes(worker)
    watched = watch_routes(folder) if folder is not None else []
    served = Served([*watched, *lab_routes(routes)], port)
    routes.closing = served.ending
    worker.start()
    try:
        yield served
    finally:
        worker.stop()
