"""The thread of the game: it runs commands, trains, measures and makes frames."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from zerosum.errors import UserError, nearest
from zerosum.lab.frame import Screen
from zerosum.lab.lab_game import LabGame
from zerosum.lab.recordings import Recorder
from zerosum.lab.settings import CHANGEABLE, LabSettings, parse

T = TypeVar("T")
FRAME_S = 1 / 30
SLICE_S = 0.1
"""Longest time between frames while the game runs, in seconds, at any speed."""
MEASURE_S = 1.0
MAX_SPEED = 200
ACTIONS = ("play", "pause", "step", "discriminator", "generator", "turn", "rewind", "speed")


class LatestValue:
    """The newest frame as text, with its number, for all waiting pages; a slow page skips frames."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number, self._text, self._closed = 0, "", False
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def put(self, text: str) -> None:
        """Replaces the text; may be called from any thread."""
        with self._lock:
            self._number, self._text = self._number + 1, text
            self._wake()

    def close(self) -> None:
        """Ends all waiting; no text follows."""
        with self._lock:
            self._closed = True
            self._wake()

    @property
    def closed(self) -> bool:
        """Whether no text follows."""
        return self._closed

    def _wake(self) -> None:
        for loop, event in self._waiting:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(event.set)

    async def newer(self, seen: int, timeout_s: float) -> tuple[int, str] | None:
        """The newest (number, text), as soon as its number is above `seen`; None after the time limit."""
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


