"""Tables that go to pandas and on to scikit-learn: a linked data frame keeps its rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import traceprop as tp
from tests.sources.tables import table
from traceprop.errors import LineageError, LineageEscapeWarning
from traceprop.lineage import values
from traceprop.lineage.recording.escapes import forget_warned
from traceprop.testing import assert_sound

ALL = set(range(6))


@pytest.fixture(autouse=True)
def on() -> Iterator[None]:
    forget_warned()
    with tp.sklearn.enable(dispatch=False):
        yield


@pytest.fixture
def people() -> tp.Table:
    return table(
        "people",
        {
            "job": ["a", "b", "a", "c", "b", "a"],
            "age": [30.0, 41.0, 52.0, 23.0, 34.0, 45.0],
            "paid": [0, 1, 0, 1, 1, 0],
        },
    )


def prepare() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("job", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["job"]),
            ("age", StandardScaler(), ["age"]),
        ]
    )


def test_columns_by_name_keep_the_rows(people: tp.Table) -> None:
    frame = people.to_pandas()
    with tp.strict():
        found = prepare().fit_transform(frame)
    assert np.array_equal(values(found), prepare().fit_transform(pd.DataFrame(dict(frame.items()))))
    assert found[2].sources() == {"people": {2}}
    assert set(found[2].dependencies().statistic["people"]) == ALL
    with pytest.raises(LineageError, match=r"pandas .* can't be replayed"):
        tp.replay(found)


def test_a_model_on_a_split_data_frame(people: tp.Table) -> None:
    frame = people.to_pandas()
    train, test = train_test_split(frame, random_state=0, test_size=2)
    model = make_pipeline(prepare(), LogisticRegression()).fit(train, train["paid"])
    prepared = model[:-1].transform(test)
    rows = test.index.tolist()
    assert prepared[0].sources() == {"people": {rows[0]}}
    learned = {source: set(found) for source, found in model[-1].coef_.sources().items()}
    assert learned == {"people": set(train.index)}


def test_a_column_made_in_pandas_rests_on_all_rows(people: tp.Table) -> None:
    frame = people.to_pandas()
    frame["age"] = frame["age"].rank()
    with pytest.warns(LineageEscapeWarning, match="column 'age' from pandas"):
        found = prepare().fit_transform(frame)
    assert set(found[0].sources()["people"]) == ALL


def test_a_data_frame_of_nobody_s_is_plain() -> None:
    frame = pd.DataFrame({"age": [1.0, 2.0]})
    assert type(StandardScaler().fit_transform(frame)) is np.ndarray


def test_a_list_of_tensors_is_no_data_frame() -> None:
    rows = [tp.array([1.0, 5.0], name="one"), tp.array([2.0, 3.0], name="two")]
    found = StandardScaler().fit_transform(rows)
    assert {str(source) for source in found[0].sources()} == {"one", "two"}


def test_what_changes_is_named() -> None:
    def program(age: Any, paid: Any) -> Any:
        made = tp.Table.from_tensors({"age": age, "paid": paid})
        frame = made.to_pandas()
        frame = frame[frame["age"] > 30].sort_values("age")
        if isinstance(age, np.ndarray):
            frame = pd.DataFrame(dict(frame.items()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return StandardScaler().fit_transform(frame)

    assert_sound(program, np.array([31.0, 25.0, 52.0, 40.0]), np.array([1.0, 0.0, 1.0, 3.0]))
