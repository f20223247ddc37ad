"""Error bars against exact scores over seeds, agreement of checkpoints, and what notes say."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from tests.curvature.problems import data
from tests.curvature.recorded import recorded
from traceprop.attribution import GradientStore, TrainingContext, compute_influence_scores
from traceprop.attribution.estimators import ESTIMATORS, Queries, problem_of
from traceprop.attribution.estimators.uncertainty import standard_errors
from traceprop.attribution.influence import influence_matrix
from traceprop.attribution.projection import Projector
from traceprop.attribution.question import Loss
from traceprop.curvature.ggn import Network
from traceprop.curvature.losses import LossSpec

KIND = "cross_entropy"
N, D = 150, 30


@pytest.fixture(scope="module")
def exact():
    """A network of 1,567 parameters that was trained, its exact rows, and queries."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(D, 46), nn.Tanh(), nn.Linear(46, 3)).double()
    x, _ = data(KIND, n=N, d=D)
    y = (x[:, :3] @ torch.eye(3, dtype=torch.float64)).argmax(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=1e-3)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    store = recorded(model, x, y, LossSpec(KIND, "mean"), 1e-3, batch_size=N)
    asked = data(KIND, n=3, d=D, seed=5)[0]
    queries = Queries(asked.numpy(), model(asked).argmax(1).numpy())
    return model, store, queries


def _fit(method, model, store):
    problem = problem_of(model, store)
    return ESTIMATORS[method](problem, Network(model, problem.trained), store)


def _projected(store, k, seed, n=None):
    projector = Projector(store.projector.blocks, k=k, seed=seed)
    assert projector.kind == "sjlt"
    return replace(store, projector=projector, gradients=projector.project(store.gradients))


@pytest.mark.parametrize(
    ("method", "k"), [("dot", 256), ("influence", 100), ("influence", 512), ("ggn", 512)]
)
def test_error_bars_hold_the_exact_scores_as_often_as_they_say(exact, method, k):
    model, store, queries = exact
    chosen = np.arange(0, N, 3)
    want = _fit(method, model, store).scores(queries)[:, chosen]
    scale = []
    for seed in range(30 if method != "ggn" else 12):
        small = _projected(store, k, seed)
        scorer = _fit(method, model, small)
        errors = standard_errors(scorer, queries, chosen, small.projector)
        assert errors.shape == want.shape
        scale.append((scorer.scores(queries)[:, chosen] - want) / errors)
    z = np.abs(np.array(scale))
    # A normal error would give 0.683 and 0.954.
    assert 0.60 < (z < 1).mean() < 0.80
    assert 0.91 < (z < 1.96).mean() < 0.99


def test_few_samples_and_few_numbers_have_the_same_error_bars(exact):
    """The same matrix inverted in samples and in numbers."""
    model, store, queries = exact
    small = _projected(store, 151, 0)
    scorer = _fit("influence", model, small)
    assert scorer._in_samples
    found = standard_errors(scorer, queries, np.arange(9), small.projector)
    rows = small.gradients.astype(np.float64)
    fisher = rows.T @ rows / N + scorer.quality.damping * np.eye(151)
    u = np.linalg.solve(fisher, scorer._queries.rows(queries).T).T
    v = np.linalg.solve(fisher, (rows[:9] - rows.mean(0)).T).T / N
    delta, k = scorer.quality.damping, 151
    kept = np.linalg.eigvalsh(fisher) - delta
    d1, d2 = (kept / (kept + delta)).sum(), ((kept / (kept + delta)) ** 2).sum()
    squares = (u**2).sum(1)[:, None] * (v**2).sum(1) + (u @ v.T) ** 2
    variance = delta**2 * squares / k * (1 - d2 / k) / (1 - d1 / k) ** 2
    shift = (delta / (1 - d1 / k) - delta) * (1 - d2 / k) * (u @ v.T)
    np.testing.assert_allclose(found, np.sqrt(variance + shift**2), rtol=1e-4)


def test_what_is_not_projected_has_no_error_and_trak_no_formula(exact):
    model, store, queries = exact
    for method in ("dot", "influence", "trak"):
        errors = standard_errors(_fit(method, model, store), queries, np.arange(4), store.projector)
        np.testing.assert_array_equal(errors, np.zeros((3, 4)))
    small = _projected(store, 64, 0)
    assert (
        standard_errors(_fit("trak", model, small), queries, np.arange(4), small.projector) is None
    )


def _train(path, *, k=4096, epochs="each", passes=3, model=None, seed=None, **options):
    x, y = data(KIND, n=40, d=12)
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 3))
    store = GradientStore(path=path, k=k, seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    order = np.random.default_rng(1)
    with TrainingContext(model, store, epochs=epochs, **options) as ctx:
        for _ in range(passes):
            for i, batch in enumerate(np.array_split(order.permutation(40), 4)):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x[batch].float()), y[batch])
                ctx.backward(loss, batch_idx=i, samples=batch)
                optimizer.step()
    return model, GradientStore.open(path)


QUERY = np.random.default_rng(2).standard_normal(12)


