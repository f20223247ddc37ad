"""Scores by source, file, column value and label, against plain loops over the samples."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import traceprop as tp
from traceprop.attribution import ForgetSet, compute_influence_scores, from_sklearn
from traceprop.errors import DataError, RowError, SourceError, StoreError, UnknownNameError
from traceprop.lineage import values

REGIONS = ["north", "south", "east"]


@pytest.fixture
def run(tmp_path):
    """Two files of 30 and 20 rows, of which a filter keeps some; regions that aren't trained on."""
    draw = np.random.default_rng(0)
    lines = {}
    for name, n in (("a.csv", 30), ("b.csv", 20)):
        rows = [
            (*draw.standard_normal(2).round(3), int(draw.integers(0, 2)), REGIONS[i % 3])
            for i in range(n)
        ]
        lines[name] = rows
        text = "x,z,y,region\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
        (tmp_path / name).write_text(text)
    tables = [tp.read_csv(tmp_path / name).to_tensor(["x", "z", "y"]) for name in lines]
    data = np.concatenate(tables)
    data = data[data[:, 0] > -0.8]
    X, y = data[:, :2], data[:, 2]
    estimator = LogisticRegression(tol=1e-10).fit(values(X), values(y))
    store = from_sklearn(estimator, X, y, tmp_path / "grad")
    kept = [(name, row) for name, rows in lines.items() for row in rows if row[0] > -0.8]
    scores = compute_influence_scores(estimator, store, np.array([0.3, -0.2]))
    return store, scores, kept, tmp_path


def _summed(kept, scores, group_of):
    sums = {}
    for sample, score in zip(scores.all_samples, scores.all_scores, strict=True):
        sums.setdefault(group_of(*kept[sample]), []).append(score)
    return sums


def test_by_source_and_by_file(run):
    store, scores, kept, folder = run
    want = _summed(kept, scores, lambda name, row: name)
    found = store.by_source(scores)
    assert {source.name: pytest.approx(s) for source, s in found.items()} == {
        name: sum(each) for name, each in want.items()
    }
    files = store.by_file(scores)
    assert files == {str(folder / name): pytest.approx(sum(each)) for name, each in want.items()}
    total = sum(abs(s) for s in scores.all_scores)
    for source in store.sources:
        each = want[source.name]
        assert found.counts[source] == len(each)
        assert found.towards[source] == pytest.approx(sum(s for s in each if s > 0))
        assert found.against[source] == pytest.approx(sum(s for s in each if s < 0))
        assert found.shares[source] == pytest.approx(sum(map(abs, each)) / total)
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_by_a_column_that_was_not_trained_on(run):
    store, scores, kept, _ = run
    want = _summed(kept, scores, lambda name, row: row[3])
    found = store.by_column(scores, "region")
    assert found == {region: pytest.approx(sum(each)) for region, each in want.items()}
    assert found.counts == {region: len(each) for region, each in want.items()}
    numbers = store.by_column(scores, "x")
    assert len(numbers) == len({row[0] for _, row in kept})


def test_by_labels_of_the_samples(run):
    store, scores, kept, _ = run
    labels = [row[2] for _, row in kept]
    want = _summed(kept, scores, lambda name, row: row[2])
    found = store.by_label(scores, labels)
    assert found == {label: pytest.approx(sum(each)) for label, each in want.items()}
    assert store.by_label(scores[:3], labels).counts == {
        label: sum(labels[sample] == label for sample, _ in scores[:3])
        for label in {labels[sample] for sample, _ in scores[:3]}
    }
    with pytest.raises(DataError, match="give one a sample"):
        store.by_label(scores, labels[1:])


def test_what_has_no_groups(run):
    store, scores, _, folder = run
    with pytest.raises(UnknownNameError, match=r"no source has a column 'age'.*x, z, y, region"):
        store.by_column(scores, "age")
    with pytest.raises(RowError, match="no sample 500"):
        store.by_column([(500, 1.0)], "region")
    (folder / "a.csv").write_text((folder / "a.csv").read_text().replace("north", "south"))
    with pytest.raises(SourceError, match=r"a\.csv"):
        store.by_column(scores, "region")


