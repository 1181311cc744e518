"""Ctrl-C and SIGTERM: heard between steps, at once elsewhere, twice within a moment only once, and never by another thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from small_process import PATIENCE_S
from zerosum.training import signals
from zerosum.training.signals import Stopped, StopRequest


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that a test sets."""
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.mark.parametrize("number", signals.WATCHED)
def test_a_step_comes_to_its_end(number: int) -> None:
    with StopRequest() as stop, stop.waiting():
        assert stop.number == 0
        signal.raise_signal(number)
        assert stop.number == number


@pytest.mark.parametrize("number", signals.WATCHED)
def test_anything_else_ends_at_once(number: int) -> None:
    with StopRequest() as stop:
        with pytest.raises(Stopped) as error:
            signal.raise_signal(number)
        assert (error.value.number, stop.number) == (number, number)


def test_a_second_signal_ends_a_step_unless_it_is_the_same_one(clock: SimpleNamespace) -> None:
    """A terminal and a launcher may both send the first one."""
    with StopRequest() as stop, stop.waiting():
        signal.raise_signal(signal.SIGINT)
        clock.now += signals.TWICE_S / 2
        signal.raise_signal(signal.SIGINT)
        clock.now += signals.TWICE_S
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGINT)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in signals.WATCHED]
    with StopRequest():
        assert [signal.getsignal(number) for number in signals.WATCHED] != before
    assert [signal.getsignal(number) for number in signals.WATCHED] == before


def test_another_thread_hears_nothing() -> None:
    before, found = signal.getsignal(signal.SIGINT), []

    def enter() -> None:
        with StopRequest() as stop, stop.waiting():
            found.append((stop.number, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [(0, before)]


def test_stopped_is_no_error_that_somebody_catches() -> None:
    assert not issubclass(Stopped, Exception)
    assert [str(Stopped(number)) for number in signals.WATCHED] == ["Ctrl-C", "SIGTERM"]
    assert [signals.status(number) for number in signals.WATCHED] == [130, 143]


ORPHAN = """
import os, signal, sys, time
from zerosum.training import signals
signals.end_with_parent()
assert signals.LIFELINE not in os.environ  # its own children must not take it for theirs
with signals.StopRequest() as stop, stop.waiting():
    print("ready", flush=True)
    while not stop.number:
        time.sleep(0.01)
print(signals.name(stop.number))
"""


def test_a_process_asks_itself_to_stop_when_its_launcher_is_gone() -> None:
    theirs, ours = os.pipe()
    environ = os.environ | {signals.LIFELINE: str(theirs)}
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHAN], pass_fds=(theirs,), env=environ, stdout=subprocess.PIPE, text=True
    )
    os.close(theirs)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert process.poll() is None
    os.close(ours)
    try:
        assert process.communicate(timeout=PATIENCE_S)[0] == "SIGTERM\n"
    finally:
        process.kill()


def test_a_process_that_nobody_launched_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signals.LIFELINE, raising=False)
    before = threading.active_count()
    signals.end_with_parent()
    assert threading.active_count() == before