def test_error_bars_of_sums_over_checkpoints(tmp_path):
    model, whole = _train(tmp_path / "whole", keep_weights=True)
    want = compute_influence_scores(model, whole, QUERY, top_k=40, method="tracin")
    assert not want.standard_errors.any()
    want = dict(want)
    scale = []
    for seed in range(25):
        model, store = _train(tmp_path / str(seed), k=128, seed=seed, keep_weights=True)
        found = compute_influence_scores(model, store, QUERY, top_k=40, method="tracin")
        off = np.array([score - want[sample] for sample, score in found])
        scale.append(off / found.standard_errors)
    z = np.abs(np.array(scale))
    assert 0.58 < (z < 1).mean() < 0.80
    assert 0.90 < (z < 1.96).mean() < 0.99


@pytest.mark.parametrize("method", ["influence", "ggn", "dot", "tracin"])
def test_agreement_is_the_mean_rank_correlation_of_checkpoints(tmp_path, method):
    model, store = _train(tmp_path / "grad", keep_weights=True)
    scores = compute_influence_scores(model, store, QUERY, method=method, target=0)
    parts = []
    for number in (1, 2, 3):
        if method == "tracin":
            _, one = _train(tmp_path / f"{number}", epochs=[number], keep_weights=True)
            found = influence_matrix(model, one, QUERY[None], method=method, target=0)
            parts.append(found.scores[0])
            continue
        rows = store.checkpoints()[number - 1].rows
        scorer = _fit(method, model, store)
        vectors = {
            "dot": lambda s: s._queries.rows(ASKED),
            "ggn": lambda s: s._factor.solve(s._queries.rows(ASKED)),
            "influence": lambda s: (
                np.linalg.solve(
                    store.gradients.T.astype(float) @ store.gradients / 40
                    + s.quality.damping * np.eye(store.gradients.shape[1]),
                    s._queries.rows(ASKED).T,
                ).T
            ),
        }[method](scorer)
        parts.append(-(vectors @ rows[:].T)[0][np.argsort(rows.sample_ids)])
    pairs = [(a, b) for i, a in enumerate(parts) for b in parts[:i]]
    want = np.mean([spearmanr(a, b)[0] for a, b in pairs])
    assert scores.agreement == pytest.approx(want, abs=1e-3)
    again = pickle.loads(pickle.dumps(scores))  # noqa: S301
    assert again.agreement == scores.agreement
    np.testing.assert_array_equal(again.standard_errors, scores.standard_errors)
    assert copy.deepcopy(scores).agreement == scores.agreement


ASKED = Queries(QUERY[None], np.array([0]))


def test_one_checkpoint_agrees_with_none(tmp_path):
    model, store = _train(tmp_path / "grad", epochs="sum")
    assert compute_influence_scores(model, store, QUERY).agreement is None
    assert compute_influence_scores(model, store, QUERY, method="trak").agreement is None


def test_the_error_of_a_loss_is_that_of_the_margin_along_its_slope(tmp_path):
    model, store = _train(tmp_path / "grad", k=64)
    one = compute_influence_scores(model, store, QUERY, top_k=40, target=1)
    loss = compute_influence_scores(model, store, QUERY, top_k=40, target=Loss(1))
    ratio = np.abs(loss[0][1] / dict(one)[loss[0][0]])
    errors = {s: e for (s, _), e in zip(one, one.standard_errors, strict=True)}
    for (sample, _), error in zip(loss, loss.standard_errors, strict=True):
        assert error == pytest.approx(ratio * errors[sample])
    assert (loss.standard_errors > 0).all()


def test_notes_say_what_is_outside_of_the_formulas(tmp_path):
    def notes(model, **options):
        model, store = _train(tmp_path / f"{len(list(tmp_path.iterdir()))}", model=model, **options)
        return " ".join(compute_influence_scores(model, store, QUERY).quality.notes)

    assert "isn't at a minimum" in notes(None, passes=1)
    torch.manual_seed(0)
    dropped = nn.Sequential(nn.Linear(12, 20), nn.Dropout(0.2), nn.Linear(20, 3))
    assert "dropout" in notes(dropped)
    assert "dropout" not in notes(nn.Sequential(nn.Linear(12, 20), nn.Dropout(0), nn.Linear(20, 3)))
    mixed = nn.Sequential(nn.Linear(12, 20), nn.BatchNorm1d(20), nn.Linear(20, 3))
    with pytest.warns(Warning, match="BatchNorm"):
        assert "BatchNorm" in notes(mixed)


def test_a_model_at_its_minimum_has_no_note_of_it(exact):
    x, y = data(KIND, n=30, d=4)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2000, tolerance_grad=1e-9)

    def closure():
        optimizer.zero_grad()
        penalty = sum((p**2).sum() for p in model.parameters())
        loss = nn.functional.cross_entropy(model(x), y) + 0.05 / 2 * penalty
        loss.backward()
        return loss

    optimizer.step(closure)
    store = recorded(model, x, y, LossSpec(KIND, "mean"), 0.05)
    assert _fit("influence", model, store).quality.notes == ()
    # At ten times the penalty it isn't a minimum.
    found = _fit("influence", model, store.but(penalty=0.5)).quality.notes
    assert "isn't at a minimum" in found[0]