class Worker:
    """Runs a LabGame in a thread. All methods except `ask`, `start` and `stop` run in that thread; other threads call them with
    `ask`."""

    def __init__(self, settings: LabSettings) -> None:
        self.slot = LatestValue()
        self.recorder = Recorder()
        self.playing, self.speed = False, 1
        self._commands: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue()
        self._goal: int | None = None
        self._changed, self._closing = True, False
        self._due = self._measured_at = 0.0  # time of the next frame; start of the last measurement
        self._measuring: Future[Any] | None = None
        self._measured_step: tuple[int, int] | None = None
        self._side = ThreadPoolExecutor(1, "lab-measure", initializer=torch.set_num_threads, initargs=(1,))
        self._set_game(LabGame(settings))
        self._thread = threading.Thread(target=self._run, name="lab", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and all waiting for frames."""
        self._closing = True
        self.ask(lambda: None)
        self._thread.join(timeout=10)
        self._side.shutdown(wait=False, cancel_futures=True)
        self.slot.close()

    def ask(self, action: Callable[[], T]) -> Future[T]:
        """Schedules an action in the worker's thread, between two moves; returns a Future of its result."""
        future: Future[T] = Future()
        self._commands.put((action, future))
        return future

    # --- commands

    def new(self, plain: Mapping[str, Any]) -> LabSettings:
        """Starts a new game at step 0, paused."""
        settings = parse(plain)
        self._set_game(LabGame(settings))
        return settings

    def do(self, plain: Mapping[str, Any]) -> None:
        """Runs one of the ACTIONS."""
        action = plain.get("action")
        if action not in ACTIONS:
            raise UserError(f"action: there is no action {action!r}. {nearest(str(action), ACTIONS)}")
        self._changed = True
        if action == "speed":
            self.speed = _checked_int("speed", plain.get("speed"), 1, MAX_SPEED)
            return
        goal = _checked_int("to", plain.get("to"), 0, self.lab.last) if action == "rewind" else None
        self.playing, self._goal = action == "play", goal
        if action in ("step", "discriminator", "generator", "turn"):
            self.lab.move(self.lab.next_turn() if action == "turn" else action)

    def change(self, plain: Mapping[str, Any]) -> None:
        """Sets new values of lr_g, lr_d, k or weight, all of them or none."""
        if not plain:
            raise UserError(f"There is nothing to change. Give any of {', '.join(CHANGEABLE)}.")
        settings = self.lab.settings
        for name, value in plain.items():
            settings = settings.changed(name, value)
        for name in plain:
            self.lab.change(name, getattr(settings, name))
        self._changed = True

    def replay(self, plain: Any) -> None:
        """Loads a saved game and plays it to its end, with frames on the way."""
        lab = LabGame.of(plain)
        self._set_game(lab)
        self._goal = lab.last

    def record(self, on: bool) -> None:
        """Starts a new recording, or ends it and keeps the frames."""
        self._changed = True
        if on:
            self.recorder.begin()
        self.recorder.on = on

    def _set_game(self, lab: LabGame) -> None:
        self.lab, self.screen = lab, Screen(lab)
        self.playing, self._goal, self._changed = False, None, True
        self._measured_step = None

    # --- the thread

    def _run(self) -> None:
        torch.set_num_threads(1)
        while not self._closing:
            self._run_command()
            try:
                self._play()
                self._update()
            except Exception as error:  # the page shows the error and the thread goes on
                self.playing, self._goal = False, None
                self.lab.error = f"{type(error).__name__}: {error}. The game is paused; rewind, or start a new one."

    def _run_command(self) -> None:
        """Runs the next command; waits for one until the next frame is due."""
        busy = self.playing or self._goal is not None or self._changed
        wait = max(0.0, self._due - time.monotonic()) if busy else 0.25
        try:
            action, future = self._commands.get(timeout=wait) if wait else self._commands.get_nowait()
        except queue.Empty:
            return
        if not future.set_running_or_notify_cancel():  # it was cancelled
            return
        try:
            future.set_result(action())
        except Exception as error:
            future.set_exception(error)

    def _play(self) -> None:
        """Moves for one frame, for at most SLICE_S: `speed` steps, or towards the goal of a rewind."""
        end = time.monotonic() + SLICE_S
        if time.monotonic() < self._due:
            return
        if self._goal is not None:
            self._go(end)
        for _ in range(self.speed if self.playing else 0):
            self.playing = self.lab.move() and self.playing
            self._changed = True
            if not self.playing or time.monotonic() > end:
                return

    def _go(self, end: float) -> None:
        """Moves towards the goal: back to the nearest snapshot, then forwards, with frames on the way."""
        assert self._goal is not None
        if self._goal < self.lab.step:
            self.lab.rewind(min(self._goal, self.lab.snapshots.before(self._goal) + 1))
        while self.lab.step < self._goal and not self.lab.error and time.monotonic() < end:
            self.lab.rewind(self.lab.step + 1)
        self._changed = True
        if self.lab.error or self.lab.step == self._goal:
            self._goal = None

    def _update(self) -> None:
        """Makes a frame when something has changed, and starts a measurement when one is due."""
        now = time.monotonic()
        if self._changed and now >= self._due:
            # Counted from the due time, so that moves between frames do not lower the rate.
            self._due, self._changed = max(self._due + FRAME_S, now), False
            frame = self.screen.frame(playing=self.playing, speed=self.speed, recording=self.recorder.on)
            self.slot.put(json.dumps(frame, allow_nan=False, separators=(",", ":")))
            if self.recorder.on:
                self.recorder.add(frame)
        place = (self.lab.timeline, self.lab.step)
        idle = self._measuring is None or self._measuring.done()
        interval_over = now >= self._measured_at + MEASURE_S or not self.playing
        if (
            self.screen.measure is not None
            and idle
            and interval_over
            and place != self._measured_step
            and self._goal is None
        ):
            self._measured_at, self._measured_step = now, place
            self._measuring = self._side.submit(self._measure, self.screen, self.screen.networks(), place)

    def _measure(self, screen: Screen, networks: Any, place: tuple[int, int]) -> None:
        """Runs in the side thread; the result returns as a command."""
        assert screen.measure is not None
        values = screen.measure(networks)

        def record_values() -> None:
            if screen is self.screen and place[0] == self.lab.timeline:
                screen.add_measurements(place[1], values)
                self._changed = True

        self.ask(record_values)


def _checked_int(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name} = {value!r}: give a whole number from {low} to {high}.")
    return value
