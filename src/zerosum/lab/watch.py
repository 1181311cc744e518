"""A run in progress on the lab's server: the report page, written again when the files of the run folder change."""

from __future__ import annotations

import asyncio
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerosum.errors import UserError
from zerosum.report.page import compose
from zerosum.report.read import read_run

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

FILES = ("run.json", "status.json", "recipe.json", "baselines.json", "metrics.jsonl")


def page(folder: Path) -> str:
    """The current page of a run folder; UserError if it is not one."""
    script = files("zerosum.lab").joinpath("static", "watch.js").read_text(encoding="utf-8")
    return compose(folder, script)


def version(folder: Path) -> dict[str, str]:
    """Two hashes of the folder: "pictures" of the previews and baselines, "log" of everything that the page shows."""
    seen = {name: _stamp(folder / name) for name in FILES}
    previews = sorted((path.name, _stamp(path)) for path in (folder / "previews").glob("[!.]*"))
    return {"pictures": _digest([previews, seen["baselines.json"]]), "log": _digest([previews, *seen.items()])}


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_mtime_ns, found.st_size


def _digest(content: list[Any]) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


class RunRoutes:
    """The routes of one run folder."""

    def __init__(self, folder: Path) -> None:
        read_run(folder)  # UserError at once, not in the browser
        self.folder = folder

    async def page(self, request: Request) -> Response:
        """The current report."""
        from starlette.responses import HTMLResponse, PlainTextResponse

        try:
            text = await asyncio.to_thread(page, self.folder)
        except UserError as error:
            return PlainTextResponse(str(error), 404)
        # The page has its own policy in its head, with the hashes of its style and script.
        return HTMLResponse(text, headers={"content-security-policy": "frame-ancestors 'none'"})

    async def version(self, request: Request) -> Response:
        """The hashes with which the page checks whether it is out of date."""
        from starlette.responses import JSONResponse

        return JSONResponse(await asyncio.to_thread(version, self.folder))

    async def first(self, request: Request) -> Response:
        """Redirects the start page to the run."""
        from starlette.responses import RedirectResponse

        return RedirectResponse("/watch", 303)


def watch_routes(folder: Path) -> list[Any]:
    """The routes of a run folder; "/" redirects to the run."""
    from starlette.routing import Route

    routes = RunRoutes(folder)
    return [Route("/", routes.first), Route("/watch", routes.page), Route("/api/version", routes.version)]
