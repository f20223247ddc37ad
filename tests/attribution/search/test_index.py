"""The index in a store: kept, used, dropped with the rows, refused where it doesn't fit."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from tests.attribution.search.arrays import gradients
from tests.attribution.store.runs import PROJECTOR, WIDTH, commit, make_record
from tests.naive import scan as naive
from traceprop.attribution import GradientStore, TrainingContext, compute_influence_scores
from traceprop.attribution.estimators.kept_moment import keep_moment, read_moment
from traceprop.attribution.search.index import NAME, build_index
from traceprop.attribution.search.question import ORDERS
from traceprop.attribution.search.top import index_for, top_k
from traceprop.cli import main
from traceprop.errors import AttributionError, DataError, StoreError

N = 17_000


def stored(path: Path, n: int = N, dtype: str = "int8") -> GradientStore:
    store = GradientStore(k=8, path=path, dtype=dtype)
    ids = np.random.default_rng(0).permutation(n)
    store.commit(gradients(n, WIDTH), ids, PROJECTOR, make_record(n), None)
    return store


def test_top_k_names_samples_and_rows(tmp_path: Path) -> None:
    store = stored(tmp_path / "grad", 300)
    queries = np.random.default_rng(1).standard_normal((2, WIDTH))
    found = top_k(store, queries, 10, "abs", offsets=[0.1, 0])
    scores = queries @ store.gradients.T.astype(float) + np.array([[0.1], [0]])
    for q in range(2):
        assert_array_equal(found.rows[q], naive.ranking(scores[q].astype(np.float32), 10, "abs"))
        assert_array_equal(found.samples[q], store.sample_ids[found.rows[q]])
        assert_allclose(found.scores[q], scores[q][found.rows[q]], rtol=1e-4, atol=1e-6)
    assert found.note == ""


def test_an_index_is_kept_used_and_said(tmp_path: Path) -> None:
    path = tmp_path / "grad"
    build_index(stored(path), threads=2)
    store = GradientStore.open(path)
    query = np.random.default_rng(1).standard_normal(WIDTH)
    with_index, without = (top_k(store, query, 20, use_index=use) for use in (True, False))
    assert "index" in with_index.note
    assert without.note == ""
    # Six numbers and 1,024 bits: the codes say nearly all.
    assert_array_equal(with_index.rows, without.rows)
    assert_array_equal(with_index.scores, without.scores)
    assert store.verify().ok
    assert index_for(store, 20) is index_for(store, 20)
    assert index_for(store, N) is None
    size = N * (1024 // 8 + 8)
    assert size <= store.derived(NAME).size <= size + 4 * (WIDTH + 1) * WIDTH


def test_an_index_goes_with_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "grad"
    build_index(stored(path, 40))
    appended = GradientStore(path=path, append=True)
    assert appended.derived(NAME) is not None
    ids = np.arange(40)
    appended.commit(gradients(40, WIDTH, 1), ids, PROJECTOR, make_record(40, 1), None)
    for store in (appended, GradientStore.open(path)):
        assert store.derived(NAME) is None
        assert read_moment(store) is None
        assert index_for(store, 1) is None
    assert not list((path / "derived").iterdir())


def test_a_store_that_changed_since_it_was_opened_gets_no_index(tmp_path: Path) -> None:
    path = tmp_path / "grad"
    commit(GradientStore(k=8, path=path), mark=1)
    store = GradientStore.open(path)
    commit(GradientStore(k=8, path=path, overwrite=True), mark=2)
    with pytest.raises(StoreError, match="since it was opened"):
        build_index(store)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"version": 2}, "version 2"),
        ({"rows": N + 1}, "17001 rows"),
        ({"width": 7}, "of 7 numbers"),
        ({"directions": 9}, "instead of"),
    ],
)
def test_an_index_that_doesnt_fit_is_refused(tmp_path: Path, about: dict, said: str) -> None:
    store = stored(tmp_path / "grad")
    index = build_index(store)
    store.put_derived(NAME, index.buffers(), index.about() | about)
    with pytest.raises(StoreError, match=said) as refused:
        top_k(store, np.ones(WIDTH), 1)
    assert "traceprop store index" in str(refused.value)


def test_zeros_and_repeated_rows_have_no_index(tmp_path: Path) -> None:
    zeros = GradientStore(k=8, path=tmp_path / "zeros")
    commit(zeros, mark=0)
    with pytest.raises(StoreError, match="nothing to search"):
        build_index(zeros)
    path = tmp_path / "repeats"
    commit(GradientStore(k=8, path=path), mark=1)
    store = GradientStore(path=path, append=True)
    commit(store, mark=1)
    if not store.repeats:
        pytest.skip("the store took the second run for other samples")
    with pytest.raises(StoreError, match="several stored ones"):
        build_index(store)
    assert top_k(store, np.ones(WIDTH), 2).scores[0].tolist() == [2 * WIDTH, 2 * WIDTH]


def test_wrong_questions(tmp_path: Path) -> None:
    store = stored(tmp_path / "grad", 20)
    with pytest.raises(DataError, match="rows of 6 numbers"):
        top_k(store, np.ones(5), 1)
    with pytest.raises(DataError, match="NaN"):
        top_k(store, np.full(WIDTH, np.nan), 1)
    with pytest.raises(AttributionError, match="k is 0"):
        top_k(store, np.ones(WIDTH), 0)
    with pytest.raises(StoreError, match="no store at"):
        top_k(GradientStore(path=tmp_path / "none"), np.ones(WIDTH), 1)


def test_what_is_kept_of_the_moment_is_what_was_computed(tmp_path: Path) -> None:
    path = tmp_path / "grad"
    store = stored(path, 500, "float32")
    assert read_moment(store) is None
    made = keep_moment(store)
    read = read_moment(GradientStore.open(path))
    assert_array_equal(read.mean, made.mean)
    assert_array_equal(read.second, made.second)
    rows = store.gradients.astype(float)
    assert_allclose(read.second, rows.T @ rows / 500, rtol=1e-4, atol=1e-7)
    store.put_derived("second-moment", read.buffers(), {"version": 2})
    with pytest.raises(StoreError, match="keep it anew"):
        read_moment(store)


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "grad"
    stored(path, 100)
    done = CliRunner().invoke(main, ["store", "index", str(path), "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert facts == {"rows": 100, "bytes": GradientStore.open(path).derived(NAME).size}
    done = CliRunner().invoke(main, ["store", "index", str(path), "--threads", "1"])
    assert "an index of 100 rows" in done.output
    done = CliRunner().invoke(main, ["store", "index", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "no store at" in done.output


CASES = [(method, order) for method in ("influence", "dot") for order in ORDERS]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Scores of a network's run, each by looking at all rows and by an index made then."""
    torch.manual_seed(0)
    x = torch.randn(N, 5)
    y = (x[:, 0] * x[:, 1] + 0.3 * torch.randn(N) > 0).long()
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    path = tmp_path_factory.mktemp("network") / "grad"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    loss = nn.CrossEntropyLoss()
    store = GradientStore(path=path)
    with TrainingContext(model, store, optimizer=optimizer, criterion=loss) as ctx:
        for start in range(0, N, 500):
            part = slice(start, min(N, start + 500))
            optimizer.zero_grad()
            ctx.backward(loss(model(x[part]), y[part]), samples=np.arange(N)[part])
            optimizer.step()

    def ask(store: GradientStore, method: str, order: str):
        return compute_influence_scores(model, store, x[3], 10, method=method, order=order)

    plain = {case: ask(GradientStore.open(path), *case) for case in CASES}
    build_index(GradientStore.open(path))
    return {case: (plain[case], ask(GradientStore.open(path), *case)) for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_influence_scores_by_an_index_are_those_without(answers: dict, case) -> None:
    plain, indexed = answers[case]
    assert not any("index" in note for note in plain.quality.notes)
    assert any("index" in note for note in indexed.quality.notes)
    assert [sample for sample, _ in indexed] == [sample for sample, _ in plain]
    assert_allclose([score for _, score in indexed], [score for _, score in plain], rtol=1e-6)
    assert_allclose(indexed.all_scores, plain.all_scores, rtol=1e-6, atol=1e-9)
    assert_array_equal(indexed.all_samples, plain.all_samples)


def test_scores_found_by_an_index_are_pickled_with_all_scores(answers: dict) -> None:
    _, indexed = answers["influence", "largest"]
    read = pickle.loads(pickle.dumps(indexed))  # noqa: S301 (our own bytes)
    assert read == indexed
    assert_array_equal(read.all_scores, indexed.all_scores)
    assert repr(read) == repr(indexed)
