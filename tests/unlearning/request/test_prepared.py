"""The preparation forgets too: removals that begin with a replay without the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import traceprop as tp
from tests.naive.retrain import retrained_weights
from traceprop.attribution import GradientStore, TrainingContext
from traceprop.cli import main
from traceprop.errors import UnlearnError
from traceprop.unlearning import approximate_unlearn, preparation, record

PENALTY = 1e-2
ROWS = [3, 5, 11]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A softmax model on rows that are filtered, scaled by their own mean and std, from a CSV."""
    folder = tmp_path_factory.mktemp("run")
    path = folder / "t.csv"
    rng = np.random.default_rng(0)
    table = rng.normal(size=(80, 4)) * [1, 5, 0.1, 2] + [0, 3, 1, 0]
    label = table[:, 0] + 0.5 * rng.normal(size=80) > 0
    np.savetxt(path, np.c_[table, label], delimiter=",", header="a,b,c,d,y", comments="")
    X, y = prepared(tp.load_csv(path))
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=PENALTY)
    store = GradientStore(path=folder / "grad")
    data = tp.torch.dataset(X, y)
    with TrainingContext(model, store) as context:
        for _ in range(400):
            inputs, labels = data[np.arange(len(X))]
            optimizer.zero_grad()
            context.backward(nn.functional.cross_entropy(model(inputs), labels))
            optimizer.step()
    opened = GradientStore.open(store.path)
    return model, opened, opened.samples_from_source(path, rows=ROWS), path


def prepared(table):
    """The program, which runs on tracked tables and on plain arrays."""
    X, y = table[:, :4], table[:, 4]
    wanted = X[:, 1] > X[:, 1].mean() - 4
    X, y = X[wanted], y[wanted]
    return (X - X.mean(axis=0)) / X.std(axis=0), y.astype(np.int64)


def test_the_model_is_the_one_of_a_file_that_never_had_the_rows(run):
    model, _, forget_set, path = run
    new = approximate_unlearn(model, forget_set)
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    X, y = prepared(np.delete(table, ROWS, axis=0))
    want = retrained_weights(X.astype(np.float32).astype(np.float64), y, penalty=PENALTY)
    theta = torch.cat([p.detach().double().reshape(-1) for p in new.parameters()]).numpy()
    done = record(new)
    assert np.linalg.norm(theta - want) <= done.bound < 1e-5
    assert done.n_retain == len(X)
    # Prepared as before, it would be another model.
    kept = approximate_unlearn(model, forget_set, replay=False)
    assert float((kept.weight - new.weight).detach().norm()) > 100 * done.bound
    # New inputs, the removed rows among them, go through the new preparation.
    rest = np.delete(table, ROWS, axis=0)
    inside = rest[:, 1] > rest[:, 1].mean() - 4
    mean, std = rest[inside, :4].mean(axis=0), rest[inside, :4].std(axis=0)
    again = tp.apply(preparation(new), table[ROWS])
    np.testing.assert_allclose(again, (table[ROWS, :4] - mean) / std, rtol=1e-9)
    inputs = torch.tensor(again, dtype=torch.float32)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(new(inputs), torch.tensor(table[ROWS, 4]).long())
    assert done.loss["forget"]["after"] == pytest.approx(float(loss), rel=1e-5)


def test_the_record_says_what_moved_and_no_value(run):
    model, _, forget_set, _ = run
    new = approximate_unlearn(model, forget_set)
    done = record(new)
    assert {each["step"] for each in done.replayed["statistics"]} >= {"std"}
    assert all("before" not in each for each in done.replayed["statistics"])
    assert len(done.replayed["pipeline_sha256"]) == 64
    assert done.preprocessing.startswith("Replayed without the rows")
    assert "still contain" not in done.preprocessing
    kept = record(approximate_unlearn(model, forget_set, replay=False))
    assert kept.replayed is None
    assert "replay=False" in kept.preprocessing
    assert "still contain the removed rows" in kept.preprocessing


def test_a_changed_source_keeps_the_old_preparation_and_says_why(run):
    model, _, forget_set, path = run
    content = path.read_bytes()
    try:
        path.write_bytes(content.replace(b"e+00", b"e-01", 1))
        new = approximate_unlearn(model, forget_set)
        assert record(new).replayed is None
        assert "Not replayed (a source can't be read again" in record(new).preprocessing
        assert str(path) not in record(new).preprocessing
        assert "still contain the removed rows" in record(new).preprocessing
        with pytest.raises(UnlearnError, match="has no new preparation"):
            preparation(new)
        with pytest.raises(UnlearnError, match="can't be done again without the rows"):
            approximate_unlearn(model, forget_set, replay=True)
    finally:
        path.write_bytes(content)


def test_a_gauss_newton_step_starts_from_the_new_data(run):
    model, _, forget_set, _ = run
    new = approximate_unlearn(model, forget_set, method="gauss-newton")
    exact = approximate_unlearn(model, forget_set)
    assert record(new).replayed is not None
    gap = float((new.weight - exact.weight).detach().norm())
    assert gap < 0.5 * float((model.weight - exact.weight).detach().norm())


def test_the_command_writes_the_new_preparation_beside_the_weights(run, tmp_path):
    _, store, _, path = run
    rows = ["--source", str(path), "--rows", "3,5,11"]
    places = [
        "--out",
        str(tmp_path / "n.npz"),
        "--certificate",
        str(tmp_path / "c.json"),
        "--draft",
    ]
    done = CliRunner().invoke(main, ["unlearn", str(store.path), "--no-purge", *rows, *places])
    assert done.exit_code == 0, done.output
    assert "Replayed without the rows" in done.output
    pipeline = tp.load_pipeline(tmp_path / "n.prepare.arrow")
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    new = approximate_unlearn(run[0], run[2])
    np.testing.assert_array_equal(
        tp.apply(pipeline, table[:2]), tp.apply(preparation(new), table[:2])
    )
    again = CliRunner().invoke(main, ["unlearn", str(store.path), "--no-purge", *rows, *places])
    assert again.exit_code == 1
