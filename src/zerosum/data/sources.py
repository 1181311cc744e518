"""Descriptions of named sources, and the folders of downloaded data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerosum.data.opening import expand_path


@dataclass(frozen=True)
class RemoteFile:
    """One published file: name, mirrors in the order they are tried, SHA-256, and a bound on its size in bytes."""

    name: str
    urls: tuple[str, ...]
    sha256: str
    size_limit: int


@dataclass(frozen=True)
class SourceInfo:
    """A named source, as `zerosum sources NAME` shows it; empty fields are not shown.

    num_train, num_heldout: rows as published; 0 where the source makes any number. class_names: in the order of the labels.
    files: what is downloaded. folders: sub-folders of the data root where the files are searched; none for bundled data.
    details: further facts of the domain, as plain values, such as the number of columns of a table.
    """

    summary: str
    origin: str = ""
    licence: str = ""
    num_train: int = 0
    num_heldout: int = 0
    class_names: tuple[str, ...] = ()
    files: tuple[RemoteFile, ...] = ()
    folders: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def searched_folders(self, data_root: str | None = None) -> tuple[Path, ...]:
        """Every folder in which the files are searched, in order."""
        return tuple(root / folder for root in data_roots(data_root) for folder in self.folders)


def data_roots(data_root: str | None = None) -> tuple[Path, ...]:
    """The folders of downloaded data: the given one, else $ZEROSUM_DATA; then ~/.cache/zerosum."""
    given = data_root or os.environ.get("ZEROSUM_DATA")
    cache = expand_path("~/.cache/zerosum")
    return (expand_path(given), cache) if given else (cache,)
