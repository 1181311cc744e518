"""The stages of an evaluation: each is announced when it begins, and none begins once the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Watch:
    """One evaluation as it goes. say: is told of each stage. budget_s: after so many seconds no stage begins; None: all do.
    left_out: the stages that did not begin for lack of time. once_s: seconds of the stages that are done once for the same
    data and then kept, which the budget does not count."""

    say: Callable[[str], None]
    budget_s: float | None = None
    begun: float = field(default_factory=lambda: time.monotonic())
    once_s: float = 0.0
    _once_since: float | None = None
    left_out: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.begun

    def turn(self, once: bool) -> None:
        """The stage before ends, one begins."""
        now = time.monotonic()
        if self._once_since is not None:
            self.once_s += now - self._once_since
        self._once_since = now if once else None


_WATCH: ContextVar[Watch | None] = ContextVar("evaluation", default=None)


@contextmanager
def watched(say: Callable[[str], None], budget_s: float | None = None) -> Iterator[Watch]:
    """Announces the stages of the evaluations within, and bounds their time."""
    watch = Watch(say, budget_s)
    token = _WATCH.set(watch)
    try:
        yield watch
    finally:
        _WATCH.reset(token)


def stage(name: str, needed: bool = False, once: bool = False) -> bool:
    """To be asked before a part of an evaluation: whether it is to be done. needed: it is done however late it is.
    once: it is done once for the same data, and its result is kept.

    Without `watched` every part is done and nothing is said.
    """
    watch = _WATCH.get()
    if watch is None:
        return True
    watch.turn(once)
    if not needed and watch.budget_s is not None and watch.seconds - watch.once_s > watch.budget_s:
        watch.left_out.append(name)
        return False
    watch.say(name)
    return True
