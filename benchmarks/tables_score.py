"""Rows that any program made, measured as `zerosum evaluate` measures those of a run: same rows held out, same measures.

python benchmarks/tables_score.py split adult.csv.gz train.csv
python benchmarks/tables_score.py score adult.csv.gz made.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

from zerosum.domains.tables import DOMAIN, data, writing
from zerosum.domains.tables.metrics import TableEvaluator
from zerosum.domains.tables.table_similarity import NumericMatrix
from zerosum.recipe import part


def split(table: str, out: Path) -> None:
    """Writes the training rows of a table, for a program that must not know the held-out ones."""
    source = DOMAIN.data.open(part(table), False)
    writing.write_table(source.train, out, source.info())
    print(f"{out}: {len(source.train):,} training rows; {len(source.heldout):,} are held out")


def score(table: str, made: Path) -> None:
    """Prints every measure of made rows beside what training rows score."""
    source = DOMAIN.data.open(part(table), False)
    evaluator = TableEvaluator(source, 0)
    rows = NumericMatrix.of(
        data.read_table(made, source.transform, source.info())
    )  # as they are: encoded rows keep all constraints
    for record in evaluator.evaluate_rows(rows.rows(slice(0, evaluator.num_samples))):
        floor = "" if record.reference is None else f"{record.reference:.4f}"
        print(f"{record.name:40} {record.value:.4f}  {floor:8} {record.better}")


def main() -> None:
    """The two verbs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("split", "score"))
    parser.add_argument("table")
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    {"split": split, "score": score}[given.verb](given.table, given.file)


if __name__ == "__main__":
    main()