def test_a_sample_of_several_rows_counts_once_a_group(tmp_path):
    (tmp_path / "long.csv").write_text(
        "x,y,part\n" + "".join(f"{i % 7},{i % 2},{'ab'[i % 2]}\n" for i in range(40))
    )
    data = tp.read_csv(tmp_path / "long.csv").to_tensor(["x", "y"])
    X = (data[0::2, :1] + data[1::2, :1]) / 2  # each sample of two rows, one of each part
    y = (data[0::4, 1] * 0 + 1).repeat(2) * np.tile([0.0, 1.0], 10)
    estimator = LogisticRegression(tol=1e-10).fit(values(X), values(y))
    store = from_sklearn(estimator, X, values(y), tmp_path / "grad")
    scores = compute_influence_scores(estimator, store, np.array([2.0]))
    found = store.by_column(scores, "part")
    assert found.counts == {"a": 20, "b": 20}
    total = float(scores.all_scores.sum())
    assert found == {"a": pytest.approx(total), "b": pytest.approx(total)}
    assert store.by_source(scores).counts == {store.sources[0]: 20}


@pytest.fixture
def branching(tmp_path):
    """Two files prepared apart, joined, filtered and normalised, and what each row went through."""
    draw = np.random.default_rng(3)
    rows = {name: draw.standard_normal((n, 2)).round(3) for name, n in (("a", 20), ("b", 15))}
    for name, values_ in rows.items():
        text = "x,y\n" + "".join(f"{x},{int(y > 0)}\n" for x, y in values_)
        (tmp_path / f"{name}.csv").write_text(text)
    a, b = (tp.load_csv(tmp_path / f"{name}.csv") for name in rows)
    both = np.concatenate([np.clip(a, -1, 1), np.clip(np.log1p(np.abs(b)), 0, 1)])
    kept = both[both[:, 0] > -0.5]
    went = [{"clip"}] * 20 + [{"log", "absolute", "clip (2)"}] * 15
    went = [steps for steps, keep in zip(went, values(both)[:, 0] > -0.5, strict=True) if keep]
    X = (kept[:, :1] - kept[:, :1].mean()) / kept[:, :1].std()
    labels = values(kept)[:, 1] > 0
    estimator = LogisticRegression(tol=1e-10).fit(values(X), labels)
    store = from_sklearn(estimator, X, labels.astype(int), tmp_path / "grad")
    return store, estimator, went


def test_by_step(branching):
    store, estimator, went = branching
    scores = compute_influence_scores(estimator, store, np.array([0.4]))
    found = store.by_step(scores)
    assert {"concat", "row_filter", "normalize", "clip", "clip (2)", "log"} <= set(found)
    total = float(scores.all_scores.sum())
    for step, value in found.items():
        own = [
            score
            for steps, score in zip(went, scores.all_scores, strict=True)
            if step in steps or not step.startswith(("clip", "log", "abs"))
        ]
        assert value == pytest.approx(sum(own), abs=1e-12)
        assert found.counts[step] == len(own)
    assert found["normalize"] == pytest.approx(total)
    assert found.counts["clip"] + found.counts["clip (2)"] == len(scores.all_scores)
    assert store.by_step(scores[:2]).counts["normalize"] == 2
    with pytest.raises(RowError, match="no sample 500"):
        store.by_step([(500, 1.0)])


def test_by_step_needs_the_lineage(branching, tmp_path):
    store, estimator, _ = branching
    scores = compute_influence_scores(estimator, store, np.array([0.4]))
    store.erase(ForgetSet(np.array([0]), {}, store))
    with pytest.raises(StoreError, match="an erasure dropped it"):
        store.by_step([*scores][1:2])
    X, y = np.arange(6.0)[:, None], np.arange(6) % 2
    plain = LogisticRegression().fit(X, y)
    other = from_sklearn(plain, X, y, tmp_path / "plain")
    with pytest.raises(StoreError, match="knows no sources"):
        other.by_step([(0, 1.0)])
