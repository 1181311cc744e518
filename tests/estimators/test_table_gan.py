"""TableGAN has the habits of scikit-learn: parameters, clone, pipelines, random_state, DataFrames in and out."""

from __future__ import annotations

import copy
import pickle
import pickletools
from decimal import Decimal
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


def test_a_pickle_holds_the_generator_as_files_that_are_read_like_any_others(fitted: TableGAN) -> None:
    body = pickle.dumps(fitted)
    words = {word for op, word, _ in pickletools.genops(body) if "UNICODE" in op.name}
    assert not [word for word in words if word.startswith(("torch", "zerosum.training", "zerosum.engine"))]
    again = pickle.loads(body)
    assert again.sample(30).equals(fitted.sample(30))
    assert again.get_params() == fitted.get_params()
    assert (again.feature_names_in_, again.notes_) == (fitted.feature_names_in_, fitted.notes_)
    assert pickle.loads(pickle.dumps(again)).sample(30).equals(fitted.sample(30))
    assert copy.deepcopy(fitted).sample(5).equals(fitted.sample(5))
    never = pickle.loads(pickle.dumps(TableGAN(steps=3, drop=["n"])))
    assert never.get_params() == TableGAN(steps=3, drop=["n"]).get_params()
    with pytest.raises(NotFittedError):
        never.sample(3)


def test_a_changed_pickle_is_refused(fitted: TableGAN) -> None:
    state = fitted.__getstate__()
    state["_files"] = {
        **state["_files"],
        "generator.safetensors": state["_files"]["generator.safetensors"][:-4] + b"1234",
    }
    with pytest.raises(zs.UserError, match="does not match the SHA-256"):
        TableGAN().__setstate__(state)


def test_random_states_are_those_of_scikit_learn(fitted: TableGAN) -> None:
    for made in (np.random.RandomState, np.random.default_rng):
        one, two = made(7), made(7)
        first, second = fitted.sample(20, random_state=one), fitted.sample(20, random_state=one)
        assert not first.equals(second)
        assert fitted.sample(20, random_state=two).equals(first)
    assert fitted.sample(20, random_state=np.int64(3)).equals(fitted.sample(20, random_state=3))
    free = copy.deepcopy(fitted).set_params(random_state=None)
    np.random.seed(5)
    first, second = free.sample(20), free.sample(20)
    np.random.seed(5)
    assert free.sample(20).equals(first)
    assert not first.equals(second)
    for odd in ("7", 1.5, True):
        with pytest.raises(
            zs.UserError, match=r"random_state = .*: give a whole number, a numpy RandomState or Generator, or None"
        ):
            fitted.sample(3, random_state=odd)  # type: ignore[arg-type]


def test_no_rows_have_columns_and_types_too(fitted: TableGAN) -> None:
    none = fitted.sample(0)
    assert len(none) == 0
    assert none.dtypes.equals(fitted.sample(5).dtypes)
    assert len(fitted.sample(np.int64(2))) == 2
    for n in (-1, 2.5, "3"):
        with pytest.raises(zs.UserError, match=r"n = .*: give a whole number of rows, 0 or more"):
            fitted.sample(n)  # type: ignore[arg-type]


def test_types_categories_and_names_of_columns_are_kept(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            2010: draw.normal(size=60),
            2011: pandas.Categorical(draw.choice([5, 1], 60), categories=[5, 3, 1], ordered=True),
            2012: [Decimal(int(n)).scaleb(-2) for n in draw.integers(0, 999, 60)],
            2013: pandas.to_timedelta(draw.integers(0, 999, 60), unit="s"),
        }
    )
    frame[2012] = frame[2012].astype(object)
    gan = TableGAN(steps=1, random_state=0, settings=SMALL, folder=tmp_path / "run").fit(
        frame, draw.integers(0, 99, 60)
    )
    assert gan.feature_names_in_ == [2010, 2011, 2012, 2013, 2014]
    for one in (gan, TableGAN.load(tmp_path / "run"), pickle.loads(pickle.dumps(gan))):
        made = one.sample(8, random_state=0)
        assert made.columns.tolist() == [2010, 2011, 2012, 2013, 2014]
        assert made.dtypes[:4].equals(frame.dtypes)
        assert one.feature_names_in_ == made.columns.tolist()
        assert {type(value) for value in made[2012]} == {Decimal}
        assert one.sample(0).dtypes.equals(made.dtypes)


def test_it_says_what_it_is_and_leaves_what_it_is_given() -> None:
    assert repr(TableGAN(minutes=1, drop=["n"])) == "TableGAN(drop=['n'], minutes=1)"
    assert [*TableGAN().get_params()] == sorted(TableGAN().get_params())
    state = np.random.RandomState(0)
    assert clone(TableGAN(random_state=state)).random_state.randint(99) == np.random.RandomState(0).randint(99)
    with pytest.raises(ValueError, match="Invalid parameter 'epochs'"):
        TableGAN().set_params(epochs=3)


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
        (frame_of().assign(x=[1, "a"] * 30), {}, "cannot be written to a Parquet file"),
    ],
)
def test_what_cannot_be_learnt_is_refused(frame: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(zs.UserError, match=words):
        TableGAN(settings=SMALL, **given).fit(frame)


def test_load_refuses_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(zs.UserError, match="There is no folder"):
        TableGAN.load(tmp_path / "nothing")
