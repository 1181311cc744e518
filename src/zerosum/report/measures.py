"""The metrics of a run: five numbers at the top of the page, then every metric, grouped by the question it answers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from zerosum.formatting import format_count, format_duration, format_number, format_with_error, interval
from zerosum.report.markup import pairs, text
from zerosum.report.questions import IN_WORDS, MeasureRow, Question, answers, base_of, headlines, name_of, newest
from zerosum.report.read import Json, RunContents, as_dict, number

BETTER = {"lower": "lower is better", "higher": "higher is better"}
NUM_TILES = 5


def tiles(folder: RunContents) -> str:
    """Five numbers: one for each question that the run can answer, then facts about the training."""
    measured = {question.key: f"measures-{question.key}" for question, _ in answers(newest(folder))}
    best_records = headlines(folder)[:NUM_TILES]
    question_tiles = [
        _answer(question, record, measured.get(question.key, "health")) for question, record in best_records
    ]
    shown = [*question_tiles, *(_tile(*fact) for fact in _facts(folder))][:NUM_TILES]
    return f'<dl class="tiles first">{"".join(shown)}</dl>' if shown else ""


def facts(folder: RunContents) -> str:
    """Time, steps, samples and sizes, folded; the summary line shows the first three."""
    known = list(_facts(folder))
    summary = ", ".join(f"{label.lower()} {value}" for label, value, _ in known[:3])
    body = "".join(_tile(*fact) for fact in known)
    line = f"<summary>Training: {text(summary)}</summary>"
    return f'<details class="more">{line}<dl class="tiles">{body}</dl></details>' if known else ""


def _tile(label: str, value: str, extra: str) -> str:
    return f'<div class="tile"><dt>{text(label)}</dt><dd>{text(value)}<small>{text(extra)}</small></dd></div>'


def _answer(question: Question, record: Json, place: str) -> str:
    value = number(record.get("value"))
    shown = "cannot judge" if _doubt(record) else format_number(value, 3) if value is not None else "not finite"
    floor = reference_of(record.get("reference"))
    kind = str(record.get("label") or IN_WORDS.get(base_of(record)) or name_of(record)[0] + _size(record))
    comparison = f"reference {floor}" if floor else _better(record)
    return (
        f'<div class="tile" title="{text(record.get("meaning", ""))}"><dt><a href="#{place}">'
        f"{text(question.words)}</a></dt><dd>{text(shown)}<small>{text(kind)}</small><small>{text(comparison)}</small></dd></div>"
    )


def _size(record: Json) -> str:
    """ ", n=179" of a name that contains it."""
    match = re.search(r"[\[,](n=\d+)[\],]", str(record.get("name")))
    return f", {match[1]}" if match else ""


def _facts(folder: RunContents) -> Iterator[tuple[str, str, str]]:
    """(label, value, explanation) of time, steps, samples seen, speed, and number of parameters."""
    status, run = folder.status, folder.run
    step, steps = number(status.get("step")), number(status.get("steps"))
    samples, seconds = number(status.get("samples")), number(status.get("seconds"))
    if seconds is not None:
        where = f"{run.get('device', 'unknown device')}, {run.get('precision', '')}".rstrip(", ")
        yield "Time", format_duration(seconds, exact=True), f"on {where}"
    if step is not None:
        yield "Steps", format_number(step), f"of {format_number(steps)}" if steps else ""
    if samples is not None:
        rows = number(as_dict(run.get("source")).get("num_rows"))
        yield (
            "Samples seen",
            format_number(samples),
            f"{format_number(samples / rows, 3)} passes over the data" if rows else "",
        )
    if samples and seconds:
        yield "Samples / s", format_number(round(samples / seconds)), "mean of the whole run"
    for player, count in as_dict(run.get("num_parameters")).items():
        if number(count) is not None:
            yield player.capitalize(), format_number(count), "parameters"


def _better(record: Json) -> str:
    better = str(record.get("better") or "")
    return BETTER.get(better, better)


def reference_of(value: object) -> str:
    """A reference as text: a number, a {"value", "label"} object or words."""
    if isinstance(value, dict):
        kept = number(value.get("value"))
        return " ".join(
            part for part in (format_number(kept) if kept is not None else "", str(value.get("label", ""))) if part
        )
    kept = number(value)
    return format_number(kept) if kept is not None else str(value or "")


def metrics_section(folder: RunContents, charts: Mapping[str, str]) -> str:
    """The newest evaluation, grouped by question; each value can be opened to show its protocol. charts: the charts of
    the metrics over time, by the key of their question."""
    groups = answers(newest(folder))
    if not groups:
        return '<p class="empty">No metrics were computed yet: <code>zerosum evaluate</code> does it.</p>'
    return (
        f'<p class="lead">Measured at step {format_number(folder.last("evaluation")["step"])}. ± is one standard error; '
        "the protocol says what it covers. The reference is the value of held-out real data "
        "under the same protocol; none: it cannot be computed for real data, or too few are held out. "
        "From few rows it is imprecise, and a metric with a trained model favours its training data, so a good generator can "
        "be better than the reference. Below it are controls: the same metric of samples that should score badly.</p>"
        + "".join(_group(question, lines, charts.get(question.key, "")) for question, lines in groups)
    )


def _group(question: Question, lines: Sequence[MeasureRow], charts: str) -> str:
    record = lines[0].record
    value, floor = number(record.get("value")), reference_of(record.get("reference"))
    shown_value = "cannot judge" if _doubt(record) else format_number(value, 3) if value is not None else "not finite"
    summary = f"{name_of(record)[0]} {shown_value}"
    summary += f", reference {floor}" if floor else ""
    count = format_count(len(lines), "measure")
    return (
        f'<details class="question" id="measures-{question.key}"><summary><h3>{text(question.words)}</h3> '
        f'<span>{text(summary)} · {count}</span></summary>{charts}<table class="metrics"><thead><tr><th scope="col">Measure</th>'
        '<th scope="col">Value</th><th scope="col">Reference</th><th scope="col">What it means</th></tr></thead>'
        f"<tbody>{''.join(map(_row, lines))}</tbody></table></details>"
    )


def _row(line: MeasureRow) -> str:
    record = line.record
    kind, tag = name_of(record)
    others = "".join(
        f"<li><b>{text(' '.join(name_of(one)))}</b> {_value(one)}; reference {text(_reference(one))}. "
        f"{text(one.get('meaning', ''))}{_protocol(one)}</li>"
        for one in line.others
    )
    more = f'<details><summary>Also measured</summary><ul class="also">{others}</ul></details>' if others else ""
    return (
        f'<tr><th scope="row">{text(kind)}<small>{text(tag)}</small></th><td data-label="Value">{_value(record)}</td>'
        f'<td data-label="Reference">{text(_reference(record))}{_controls(record)}</td>'
        f"<td>{text(record.get('meaning', ''))}{more}{_protocol(record)}</td></tr>"
    )


def _reference(record: Json) -> str:
    return reference_of(record.get("reference")) or "none"


def _value(record: Json) -> str:
    """The value with its error, its 95 % interval and which way is better."""
    value, error, kind = number(record.get("value")), number(record.get("error")), name_of(record)[0]
    shown = format_with_error(value, error) if value is not None else "not finite"
    around = f"<small>95 %: {_interval(kind, value, error)}</small>" if value is not None and error else ""
    if _doubt(record):
        return f"<b>cannot judge</b><small>{text(shown)}</small>"
    return f"<b>{text(shown)}</b>{around}<small>{text(_better(record))}</small>"


def _doubt(record: Json) -> str:
    """The reason why the metric cannot judge; "" when it can."""
    return str(as_dict(record.get("protocol")).get("cannot_judge") or "")


def _controls(record: Json) -> str:
    """Values of control samples, such as noise or copies, which show what the metric detects."""
    controls = as_dict(as_dict(record.get("protocol")).get("controls"))
    return "".join(
        f"<small>{text(name)}: {format_number(value, 3)}</small>"
        for name, one in controls.items()
        if (value := number(one)) is not None
    )


def _protocol(record: Json) -> str:
    protocol = pairs(as_dict(record.get("protocol")))
    return f"<details><summary>Protocol</summary>{protocol}</details>" if protocol else ""


def _interval(kind: str, value: float, error: float) -> str:
    """Two standard errors on both sides, rounded to the significant digits of the error."""
    digits = max(0, 1 - math.floor(math.log10(2 * error)))
    low, high = interval(kind, value, 2 * error)
    return f"{low:.{digits}f} to {high:.{digits}f}"
