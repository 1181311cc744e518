"""The newest frame, handed from the thread that makes frames to all pages that wait for one."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class LatestValue:
    """Holds one text and its number; a newer text takes its place, so a slow page skips frames and never lags."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number, self._text, self._closed = 0, "", False
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def put(self, text: str) -> None:
        """Replaces the text; from any thread."""
        with self._lock:
            self._number, self._text = self._number + 1, text
            self._wake()

    def close(self) -> None:
        """Tells all who wait that nothing more will come."""
        with self._lock:
            self._closed = True
            self._wake()

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def _wake(self) -> None:
        for loop, event in self._waiting:
            with contextlib.suppress(RuntimeError):  # a loop that has ended has nobody left to wake
                loop.call_soon_threadsafe(event.set)

    async def newer(self, seen: int, timeout_s: float) -> tuple[int, str] | None:
        """The newest (number, text), as soon as its number is above `seen`; None when that takes too long."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._number > seen or self._closed:
                return (self._number, self._text) if self._number > seen else None
            self._waiting.add(entry)
        try:
            await asyncio.wait_for(entry[1].wait(), timeout_s)
        except TimeoutError:
            return None
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return (self._number, self._text) if self._number > seen else None
