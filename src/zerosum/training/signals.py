"""Ctrl-C and SIGTERM: while steps are played they ask for a stop, at any other time they end what is going on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType

WATCHED = (signal.SIGINT, signal.SIGTERM)
TWICE_S = 1.0
"""A second Ctrl-C sooner than this is the same one: a launcher passes on what the terminal has sent already."""

LIFELINE = "ZEROSUM_LIFELINE"
"""The variable that holds the number of an open pipe; when it ends, the launcher has."""
NICE = 19
"""The lowest priority, of a process that evaluates beside a training."""
PATIENCE_S = 60.0
"""How long a process may take to save and end once its launcher is dead."""


class Stopped(BaseException):
    """A signal ended what was going on. No Exception, so that nothing on the way mistakes it for an error."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(name(number))


def name(number: int) -> str:
    """The words for a signal."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def status(number: int) -> int:
    """The exit status of a program that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


class StopRequest:
    """Listens while entered. `number` is the signal that came, 0 for none.

    Inside `waiting()` the first signal only sets `number`, for the caller to look at; a later one raises Stopped.
    Outside it every signal raises Stopped. Entered elsewhere than in the main thread it hears nothing.
    """

    def __init__(self) -> None:
        self.number = 0
        self._waits = False
        self._asked_at = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        with contextlib.suppress(ValueError):  # not the main thread: nobody can send it a signal
            for number in WATCHED:
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Lets the step that is being played come to its end."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number and now - self._asked_at < TWICE_S:
            return
        again, self.number, self._asked_at = bool(self.number), number, now
        if again or not self._waits:
            raise Stopped(number)


def end_on_signal() -> None:
    """For a program's first line: from now on Ctrl-C and SIGTERM raise Stopped."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    for number in WATCHED:
        signal.signal(number, end)


def end_with_parent() -> None:
    """In a process that was launched: when the launcher dies, asks for a stop as SIGTERM does, so that the training saves; after
    PATIENCE_S ends it."""
    number = os.environ.pop(LIFELINE, None)
    if number is None:
        return

    def watch(lifeline: int) -> None:
        os.read(lifeline, 1)  # returns when the launcher closes its end, or dies; never by a byte
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE_S)
        os._exit(status(signal.SIGTERM))

    threading.Thread(target=watch, args=(int(number),), daemon=True).start()
