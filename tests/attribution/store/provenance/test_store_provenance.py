"""Samples and source rows, asked of a store whose training data came from real CSV files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from tests.attribution.store.runs import PROJECTOR, WIDTH, commit, make_record
from traceprop.attribution import ForgetSet, InfluenceScores
from traceprop.attribution.estimators.base import Quality
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.errors import (
    DataError,
    RowError,
    SourceError,
    StoreError,
    StoreWarning,
    UnlearnError,
)

ROOT = Path(__file__).resolve().parents[3]
N = 40


def _write_csv(path: Path, offset: int = 0, n: int = N) -> Path:
    lines = [f"{i + offset},{(i * 7) % 11},{i % 2}" for i in range(n)]
    path.write_text("\n".join(["age,score,label", *lines, ""]))
    return path


def _prepare(table):
    X, y = table[:, :-1], table[:, -1]
    X_norm = (X - X.mean(axis=0)) / X.std(axis=0)
    kept = X_norm[:, 1] > 0
    return X_norm[kept], y[kept]


def _kept_rows() -> list[int]:
    score = np.array([(i * 7) % 11 for i in range(N)], float)
    return np.flatnonzero(score > score.mean()).tolist()


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return _write_csv(tmp_path / "credit_scores.csv")


@pytest.fixture
def store(csv: Path, tmp_path: Path) -> GradientStore:
    X, y = _prepare(tp.load_csv(csv))
    store = GradientStore(k=8, path=tmp_path / "grad")
    commit(store, n=len(_kept_rows()), tensors=(X, y))
    return store


def test_every_sample_is_traced_to_its_line(store: GradientStore, csv: Path):
    for opened in (store, GradientStore.open(store.path)):
        (source,) = opened.sources
        assert str(source) == "credit_scores.csv"
        assert source == str(csv)
        assert source.kind == "csv"
        assert opened.steps == ("normalize", "row_filter")
        for sample, row in enumerate(_kept_rows()):
            trace = opened.get_provenance(sample)
            assert trace.trace_to_file() == f"credit_scores.csv row {row}"
            text = f"credit_scores.csv row {row} (line {row + 2}) · normalize → row_filter"
            assert str(trace) == text
            assert list(trace.rows[source]) == [row]
    assert opened.info()["sources"][0]["n_rows"] == N


def test_another_process_answers_when_the_file_is_gone(store: GradientStore, csv: Path):
    csv.unlink()
    code = (
        "import sys; from traceprop.attribution import GradientStore\n"
        "s = GradientStore.open(sys.argv[1]); print(s.get_provenance(0))\n"
        "print(list(s.samples_from_source('credit_scores.csv', [int(sys.argv[2])])))\n"
        "assert 'torch' not in sys.modules"
    )
    row = _kept_rows()[0]
    command = [sys.executable, "-W", "error", "-W", "default::UserWarning", "-c", code]
    command += [str(store.path), str(row)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    warned = [line for line in done.stderr.splitlines() if "Warning" in line]
    assert len(warned) == 2  # one for each question
    assert all(
        "StoreWarning" in line and f"{csv}, which was trained on, is gone" in line
        for line in warned
    )
    assert done.stdout.splitlines() == [
        f"credit_scores.csv row {row} (line {row + 2}) · normalize → row_filter",
        "[0]",
    ]


def test_samples_of_rows_and_back(store: GradientStore, csv: Path):
    rows = _kept_rows()
    for name in ("credit_scores.csv", str(csv), csv, store.sources[0]):
        forget_set = store.samples_from_source(name, rows=[rows[3], rows[1]])
        assert isinstance(forget_set, ForgetSet)
        assert list(forget_set) == [1, 3]
        assert len(forget_set) == 2
        assert forget_set.samples.dtype == np.int64
        assert list(forget_set.rows["credit_scores.csv"]) == [rows[1], rows[3]]
        assert forget_set.store is store
    everything = store.samples_from_source("credit_scores.csv", np.array(rows))
    assert list(everything) == list(range(len(rows)))
    assert "ForgetSet(2 samples: credit_scores.csv rows" in repr(forget_set)
    assert len(store.samples_from_source("credit_scores.csv", [])) == 0


def test_a_relative_path_finds_its_source(csv: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = _prepare(tp.load_csv("credit_scores.csv"))
    store = GradientStore(k=8, path="grad")
    commit(store, n=len(_kept_rows()), tensors=(X, y))
    for name in ("credit_scores.csv", "./credit_scores.csv", str(csv)):
        assert list(store.samples_from_source(name, _kept_rows()[:1])) == [0]


def test_an_unknown_file_is_answered_with_the_known_ones(store: GradientStore, csv: Path):
    with pytest.raises(SourceError, match=r"other\.csv is no source of .*credit_scores\.csv"):
        store.samples_from_source("other.csv", [0])
    with pytest.raises(SourceError, match="is no source"):
        store.samples_from_source(tp.lineage.MemorySource("x", n_rows=1, sha256=""), [0])


def test_rows_that_are_not_there(store: GradientStore):
    for rows in ([N], [0, 99_999], [-1]):
        with pytest.raises(
            RowError, match=r"credit_scores\.csv has no row .*: its rows are 0 to 39"
        ):
            store.samples_from_source("credit_scores.csv", rows)
    with pytest.raises(RowError, match="give ints"):
        store.samples_from_source("credit_scores.csv", ["4821"])
    for sample in (-1, len(_kept_rows())):
        with pytest.raises(RowError, match=f"no sample {sample}"):
            store.get_provenance(sample)


def test_a_filtered_row_names_the_step_that_dropped_it(store: GradientStore):
    dropped = sorted(set(range(N)) - set(_kept_rows()))
    message = rf"no sample came from row {dropped[0]}\. Row {dropped[0]} was dropped by row_filter"
    with pytest.raises(RowError, match=message):
        store.samples_from_source("credit_scores.csv", [dropped[0], _kept_rows()[0]])
    with pytest.raises(RowError, match=rf"rows 0, .*, … \({len(dropped)}\)\. Row 0 was dropped"):
        store.samples_from_source("credit_scores.csv", dropped)


def test_the_first_of_several_filters_is_named(csv: Path, tmp_path: Path):
    table = tp.load_csv(csv)
    head = table[:30]
    shuffled = head[np.random.default_rng(0).permutation(30)]
    final = np.log1p(shuffled[shuffled[:, 1] > 5])
    store = GradientStore(k=8, path=tmp_path / "grad")
    commit(store, n=len(final), tensors=(final,))
    assert store.steps == ("row_slice", "shuffle", "row_filter", "log")
    for row, step in ((35, "row_slice"), (0, "row_filter")):
        with pytest.raises(RowError, match=f"Row {row} was dropped by {step} before training"):
            store.samples_from_source("credit_scores.csv", [row])


def test_a_sample_that_no_batch_held_is_said(csv: Path, tmp_path: Path):
    X, y = _prepare(tp.load_csv(csv))
    store = GradientStore(k=8, path=tmp_path / "grad")
    n = len(_kept_rows())
    recorded = np.delete(np.arange(n), 2)
    gradients = np.zeros((n - 1, WIDTH))
    store.commit(gradients, recorded, PROJECTOR, make_record(n), (X, y))
    with pytest.raises(RowError, match="sample 2 came from these rows, but no recorded batch"):
        store.samples_from_source("credit_scores.csv", [_kept_rows()[2]])
    assert list(store.samples_from_source("credit_scores.csv", [_kept_rows()[3]])) == [3]


def test_a_changed_file_is_reported(store: GradientStore, csv: Path):
    assert GradientStore.open(store.path).get_provenance(0)  # as it was: no warning
    _write_csv(csv, offset=1000)
    opened = GradientStore.open(store.path)
    with pytest.warns(StoreWarning, match=r"credit_scores\.csv has changed since"):
        trace = opened.get_provenance(0)
    row = _kept_rows()[0]
    assert str(trace).startswith(f"credit_scores.csv row {row} (line {row + 2})")


def test_rows_of_a_changed_file_are_found_again(store: GradientStore, csv: Path):
    assert store.get_provenance(0).verify().counts == {"same bytes": 1}
    head, *rows = csv.read_text().splitlines()
    csv.write_text("\n".join([head, rows[-1], *rows[:-1]]) + "\n")
    row = _kept_rows()[0]
    with pytest.warns(StoreWarning, match="has changed since"):
        (verdict,) = GradientStore.open(store.path).get_provenance(0).verify()
    assert (verdict.state, verdict.now, verdict.line) == ("same row", row + 1, row + 3)
    assert verdict.source in store.sources


def test_removal_from_a_changed_file_is_reported(store: GradientStore, csv: Path):
    _write_csv(csv, offset=1000)
    row = _kept_rows()[0]
    with pytest.warns(StoreWarning, match="has changed since") as caught:
        assert list(store.samples_from_source(csv, [row])) == [0]
    assert caught[0].filename == __file__


def test_a_file_that_cannot_be_read_any_more_is_reported(store: GradientStore, csv: Path):
    csv.unlink()
    csv.mkdir()
    with pytest.warns(StoreWarning, match="can't be held against what was trained on"):
        assert store.get_provenance(0).trace_to_file() == f"{csv.name} row {_kept_rows()[0]}"


def test_a_file_written_again_with_the_same_bytes_has_not_changed(store, csv: Path):
    _write_csv(csv)
    assert GradientStore.open(store.path).get_provenance(0)


def test_several_files(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    north = _write_csv(tmp_path / "a" / "part.csv")
    south = _write_csv(tmp_path / "b" / "part.csv", offset=500)
    table = np.concatenate([tp.load_csv(north), tp.load_csv(south)])
    X, y = _prepare(table)
    store = GradientStore(k=8, path=tmp_path / "grad")
    commit(store, n=len(X), tensors=(X, y))
    kept = _kept_rows()
    assert list(store.samples_from_source(south, [kept[0]])) == [len(kept)]
    assert list(store.samples_from_source(north, [kept[0]])) == [0]
    with pytest.raises(SourceError, match="name of several sources"):
        store.samples_from_source("part.csv", [kept[0]])
    scores = [(0, 1.0), (1, -4.0), (len(kept), 0.5), (len(kept) + 1, 0.25)]
    sums = store.by_source(scores)
    assert {source.path: total for source, total in sums.items()} == {
        str(south): 0.75,
        str(north): -3.0,
    }
    assert next(iter(sums)) == str(south)
    assert store.by_source([]) == {}
    # An answer is summed over all samples, not over the few at its top; a part of it as it is.
    n = 2 * len(kept)
    answer = InfluenceScores(
        scores[:1], 0, 0.5, Quality("margin"), np.arange(n), np.arange(n, dtype=float)
    )
    half = n // 2
    assert list(store.by_source(answer).values()) == [
        sum(range(half, n)),
        sum(range(half)),
    ]
    assert list(store.by_source(answer[:1]).values()) == [1.0]
    for strange in (-1, n, 10**6):
        with pytest.raises(RowError, match=f"no sample {strange}"):
            store.by_source([(strange, 1.0)])


def test_labels_from_another_file_are_part_of_the_sample(csv: Path, tmp_path: Path):
    labels = _write_csv(tmp_path / "labels.csv", offset=9)
    X, y = tp.load_csv(csv)[:, :-1], tp.load_csv(labels)[:, -1]
    store = GradientStore(k=8, path=tmp_path / "grad")
    commit(store, n=N - 5, tensors=(X[5:], y[5:]))
    assert store.get_provenance(0).trace_to_file() == "credit_scores.csv row 5; labels.csv row 5"
    assert list(store.samples_from_source("labels.csv", [6])) == [1]


def test_forget_sets_of_one_store_are_joined(store: GradientStore, tmp_path: Path):
    a, b, c = _kept_rows()[:3]
    one, two = (
        opened.samples_from_source("credit_scores.csv", rows)
        for opened, rows in ((store, [a, b]), (GradientStore.open(store.path), [c, b]))
    )
    both = one | two
    assert list(both) == [0, 1, 2]
    ((source, rows),) = both.rows.items()
    assert (source.name, list(rows)) == ("credit_scores.csv", [a, b, c])
    assert list(one) == [0, 1]
    single = store.samples_from_source("credit_scores.csv", [a])
    assert repr(single) == f"ForgetSet(1 sample: credit_scores.csv row {a})"
    X, y = _prepare(tp.load_csv(_write_csv(tmp_path / "b.csv")))
    other = GradientStore(k=8, path=tmp_path / "other")
    commit(other, n=len(_kept_rows()), tensors=(X, y))
    with pytest.raises(UnlearnError, match="of two stores"):
        _ = one | other.samples_from_source("b.csv", [a])
    with pytest.raises(TypeError):
        _ = one | [1]  # type: ignore[operator]


def test_mistakes_are_told_the_way(store: GradientStore, tmp_path: Path):
    with pytest.raises(RowError, match=r"rows=0 is one number: give a list, rows=\[0\]"):
        store.samples_from_source("credit_scores.csv", rows=0)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"k='grad' is no number.*path='grad'"):
        GradientStore("grad")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"There is no store at .*nowhere"):
        GradientStore.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_record_prints_in_one_line(store: GradientStore):
    assert repr(store.record).startswith("TrainingRecord(")
    assert "inputs of shape (3,), cross_entropy (mean), penalty 0.1, epochs: 3" in repr(
        store.record
    )
    assert "\n" not in repr(store.record)


def test_the_lineage_is_there_to_be_asked(store: GradientStore):
    graph = GradientStore.open(store.path).lineage()
    assert [str(step) for step in graph.ops()] == ["normalize", "row_filter"]
    assert list(graph.sources()["credit_scores.csv"]) == _kept_rows()


def test_tensors_out_of_step_are_refused(csv: Path, tmp_path: Path):
    X, y = _prepare(tp.load_csv(csv))
    store = GradientStore(k=8, path=tmp_path / "grad")
    with pytest.raises(DataError, match="out of step with 5 training inputs"):
        commit(store, n=5, tensors=(X, y))
    assert not store.path.exists()


def test_a_damaged_provenance_file_is_found_and_said(store: GradientStore):
    file = store.path / "run-1" / "sample_rows.arrow"
    whole = file.read_bytes()
    file.write_bytes(b"\x00" * len(whole))
    opened = GradientStore.open(store.path)
    with pytest.raises(StoreError, match="can't be read"):
        opened.get_provenance(0)
    assert "run-1/sample_rows.arrow is damaged" in opened.verify().problems[0]
