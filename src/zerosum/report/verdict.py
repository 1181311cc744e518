"""The state of a run in one sentence, and its health findings with evidence and advice."""

from __future__ import annotations

from typing import NamedTuple

from zerosum.formatting import format_count, format_number
from zerosum.report.markup import LEVELS, badge, text
from zerosum.report.read import Json, RunContents, as_dict, as_list, number


class Verdict(NamedTuple):
    """The state of a run: level (alarm, warning, ok or none), a headline and a sentence."""

    level: str
    headline: str
    sentence: str


def verdict_of(folder: RunContents) -> Verdict:
    """The state of the run by its newest health findings, the most serious first."""
    state, message = str(folder.status.get("state", "")), str(folder.status.get("message") or "")
    if state == "failed":
        return Verdict("alarm", "The run failed", message or "No reason was recorded.")
    findings = findings_of(folder)
    serious = [one for one in findings if one.get("level") in ("alarm", "warning")]
    if not findings:
        headline = "No health checks yet" if state == "running" else "No health checks"
        return Verdict("none", headline, message or "Look at the samples and curves.")
    if all(one.get("level") == "none" for one in findings):
        return Verdict("none", str(findings[0].get("title", "")), str(findings[0].get("sentence", "")))
    if not serious:
        return Verdict("ok", "Healthy", str(findings[0].get("sentence", "")))
    more = f" and {format_count(len(serious) - 1, 'more finding')}" if len(serious) > 1 else ""
    headline = f"{serious[0].get('title', 'Unnamed check')}{more}"
    passed = len(findings) - len(serious)
    tail = f" {passed} of {len(findings)} checks passed." if passed else ""
    return Verdict(str(serious[0]["level"]), headline, f"{serious[0].get('sentence', '')}{tail}")


def findings_of(folder: RunContents) -> list[Json]:
    """The newest health findings and those of the newest evaluation, alarms first, then warnings."""
    looked, measured = folder.last("health"), folder.last("evaluation")
    found = [as_dict(one) for one in as_list(looked.get("findings"))]
    if (number(measured.get("step")) or 0) >= (number(looked.get("step")) or 0):
        titles = {one.get("title") for one in found}
        more = [one for one in map(as_dict, as_list(measured.get("findings"))) if one.get("title") not in titles]
        found = [*more, *(one for one in found if not more or one.get("level") in ("alarm", "warning"))]
    rank = {level: index for index, level in enumerate(LEVELS)}
    return sorted(found, key=lambda one: rank.get(str(one.get("level")), len(rank)))


def health_section(folder: RunContents) -> str:
    """The findings as cards, then earlier findings that no longer hold."""
    findings = findings_of(folder)
    if not findings:
        return '<p class="empty">No health checks were recorded.</p>' + _not_finite(folder)
    step = format_number(number(folder.last("health").get("step")) or 0)
    cards = "".join(map(_card, findings))
    return f'<p class="lead">Findings at step {step}.</p><ul class="cards">{cards}</ul>{_not_finite(folder)}{_earlier(folder)}'


def _not_finite(folder: RunContents) -> str:
    """The consequences of numbers that were not finite: skipped updates and rollbacks."""
    left_out = number(folder.status.get("skipped_updates"))
    if not left_out:
        return _rollbacks(folder)
    updates = format_count(int(left_out), "update")
    return f"<p><b>{updates} skipped</b>, because a loss or gradient was not finite.</p>{_rollbacks(folder)}"


def _rollbacks(folder: RunContents) -> str:
    """The rollbacks to a checkpoint, each with its reason and the learning rates after it."""
    events = [as_dict(one) for one in as_list(folder.last("rollback").get("rollbacks"))]
    if not events:
        return ""
    lines = "".join(
        f"<li>At step {format_number(number(one.get('failed_step')) or 0)}: {text(one.get('reason', ''))}. Went back to step "
        f"{format_number(number(one.get('to_step')) or 0)}; learning rates times "
        f"{format_number(number(one.get('rate')) or 0)} from there.</li>"
        for one in events
    )
    times = "once" if len(events) == 1 else f"{len(events)} times"
    return f"<h3>Went back {times}</h3><ul>{lines}</ul>"


def _card(one: Json) -> str:
    level = str(one.get("level", ""))
    known = level if level in LEVELS else "none"
    parts = [f'<li class="card level-{known}"><h3>{text(one.get("title", ""))} {badge(level)}</h3>']
    parts.append(f"<p>{text(one.get('sentence', ''))}</p>")
    for key, label in (("evidence", "Evidence"), ("advice", "Advice")):
        if one.get(key):
            parts.append(f'<p class="small"><b>{label}</b> {text(one[key])}</p>')
    return "".join(parts) + "</li>"


def _earlier(folder: RunContents) -> str:
    """One line for each kind of earlier finding, with its steps."""
    found: dict[tuple[str, str], list[Json]] = {}
    for row in folder.rows.get("health", [])[:-1]:
        for one in map(as_dict, as_list(row.get("findings"))):
            if one.get("level") in ("alarm", "warning"):
                key = (str(one["level"]), str(one.get("title")))
                found.setdefault(key, []).append({**one, "step": int(row["step"])})
    if not found:
        return ""
    lines = "".join(f"<li>{_past(level, title, ones)}</li>" for (level, title), ones in found.items())
    return f"<details><summary>Found earlier in the run ({len(found)})</summary><ul>{lines}</ul></details>"


def _past(level: str, title: str, ones: list[Json]) -> str:
    steps = format_number(ones[0]["step"])
    if len(ones) > 1:
        steps = f"{steps} to {format_number(ones[-1]['step'])}, {len(ones)} times"
    return f"<b>{text(title)}</b> {badge(level)} at step {steps}: {text(ones[-1].get('sentence', ''))}"
