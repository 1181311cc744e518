"""The log of a game of the lab, small and exact: the settings, the moves, and the changes of settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from zerosum.errors import UserError, nearest
from zerosum.lab.settings import LabSettings, parse

KINDS = ("step", "discriminator", "generator")
"""A move: one whole step of the game, or a move of one player alone."""
MOST_MOVES = 10_000_000


class GameLog:
    """Settings at step 0, moves by run length, changes by step. Every move counts as one step.

    A change at step s applies to every move after the first s; of two changes of one setting at one step the later counts.
    """

    def __init__(self, settings: LabSettings) -> None:
        self.start, self.length = settings, 0
        self._runs: list[tuple[str, int]] = []
        self._changes: dict[tuple[int, str], Any] = {}

    def add(self, kind: str, count: int = 1) -> None:
        """Appends moves of one kind."""
        before = self._runs.pop()[1] if self._runs and self._runs[-1][0] == kind else 0
        self._runs.append((kind, before + count))
        self.length += count

    def change(self, step: int, name: str, value: Any) -> None:
        """Records that a setting was changed after `step` moves."""
        self._changes[step, name] = value

    def truncate(self, step: int) -> None:
        """Drops everything after the first `step` moves."""
        if step == self.length:
            return
        runs, self._runs, self.length = self._runs, [], 0
        for kind, count in runs:
            if self.length < step:
                self.add(kind, min(count, step - self.length))
        self._changes = {key: value for key, value in self._changes.items() if key[0] <= step}

    def moves(self, start: int, stop: int) -> Iterator[str]:
        """The kinds of moves start .. stop-1."""
        first = 0
        for kind, count in self._runs:
            yield from itertools.repeat(kind, max(0, min(stop, first + count) - max(start, first)))
            first += count

    def changes_at(self, step: int) -> dict[str, Any]:
        """The changes made after exactly `step` moves."""
        return {name: value for (when, name), value in self._changes.items() if when == step}

    def settings_at(self, step: int) -> LabSettings:
        """The settings for the move after the first `step`."""
        settings = self.start
        for (when, name), value in sorted(self._changes.items()):
            settings = settings.changed(name, value) if when <= step else settings
        return settings

    def unchanged_since(self, step: int) -> int:
        """The step since which the settings have been those at `step`."""
        return max((when for when, _ in self._changes if when <= step), default=0)

    def to_json(self) -> dict[str, Any]:
        """Plain values, the inverse of `read_log`."""
        from zerosum import __version__

        changes = [
            {"step": step, "name": name, "value": value} for (step, name), value in sorted(self._changes.items())
        ]
        moves = [[kind, count] for kind, count in self._runs]
        return {"zerosum": __version__, "settings": self.start.model_dump(), "moves": moves, "changes": changes}


def read_log(plain: Any) -> GameLog:
    """A log from plain values; UserError names the part that is not valid."""
    if not isinstance(plain, Mapping) or not isinstance(plain.get("settings"), Mapping):
        raise UserError('A log is a JSON object with "settings", "moves" and "changes", as the lab saves it.')
    log = GameLog(parse(plain["settings"]))
    for move in _checked_list(plain, "moves"):
        if not isinstance(move, list) or len(move) != 2 or type(move[1]) is not int or move[1] < 1:
            raise UserError(f'moves: {move!r} is not a move; a move is ["step", 12]: a kind and a number.')
        if move[0] not in KINDS:
            raise UserError(f"moves: there is no kind {move[0]!r}. {nearest(str(move[0]), KINDS)}")
        log.add(*move)
        if log.length > MOST_MOVES:
            raise UserError(f"moves: the log has more than {MOST_MOVES:,} of them.")
    for change in _checked_list(plain, "changes"):
        if not isinstance(change, Mapping) or not {"step", "name", "value"} <= change.keys():
            raise UserError(
                f'changes: {change!r} is not a change; a change is {{"step": 10, "name": "lr_g", "value": 0.001}}.'
            )
        if type(change["step"]) is not int or not 0 <= change["step"] <= log.length:
            raise UserError(f"changes: step = {change['step']!r} is not within the log's {log.length:,} moves.")
        log.change(change["step"], str(change["name"]), change["value"])
    log.settings_at(log.length)  # raises when a change is not possible
    return log


def _checked_list(plain: Mapping[str, Any], name: str) -> list[Any]:
    value = plain.get(name, [])
    if not isinstance(value, list):
        raise UserError(f"{name} of a log is a list, got {type(value).__name__}.")
    return value
