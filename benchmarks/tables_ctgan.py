"""The `ctgan` package on the training rows of a table, in an environment of its own: `pip install ctgan`, and nothing of ours.

python benchmarks/tables_ctgan.py train.csv made.csv --epochs 40
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path


def main() -> None:
    """Fits, samples as many rows as it was given, and tells the CPU seconds of both."""
    import ctgan
    import pandas
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("made", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = pandas.read_csv(given.train, keep_default_na=False)
    words = [
        name for name in table if not pandas.api.types.is_numeric_dtype(table[name]) or table[name].nunique() <= 12
    ]
    begun = time.process_time()
    model = ctgan.CTGAN(epochs=given.epochs, cuda=False)
    model.fit(table, words)
    fitted = time.process_time() - begun
    model.sample(len(table)).to_csv(given.made, index=False)
    print(f"ctgan {ctgan.__version__}, {given.epochs} epochs: fitted in {fitted:.0f} CPU s, one thread; {given.made}")


if __name__ == "__main__":
    main()
