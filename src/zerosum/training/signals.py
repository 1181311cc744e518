"""Ctrl-C and SIGTERM: during the training steps they request a stop, at any other time they end the current work."""

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
"""A second signal within this time counts as the same one: the terminal and the launcher may both send it."""

LIFELINE = "ZEROSUM_LIFELINE"
"""The environment variable with the file descriptor of a pipe that closes when the launcher ends."""
NICE = 19
"""The lowest priority, for a process that evaluates during a training."""
PATIENCE_S = 60.0
"""How long a process may take to save and end after its launcher has ended."""


class Stopped(BaseException):
    """A signal ended the current work. Not an Exception, so that no handler of errors catches it."""

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
    """A context in which signals are handled. `number` is the signal that was received, 0 for none.

    Inside `waiting()` the first signal only sets `number`, which the caller checks; a later one raises Stopped.
    Outside it every signal raises Stopped. Outside the main thread no signals are handled.
    """

    def __init__(self) -> None:
        self.number = 0
        self._waiting = False
        self._requested_at = 0.0
        self._previous_handlers: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        with contextlib.suppress(ValueError):  # not the main thread: it receives no signals
            for number in WATCHED:
                self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous_handlers = {}

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Lets the current training step finish after a signal."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number and now - self._requested_at < TWICE_S:
            return
        again, self.number, self._requested_at = bool(self.number), number, now
        if again or not self._waiting:
            raise Stopped(number)


def end_on_signal() -> None:
    """From now on Ctrl-C and SIGTERM raise Stopped; for the start of a program."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    for number in WATCHED:
        signal.signal(number, end)


def end_with_parent() -> None:
    """In a launched process: when the launcher ends, requests a stop as SIGTERM does, so that the training saves; ends the
    process after PATIENCE_S."""
    number = os.environ.pop(LIFELINE, None)
    if number is None:
        return

    def watch(lifeline: int) -> None:
        os.read(lifeline, 1)  # returns when the launcher closes the pipe or ends; nothing is ever written
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE_S)
        os._exit(status(signal.SIGTERM))

    threading.Thread(target=watch, args=(int(number),), daemon=True).start()
