"""TableGAN has the habits of scikit-learn: parameters, clone, pipelines, random_state, DataFrames in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

import zerosum as zs
from zerosum.estimators.tables import TableGAN

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
SMALL = {"generator.width": 16, "discriminator.width": 16, "batch": 16, "threads": 1, "device": "cpu"}


def frame_of(num: int = 60, seed: int = 0) -> Any:
    """A DataFrame of many dtypes."""
    draw = np.random.default_rng(seed)
    return pandas.DataFrame(
        {
            "n": draw.integers(0, 500, num),
            "maybe": pandas.array(np.where(draw.random(num) < 0.3, None, draw.integers(0, 99, num)), dtype="Int64"),
            "x": draw.normal(size=num).astype(np.float32),
            "kind": pandas.Categorical(draw.choice(["a", "b"], num), categories=["a", "b", "never"]),
            "town": draw.choice(["Bern", "Oslo", "Rome"], num),
            "flag": draw.random(num) < 0.4,
            "when": pandas.to_datetime("2020-01-01") + pandas.to_timedelta(draw.integers(0, 400, num), unit="D"),
            "local": pandas.to_datetime("2020-06-01").tz_localize("Europe/Oslo")
            + pandas.to_timedelta(draw.integers(0, 9999, num), unit="h"),
            "level": draw.integers(1, 4, num),
        },
        index=np.arange(num) + 7,
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> TableGAN:
    folder = tmp_path_factory.mktemp("gan") / "run"
    return TableGAN(steps=2, random_state=3, settings=SMALL, folder=folder).fit(frame_of())


def test_samples_have_the_columns_and_dtypes_of_the_table(fitted: TableGAN) -> None:
    real, made = frame_of(), fitted.sample(40)
    assert len(made) == 40
    assert {name: str(dtype) for name, dtype in made.dtypes.items()} == {n: str(d) for n, d in real.dtypes.items()}
    assert set(made["town"]) <= {"Bern", "Oslo", "Rome"}
    assert made["n"].between(real["n"].min(), real["n"].max()).all()
    assert fitted.feature_names_in_ == list(real.columns)
    assert fitted.n_features_in_ == 9


def test_the_same_state_gives_the_same_rows(fitted: TableGAN) -> None:
    assert fitted.sample(30).equals(fitted.sample(30))
    assert fitted.sample(30).equals(fitted.sample(50).head(30))
    assert fitted.sample(30, random_state=3).equals(fitted.sample(30))
    assert not fitted.sample(30, random_state=4).equals(fitted.sample(30))


def test_conditions_are_honoured_in_words_and_as_a_mapping(fitted: TableGAN) -> None:
    words = fitted.sample(25, where="town=Oslo,n>100")
    assert set(words["town"]) == {"Oslo"}
    assert (words["n"] > 100).all()
    assert words.equals(fitted.sample(25, where={"town": "Oslo", "n": ">100"}))
    with pytest.raises(zs.UserError, match="'town' has no value 'Paris'"):
        fitted.sample(5, where={"town": "Paris"})


def test_a_run_that_was_kept_can_be_loaded_and_is_an_ordinary_run(fitted: TableGAN) -> None:
    assert fitted.folder is not None
    again = TableGAN.load(fitted.folder)
    assert again.sample(20, random_state=3).equals(fitted.sample(20))
    assert again.feature_names_in_ == fitted.feature_names_in_
    assert (Path(fitted.folder) / "report.html").is_file()
    assert Path(fitted.run_.recipe.data.kind).is_file()


def test_parameters_and_clone() -> None:
    gan = zs.TableGAN("table", minutes=1, drop=["n"], types={"level": "integer"}, settings=SMALL)
    twin = clone(gan)
    assert twin is not gan
    assert twin.get_params() == gan.get_params()
    assert twin.set_params(minutes=2, random_state=5).random_state == 5
    assert gan.minutes == 1
    with pytest.raises(NotFittedError):
        twin.sample(3)


def test_in_a_pipeline_and_with_a_target() -> None:
    frame = frame_of()[["n", "town"]]
    line = Pipeline(
        [("all", "passthrough"), ("gan", TableGAN(steps=1, settings=SMALL, types={"answer": "categorical"}))]
    )
    made = line.fit(frame, pandas.Series(frame["n"] > 250, name="answer"))["gan"].sample(12)
    assert list(made.columns) == ["n", "town", "answer"]
    assert made["answer"].dtype == bool


@pytest.mark.parametrize(
    ("frame", "given", "words"),
    [
        (frame_of().rename(columns={"x": "n"}), {}, "column name 'n' occurs 2 times"),
        (frame_of(1), {}, "has one row"),
        (frame_of(60).iloc[:0], {}, "no rows"),
        (frame_of().assign(x=np.inf), {}, "column 'x' holds 'inf'"),
        (frame_of(), {"minutes": 1, "steps": 5}, "minutes or steps, not both"),
        (frame_of(), {"types": {"m": "date"}}, "there is no column 'm'"),
        (frame_of(), {"drop": ["zz"]}, "there is no column 'zz'"),
        (frame_of().assign(x=[1, "a"] * 30), {}, "cannot be kept as a Parquet file"),
    ],
)
def test_what_cannot_be_learnt_is_refused(frame: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(zs.UserError, match=words):
        TableGAN(settings=SMALL, **given).fit(frame)


def test_load_refuses_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(zs.UserError, match="There is no folder"):
        TableGAN.load(tmp_path / "nothing")
