"""JSON from files that may be anything: what is read, what is refused, and what a line of a log is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from zerosum import jsonfile
from zerosum.errors import Damaged, UserError
from zerosum.jsonfile import is_log_line, made_of, parse_json, read_log, read_object


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_depth_is_bounded_whatever_the_interpreter_could_do() -> None:
    assert json.dumps(parse_json(nested(jsonfile.MOST_DEPTH), "it")) == nested(jsonfile.MOST_DEPTH)
    for levels in (jsonfile.MOST_DEPTH + 2, 900, 100_000):
        with pytest.raises(Damaged, match="it is nested more than 100 levels deep"):
            parse_json(nested(levels), "it")
    with pytest.raises(Damaged, match="nested more"):
        parse_json('{"a":' * 100_000, "it")
    flat = [{"a": [1, 2]}] * 500  # many brackets, and few levels
    assert parse_json(json.dumps(flat).encode(), "it") == flat


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9" * 301, "a whole number of 301 digits"),
        ("9" * 5000, "a whole number of 5,000 digits"),
        ('{"a": "\\uD800"}', "half a character"),
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(Damaged, match=message):
        parse_json(text, "it")
    with pytest.raises(Damaged, match=message):
        parse_json(text.encode(), "it")


def test_what_is_read_as_it_is() -> None:
    assert parse_json(b"\xef\xbb\xbf[1, 1e400, null]", "it") == [1, float("inf"), None]
    assert parse_json("9" * 300, "it") == int("9" * 300)
    assert parse_json('"\\ud83d\\ude00"', "it") == "\N{GRINNING FACE}"


def test_files_have_a_size_and_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1]", encoding="utf-8")
    with pytest.raises(Damaged, match=r"a\.json holds no JSON object"):
        read_object(path)
    monkeypatch.setattr(jsonfile, "MOST_BYTES", 5)
    path.write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(Damaged, match="at most 5 are read"):
        parse_json(path.read_bytes(), path)
    with pytest.raises(Damaged, match="more than 5 bytes"):
        jsonfile.read_bytes(path, 5)
    os.mkfifo(tmp_path / "pipe")
    for odd in (Path("/dev/zero"), tmp_path, tmp_path / "pipe"):
        with pytest.raises(Damaged, match="is no file"):
            read_object(odd)


WHOLE = {"step": 3, "kind": "train", "samples": 48, "seconds": 0.5, "values": {"loss": 1.0, "lost": None}}


def test_lines_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    text = json.dumps(WHOLE)
    lines = [text, "", text[:20], "[" * 10_000, "\xff", json.dumps(WHOLE | {"step": 4})]
    path.write_bytes("\n".join(lines).encode("latin-1"))
    found = list(read_log(path))
    assert [number for number, _ in found] == [1, 3, 4, 5, 6]
    assert [line and line["step"] for _, line in found] == [3, None, None, None, 4]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"step": value} for value in ("x", None, 1.5, True, -1, 2**53)),
        *({"kind": value} for value in (None, 1)),
        *({"values": value} for value in (None, [], {"loss": "x"}, {"loss": []}, {"loss": True})),
        *({"seconds": "x"}, {"samples": None}, {"records": {}}, {"records": [1]}, {"records": [{"name": 1}]}),
        {"kind": "evaluation"},
    ],
)
def test_what_is_no_line_of_a_log(wrong: dict[str, Any]) -> None:
    assert is_log_line(WHOLE)
    assert not is_log_line(WHOLE | wrong)


def test_values_that_do_not_belong_there() -> None:
    with (
        pytest.raises(UserError, match=r"run\.json holds a value that does not belong there \(TypeError: .*Restore it"),
        made_of("run.json"),
    ):
        len(3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^mine$"), made_of("run.json"):
        raise UserError("mine")
    with pytest.raises(RuntimeError, match="allocate memory"), made_of("run.json"):
        raise RuntimeError("can't allocate memory")


def test_numbers_of_a_run_are_finite(tmp_path: Path) -> None:
    about = {"format": 1, "source": {"payload": {"level": [0.5, float("nan")]}}}
    (tmp_path / "run.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(UserError, match=r"run\.json: source\.payload\.level\.1 is wrong: give a number that is finite"):
        jsonfile.RunFiles.open(tmp_path)
