"""Options of `zerosum sample` that a domain declares; the command line makes flags and help of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from zerosum.data.images.pictures import Size


class WithOptions(Protocol):
    """A SampleRequest, WriteOptions or PreviewContext: what holds values of a domain's own options by name."""

    @property
    def options(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class SampleRequest:
    """What `zerosum sample` was asked for. num: None for the domain's own number. options: values of the domain's own options by
    name, those that were given."""

    num: int | None
    seed: int
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleOption:
    """One option.

    name: in `SampleRequest.options`; the flag is --name, with "-" for "_". kind: "text"; "flag", which takes no value; "number",
    in [least, most]; "paths", files or folders, which may be repeated. help: one line, without the name of the domain. default:
    the value without the flag. metavar: what the help shows for the value. writing: whether it says how samples are written, so
    that it goes with the options of every domain (--label, --truncation ...) too.
    """

    name: str
    kind: Literal["text", "flag", "number", "paths"]
    help: str
    default: Any = None
    metavar: str = ""
    least: float | None = None
    most: float | None = None
    writing: bool = False

    @property
    def flag(self) -> str:
        """As it is typed."""
        return flag_of(self.name)

    def value(self, given: WithOptions) -> Any:
        """Its value, or the default where it is not given."""
        return given.options.get(self.name, self.default)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the flag: what the command line needs."""
        return asdict(self) | {"flag": self.flag}


def flag_of(name: str) -> str:
    """The flag of an option."""
    return f"--{name.replace('_', '-')}"


SIZE = SampleOption(
    "size",
    "text",
    "size of the written images, N pixels along the longer side or height and width.",
    metavar="N|HEIGHTxWIDTH",
    writing=True,
)
"""Of domains whose samples are pictures."""


def picture_size(given: WithOptions) -> Size | None:
    """The value of SIZE, None where it is not given; UserError where it is no size."""
    text = SIZE.value(given)
    return None if text is None else Size.parsed(text)
