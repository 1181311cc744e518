"""A table's generator as a scikit-learn estimator: `TableGAN(minutes=1).fit(df).sample(1000)`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from zerosum.domains.tables import producing
from zerosum.domains.tables.reading.cells import checked
from zerosum.domains.tables.reading.frames import needed, of_frame
from zerosum.domains.tables.table import joined
from zerosum.domains.tables.where import Where
from zerosum.domains.tables.writing import to_frame
from zerosum.errors import UserError

if TYPE_CHECKING:
    from zerosum.runs.run import Run

DOMAIN = "tables"


class TableGAN(BaseEstimator):  # type: ignore[misc]
    """Learns the distribution of the rows of a pandas DataFrame and makes new ones.

    recipe: a name or a file; None chooses by the data. minutes: the time that training may take. steps: of the training; neither:
    those of the recipe. random_state: seed of the training, and of samples that name none. types: column -> meaning, where the
    meaning found is wrong. drop: columns to be left out. settings: further settings of the recipe, {"generator.width": 128}.
    folder: where the run is kept, with its report, and beside it the table as FOLDER.parquet; None keeps nothing on disk beyond
    the life of the estimator.

    After `fit`: `run_` (the finished run), `feature_names_in_`, `n_features_in_`, `notes_` (what was found in the table).
    """

    def __init__(
        self,
        recipe: str | None = None,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        random_state: int | None = None,
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
        """Trains on the rows of a DataFrame; a 2-D array gets the columns x0, x1 ... y: one more column, learnt with them."""
        from zerosum.runs import run

        frame = _frame(X, y)
        self._scratch = tempfile.TemporaryDirectory(prefix="zerosum-")
        out = Path(self.folder) if self.folder is not None else Path(self._scratch.name) / "table"
        path = out.with_name(f"{out.name}.parquet")
        _keep(frame, path)
        self.run_: Run = run.train(str(path), self.recipe, minutes=self.minutes, out=out, set=self._settings())
        self.feature_names_in_ = [str(name) for name in frame.columns]
        self.n_features_in_ = len(self.feature_names_in_)
        self.notes_ = list(self.run_.sampler.facts["notes"])
        return self

    def _settings(self) -> dict[str, Any]:
        """The parameters as settings of a recipe."""
        if self.minutes is not None and self.steps is not None:
            raise UserError("TableGAN: give minutes or steps, not both.")
        found: dict[str, Any] = {"seed": self.random_state or 0, **(self.settings or {})}
        if self.steps is not None:
            found["steps"] = self.steps
        if self.types:
            found["data.types"] = dict(self.types)
        if self.drop:
            found["data.drop"] = list(self.drop)
        return found

    def sample(self, n: int = 1000, *, where: Where = "", random_state: int | None = None) -> Any:
        """A DataFrame of n new rows with the columns and dtypes of the one that was fitted.

        where: conditions, in words ("sex=Female,age>40") or as a mapping ({"sex": "Female", "age": ">40"}).
        """
        check_is_fitted(self, "run_")
        if n < 1:
            raise UserError(f"n must be at least 1, got {n}.")
        seed = (self.random_state or 0) if random_state is None else random_state
        stream = producing.stream(self.run_.sampler, where, seed)
        return to_frame(joined(list(stream.tables(n))))

    @classmethod
    def load(cls, folder: str | Path) -> TableGAN:
        """The estimator of a run that lies on disk."""
        from zerosum.runs import run

        made = cls(folder=folder)
        made.run_ = run.load(folder)
        facts = made.run_.sampler.facts
        if made.run_.domain.name != DOMAIN:
            raise UserError(f"{folder} holds a generator of {made.run_.domain.name}, not of tables.")
        made.feature_names_in_ = [column["name"] for column in facts["columns"]]
        made.n_features_in_, made.notes_ = len(made.feature_names_in_), list(facts["notes"])
        return made


def _keep(frame: Any, path: Path) -> None:
    """Writes the DataFrame to a Parquet file, from where the run can read it again at any time."""
    needed("pyarrow", "TableGAN")
    checked(of_frame(frame))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        frame.to_parquet(path, index=False)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"TableGAN.fit: the DataFrame cannot be kept as a Parquet file: {str(error).splitlines()[0]}"
        ) from None


def _frame(rows: Any, target: Any) -> Any:
    """The rows as a DataFrame with text names, the target as its last column."""
    pandas = needed("pandas", "TableGAN")
    if hasattr(rows, "columns"):
        frame = rows.reset_index(drop=True)
        frame.columns = [str(name) for name in frame.columns]
    else:
        frame = pandas.DataFrame(rows)
        if frame.empty and not len(frame.columns):
            raise UserError("TableGAN.fit: there are no columns.")
        frame.columns = [f"x{number}" for number in range(frame.shape[1])]
    if target is not None:
        name = str(getattr(target, "name", None) or "target")
        if name in frame.columns:
            raise UserError(f"TableGAN.fit: y is named {name!r}, and so is a column of X. Rename one of them.")
        frame = frame.assign(**{name: getattr(target, "to_numpy", lambda: target)()})
    return frame
