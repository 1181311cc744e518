"""A table's generator as a scikit-learn estimator: `TableGAN(minutes=1).fit(df).sample(1000)`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from zerosum.domains.tables import conditional_sampling
from zerosum.domains.tables.filters import Where
from zerosum.domains.tables.reading import style_of
from zerosum.domains.tables.reading.frames import from_frame, require, save_frame
from zerosum.domains.tables.table import concatenate
from zerosum.domains.tables.writing import to_frame
from zerosum.errors import UserError

if TYPE_CHECKING:
    from zerosum.api import Run

DOMAIN = "tables"
NUM_SEEDS = 2**31 - 1
RandomState = int | np.random.RandomState | np.random.Generator | None


class TableGAN(BaseEstimator):  # type: ignore[misc]
    """Learns the distribution of the rows of a pandas DataFrame and generates new rows.

    recipe: a name or a file; None: selected by the data. minutes: time limit of the training. steps: number of steps; without
    both, those of the recipe. random_state: of the training, and the default of `sample`: a number; a numpy RandomState or
    Generator, which gives another seed at each call; None: the global one of numpy. types: column -> kind, to correct the
    detected one. drop: columns to leave out. settings: further settings of the recipe, {"generator.width": 128}. folder: folder
    of the run and its report; the table is written to FOLDER.parquet. None: a temporary folder that is deleted with the
    estimator.

    After `fit`: `run_` (the finished run), `feature_names_in_`, `n_features_in_`, `notes_` (notes on the table).

    A pickle holds the parameters and the files of the published generator, which contain no code. An unpickled estimator has the
    generator, without the discriminator.
    """

    def __init__(
        self,
        recipe: str | None = None,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        random_state: RandomState = None,
        types: Mapping[str, str] | None = None,
        drop: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.minutes = minutes
        self.steps = steps
        self.random_state = random_state
        self.types = types
        self.drop = drop
        self.settings = settings
        self.folder = folder

    def fit(self, X: Any, y: Any = None) -> TableGAN:  # noqa: N803  (scikit-learn's own name)
        """Trains on the rows of a DataFrame; a 2-D array gets the columns x0, x1 ... y: one more column."""
        from zerosum import api

        frame = _to_frame(X, y)
        self._scratch = tempfile.TemporaryDirectory(prefix="zerosum-")
        out = Path(self.folder) if self.folder is not None else Path(self._scratch.name) / "table"
        path = out.with_name(f"{out.name}.parquet")
        _write_frame(frame, path)
        self.run_: Run = api.train(str(path), self.recipe, minutes=self.minutes, out=out, overrides=self._settings())
        self.feature_names_in_ = list(frame.columns)
        self.n_features_in_ = len(self.feature_names_in_)
        self.notes_ = list(self.run_.sampler.info.notes)
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_scratch", None)
        if run := state.pop("run_", None):
            state["_files"] = _read_published(run.path)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        from zerosum import api

        files = {**state}.pop("_files", None)
        super().__setstate__({name: value for name, value in state.items() if name != "_files"})
        if files is not None:
            self._scratch = tempfile.TemporaryDirectory(prefix="zerosum-")
            for name, content in files.items():
                (Path(self._scratch.name) / Path(name).name).write_bytes(content)
            self.run_ = api.load(self._scratch.name)

    def _settings(self) -> dict[str, Any]:
        """The parameters as settings of a recipe."""
        if self.minutes is not None and self.steps is not None:
            raise UserError("TableGAN: give minutes or steps, not both.")
        found: dict[str, Any] = {"seed": _seed(self.random_state), **(self.settings or {})}
        if self.steps is not None:
            found["steps"] = self.steps
        if self.types:
            found["data.types"] = dict(self.types)
        if self.drop:
            found["data.drop"] = list(self.drop)
        return found

    def sample(self, n: int = 1000, *, where: Where = "", random_state: RandomState = None) -> Any:
        """A DataFrame of n new rows, 0 or more, with the columns and dtypes of the fitted one.

        where: conditions, as text ("sex=Female,age>40") or as a mapping ({"sex": "Female", "age": ">40"}).
        """
        check_is_fitted(self, "run_")
        num = _to_int(n)
        if num is None or num < 0:
            raise UserError(f"TableGAN.sample: n = {n!r}: give a whole number of rows, 0 or more.")
        seed = _seed(self.random_state if random_state is None else random_state)
        sampler = conditional_sampling.conditional_sampler(self.run_.sampler, where, seed)
        none = sampler.fit.decode(torch.zeros(0, sampler.fit.blocks[-1].stop))
        rows = concatenate(list(sampler.tables(num))) if num else none
        return to_frame(rows, style_of(self.run_.sampler.info.payload).labels)

    @classmethod
    def load(cls, folder: str | Path) -> TableGAN:
        """The estimator of a run on disk."""
        from zerosum import api

        estimator = cls(folder=folder)
        estimator.run_ = api.load(folder)
        info = estimator.run_.sampler.info
        if estimator.run_.domain.name != DOMAIN:
            raise UserError(f"{folder} holds a generator of {estimator.run_.domain.name}, not of tables.")
        whole = style_of(info.payload).labels == "int"
        estimator.feature_names_in_ = [int(one["name"]) if whole else one["name"] for one in info.payload["columns"]]
        estimator.n_features_in_, estimator.notes_ = len(estimator.feature_names_in_), list(info.notes)
        return estimator


def _seed(state: Any) -> int:
    """A seed: the number itself, or one drawn from a random generator."""
    if (number := _to_int(state)) is not None:
        return number
    if isinstance(state, np.random.Generator):
        return int(state.integers(NUM_SEEDS))
    if state is None or isinstance(state, np.random.RandomState):
        return int(check_random_state(state).randint(NUM_SEEDS))
    raise UserError(
        f"TableGAN: random_state = {state!r}: give a whole number, a numpy RandomState or Generator, or None."
    )


def _to_int(value: Any) -> int | None:
    """A whole number of Python or numpy; None for anything else."""
    return int(value) if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else None


def _read_published(folder: Path) -> dict[str, bytes]:
    """The files of a published generator."""
    from zerosum.generation.sampler import EXAMPLES, generator_files

    weights, card = generator_files(folder)
    if not weights.is_file() or not card.is_file():
        raise UserError(
            f"TableGAN: the generator in {folder} no longer exists, so the estimator cannot be pickled. Fit it again."
        )
    return {path.name: path.read_bytes() for path in (weights, card, folder / EXAMPLES) if path.is_file()}


def _write_frame(frame: Any, path: Path) -> None:
    """Writes the DataFrame to a Parquet file, which the run reads."""
    require("pyarrow", "TableGAN")
    from_frame(frame).checked()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_frame(frame, path)
    except UserError:
        raise
    except (ValueError, TypeError, NotImplementedError, OverflowError) as error:
        raise UserError(
            f"TableGAN.fit: the DataFrame cannot be written to a Parquet file: {str(error).splitlines()[0]}"
        ) from None


def _to_frame(rows: Any, target: Any) -> Any:
    """The rows as a DataFrame, the target as its last column."""
    pandas = require("pandas", "TableGAN")
    if hasattr(rows, "columns"):
        frame = rows.reset_index(drop=True)
    else:
        frame = pandas.DataFrame(rows)
        if frame.empty and not len(frame.columns):
            raise UserError("TableGAN.fit: the table has no columns; give at least one.")
        frame.columns = [f"x{number}" for number in range(frame.shape[1])]
    if target is not None:
        name = getattr(target, "name", None)
        if name is None:
            whole = len(frame.columns) > 0 and None not in map(_to_int, frame.columns)
            name = max(frame.columns) + 1 if whole else "target"
        if name in frame.columns:
            raise UserError(f"TableGAN.fit: y is named {name!r}, and so is a column of X. Rename one of them.")
        frame = frame.copy()
        frame[name] = getattr(target, "array", target)
    return frame
