"""Constraints in words: "total = net + tax + shipping", "ordered <= shipped", "unit_cents = 100 * unit_price"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zerosum.domains.tables import linear
from zerosum.domains.tables.columns import NUMERIC, Column
from zerosum.domains.tables.linear import SECONDS, Linear, Rule, scale_of, unit_of
from zerosum.domains.tables.table import Table
from zerosum.errors import UserError, nearest

SIGN = re.compile(r"<=|>=|==|=|<|>")
NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
Statement = tuple[Linear, tuple[str, ...]]
"""What must hold, and the columns that it can be solved for, best first."""
EXAMPLE = """--set 'data.constraints=["total = net + tax", "ordered <= shipped"]'"""


@dataclass
class Side:
    """A sum: coefficients of columns, and a constant."""

    coefficients: dict[str, float]
    constant: float = 0.0

    @property
    def lone(self) -> str | None:
        """The column that it is, if it is nothing but a column."""
        (name, *others) = self.coefficients or [None]
        return name if not others and not self.constant and name and self.coefficients[name] == 1 else None


def stated(texts: Sequence[str], table: Table) -> list[Statement]:
    """Each constraint with the columns that it can be solved for, best first. UserError when one cannot be read, names a column
    that is none, or does not hold in every row of the table."""
    values = linear.numbers_in(table.columns, table.arrays)
    found = []
    for text in texts:
        statement, targets = _statement(str(text), table.columns)
        _must_hold(statement, table, values)
        found.append((statement, targets))
    return found


def _statement(text: str, columns: Sequence[Column]) -> Statement:
    signs = SIGN.findall(_without_quoted(text))
    if len(signs) != 1:
        raise UserError(
            f"data.constraints: {text!r} has {len(signs) or 'no'} of the signs = < <= > >=; it needs one: {EXAMPLE}."
        )
    left, right = (_side(part, text, columns) for part in _cut(text, signs[0]))
    sign = signs[0].replace("==", "=")
    if sign[0] == ">":
        left, right, sign = right, left, sign.replace(">", "<")
    names = dict.fromkeys([*left.coefficients, *right.coefficients])
    both = {name: left.coefficients.get(name, 0.0) - right.coefficients.get(name, 0.0) for name in names}
    both = {name: coefficient for name, coefficient in both.items() if coefficient}
    if not both:
        raise UserError(f"data.constraints: {text!r} says nothing of any column.")
    lone = [left.lone, right.lone] if sign == "=" else [right.lone, left.lone]
    known = {column.name: column for column in columns}
    targets = [name for name in dict.fromkeys([*filter(None, lone), *both]) if known[name].kind in NUMERIC]
    if not targets:
        raise UserError(f"data.constraints: {text!r}: none of {', '.join(both)} is learnt as a number or date.")
    bare = Linear(_in_one_unit(both, known, text), left.constant - right.constant, sign, " ".join(text.split()))
    return replace(bare, tolerance=tolerance(bare, targets[0], known)), tuple(targets)


def tolerance(statement: Linear, target: str, columns: Mapping[str, Column]) -> float:
    """By how much the sum may miss 0: half the last decimal of the target where the others do not add up to whole ones."""
    scale, own = scale_of(columns[target]), abs(statement.coefficients[target])
    if not scale:
        return 0.0
    scales = [scale_of(columns[name]) for name in statement.sources(target)]
    steps = [
        abs(statement.coefficients[name]) / own * scale / held if held else 0.5
        for name, held in zip(statement.sources(target), scales)
    ]
    steps.append(abs(statement.constant) / own * scale)
    whole = all(abs(step - round(step)) < 1e-6 for step in steps)
    return (0.01 if whole else 0.5 + 1e-6) * own / scale


def _in_one_unit(coefficients: Mapping[str, float], columns: Mapping[str, Column], text: str) -> dict[str, float]:
    """Dates of several units are counted in the smallest of them."""
    units = {name: unit_of(columns[name]) for name in coefficients if unit_of(columns[name])}
    if len(set(units.values())) < 2:
        return dict(coefficients)
    if not set(units.values()) <= set(SECONDS):
        raise UserError(f"data.constraints: {text!r} compares months with days or times, which have no common unit.")
    least = min(SECONDS[unit] for unit in units.values())
    return {
        name: value * (SECONDS[units[name]] / least if name in units else 1.0) for name, value in coefficients.items()
    }


# --- reading


def _without_quoted(text: str) -> str:
    return re.sub(r'"[^"]*"', lambda match: "_" * len(match.group()), text)


def _cut(text: str, sign: str) -> tuple[str, str]:
    at = _without_quoted(text).index(sign)
    return text[:at], text[at + len(sign) :]


def _side(text: str, whole: str, columns: Sequence[Column]) -> Side:
    side, rest, sign = Side({}), text.strip(), 1.0
    if rest[:1] in ("+", "-"):
        sign, rest = (-1.0 if rest[0] == "-" else 1.0), rest[1:]
    while True:
        factor, name, rest = _term(rest.strip(), whole, columns)
        if name is None:
            side.constant += sign * factor
        else:
            side.coefficients[name] = side.coefficients.get(name, 0.0) + sign * factor
        rest = rest.strip()
        if not rest:
            return side
        if rest[0] not in "+-":
            raise UserError(f"data.constraints: {whole!r}: + or - is missing before {rest!r}. {_names(columns)}")
        sign, rest = (-1.0 if rest[0] == "-" else 1.0), rest[1:]


def _term(text: str, whole: str, columns: Sequence[Column]) -> tuple[float, str | None, str]:
    """Factor and column (None: a number alone) at the beginning of a text, and what comes behind."""
    factor, name, first = 1.0, None, True
    divided = False
    while first or text[:1] in ("*", "/"):
        if not first:
            divided, text = text[0] == "/", text[1:].strip()
        first = False
        number, found, text = _factor(text, whole, columns)
        if found is not None and (name is not None or divided):
            raise UserError(
                f"data.constraints: {whole!r} is not linear: columns are multiplied with or divided by numbers only."
            )
        name = found or name
        if divided and not number:
            raise UserError(f"data.constraints: {whole!r} divides by zero.")
        factor, text = (factor / number if divided else factor * number), text.strip()
    return factor, name, text


def _factor(text: str, whole: str, columns: Sequence[Column]) -> tuple[float, str | None, str]:
    number, quoted = NUMBER.match(text), re.match(r'"([^"]*)"', text)
    known = {column.name: column for column in columns}
    name = max((name for name in known if text.startswith(name) and _ends(text, name)), key=len, default=None)
    if quoted:
        name, length = quoted[1], quoted.end()
    else:
        length = len(name or "")
    if number and number.end() >= length:
        if DATE.match(text):
            raise UserError(
                f"data.constraints: {whole!r} compares with a fixed date; bounds of a column are kept anyway."
            )
        return float(number.group()), None, text[number.end() :]
    if name is None or name not in known:
        word = quoted[1] if quoted else re.split(r"[\s*/+]", text)[0] or whole
        raise UserError(f"data.constraints: {whole!r}: there is no column {word!r}. {nearest(word, list(known))}")
    if not linear.can_be_counted(known[name]):
        raise UserError(
            f"data.constraints: {whole!r}: {name!r} is a column of kind {known[name].kind}, which holds no numbers or dates "
            "that are learnt."
        )
    return 1.0, name, text[length:]


def _ends(text: str, name: str) -> bool:
    """Whether a name that a text begins with ends there."""
    after = text[len(name) : len(name) + 1]
    return not (after and name[-1:].isalnum() and (after.isalnum() or after == "_"))


def _names(columns: Sequence[Column]) -> str:
    usable = [column.name for column in columns if linear.can_be_counted(column)]
    return "Names with blanks or signs stand in quotes. Columns: " + ", ".join(usable[:20]) + "."


# --- holding


def _must_hold(statement: Linear, table: Table, values: Mapping[str, linear.Floats]) -> None:
    broken = statement.broken(values)
    if not broken.any():
        return
    row = int(np.flatnonzero(broken)[0])
    one = table.picked(np.array([row]))
    cells = ", ".join(f"{name} {(one.spelled(one.column(name))[0] or '').strip()!r}" for name in statement.coefficients)
    raise UserError(
        f"data.constraints: {statement.words!r} does not hold in {int(broken.sum()):,} of {len(table):,} rows, first in row "
        f"{row + 1} below the names ({cells}). Mend those rows, or leave the constraint out."
    )


def rules_of(statements: Sequence[Statement], columns: Mapping[str, Column], values: linear.Values) -> tuple[Rule, ...]:
    """The rules that keep stated constraints. UserError where no column is left that one could be solved for."""
    rules: dict[str, Rule] = {}
    for statement, targets in statements:
        if len(statement.coefficients) == 1:  # the range of a column is kept anyway
            continue
        for target in targets:
            rule = _with(rules.get(target), statement, columns[target], values)
            changed = {**rules, target: rule} if rule else None
            if changed and linear.ordered(list(changed.values())) is not None:
                rules = changed
                break
        else:
            raise UserError(
                f"data.constraints: {statement.words!r} cannot be kept beside the others: each of {', '.join(targets)} follows "
                "from other columns already. Leave one of the constraints out."
            )
    return linear.ordered(list(rules.values())) or ()


def _with(rule: Rule | None, statement: Linear, target: Column, values: linear.Values) -> Rule | None:
    """The rule of a column with one more statement; None where both cannot be kept."""
    if statement.sign == "=":
        made = linear.computed(statement, target, values)
        kept = not statement.broken({**values, target.name: made.made(values, None)}).any()
        return made if kept and rule is None else None
    if rule is None:
        return linear.beyond([statement], target, values)
    same = isinstance(rule, linear.OutOfRange) and rule.above == (statement.coefficients[target.name] < 0)
    return (
        linear.beyond([*rule.statements, statement], target, values)
        if same and isinstance(rule, linear.OutOfRange)
        else None
    )
