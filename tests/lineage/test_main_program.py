"""The program of the front page, on lineage alone: exact rows, readable steps."""

from __future__ import annotations

import numpy as np
import pytest

from traceprop import lineage
from traceprop.lineage import ProvenanceTensor, Source, from_source


class Numbered(Source):
    """A source whose data row r stands in line r + 2, as under a one-line header."""

    kind = "numbered"

    def locate(self, rows):
        rows = np.asarray(list(rows), dtype=np.int64)
        return rows + 2, rows * 10


@pytest.fixture
def table() -> ProvenanceTensor:
    values = np.random.default_rng(0).normal(size=(60, 6))
    names = [*"abcde", "label"]
    source = Numbered("data/credit_scores.csv", n_rows=60, sha256="0" * 64, columns=names)
    return from_source(values, source)


def prepare(table):
    X, y = table[:, :-1], table[:, -1]
    X_norm = (X - X.mean(axis=0)) / X.std(axis=0)
    kept = X_norm[:, 3] > 0
    return X_norm[kept], y[kept]


def test_rows_steps_and_trace(table):
    plain, _ = prepare(lineage.values(table))
    X = lineage.values(table)[:, :-1]
    rows = np.flatnonzero(((X - X.mean(axis=0)) / X.std(axis=0))[:, 3] > 0)

    X_filt, y_filt = prepare(table)

    np.testing.assert_array_equal(lineage.values(X_filt), plain)
    assert list(X_filt.sources()["credit_scores.csv"]) == rows.tolist()
    assert str(X_filt.ops()) == "[normalize, row_filter]"
    assert str(y_filt.ops()) == "[row_filter]"
    for i, row in enumerate(rows.tolist()):
        assert X_filt[i].sources() == {"credit_scores.csv": {row}} or list(
            X_filt[i].sources()["data/credit_scores.csv"]
        ) == [row]
        assert str(X_filt[i].trace()) == (
            f"credit_scores.csv row {row} (line {row + 2}) · normalize → row_filter"
        )
    (origin,) = lineage.origins(X_filt)
    np.testing.assert_array_equal(origin.rows, rows)
    np.testing.assert_array_equal(origin.indptr, np.arange(len(rows) + 1))


def test_means_are_statistics_and_the_mask_is_a_control(table):
    X_filt, _ = prepare(table)
    kinds = X_filt[2].dependencies()
    assert len(kinds.direct["credit_scores.csv"]) == 1
    assert len(kinds.statistic["credit_scores.csv"]) == 60
    assert len(kinds.control["credit_scores.csv"]) == 60
    assert X_filt.columns == ("a", "b", "c", "d", "e")


def test_a_saved_lineage_answers_the_same(table, tmp_path):
    X_filt, y_filt = prepare(table)
    lineage.save_lineage(tmp_path / "lineage.arrow", X_filt, y_filt)
    graph = lineage.load_lineage(tmp_path / "lineage.arrow")
    assert graph.sources(0) == X_filt.sources()
    assert graph.ops(root=1) == y_filt.ops()
    assert graph.trace(5).rows == X_filt[5].trace().rows
    assert graph.trace(5).steps == X_filt[5].trace().steps
