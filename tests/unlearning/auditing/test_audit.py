"""The audit of a removal, and the figures that it is made of."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from tests.naive import membership as naive
from traceprop.attribution import ForgetSet, from_sklearn
from traceprop.errors import DataError, UnlearnError
from traceprop.unlearning import approximate_unlearn, audit, record
from traceprop.unlearning.auditing.membership import auc, klom, loss_attack, tpr_at, u_lira

X, Y = load_breast_cancer(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0))[:, :10]
TRAIN, TEST = np.arange(300), np.arange(300, 569)
GONE = np.arange(40)
KEEP = np.arange(40, 300)


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_all_pairs(seed):
    draw = np.random.default_rng(seed)
    hits = draw.integers(0, 8, 40).astype(float) + 1
    alarms = draw.integers(0, 8, 30).astype(float)
    assert auc(hits, alarms) == pytest.approx(naive.auc(hits, alarms))
    for rate in (0.0, 0.01, 0.05, 0.3, 1.0):
        assert tpr_at(hits, alarms, rate) == pytest.approx(naive.tpr_at(hits, alarms, rate))
    ours, theirs = draw.normal(size=(50, 3)), draw.normal(0.3, 1, size=(60, 3))
    found = klom(ours, theirs)
    for j in range(3):
        want = naive.klom(ours[:, j].tolist(), theirs[:, j].tolist())
        assert found[j] == pytest.approx(want)


def test_one_distribution_is_not_told_from_itself_and_another_is():
    draw = np.random.default_rng(0)
    same = u_lira(draw.normal(size=(40, 60)), draw.normal(size=(40, 60)))
    assert 0.5 in same.auc
    assert same.auc.half_width < 0.05
    apart = u_lira(draw.normal(2, 1, size=(40, 60)), draw.normal(size=(40, 60)))
    assert apart.auc.low > 0.85
    assert apart.tpr_at_1.low > 0.1
    equal = np.ones((6, 5))
    assert u_lira(equal, equal).auc.value == 0.5
    assert u_lira(equal, equal).tpr_at_5.value == pytest.approx(0.05)
    np.testing.assert_array_equal(klom(equal, equal), 0.0)
    np.testing.assert_array_equal(klom(equal, equal + 1), 12.0)
    with pytest.raises(DataError, match="4 or more"):
        u_lira(equal[:3], equal)
    with pytest.raises(DataError, match="same samples"):
        klom(equal, equal[:, :2])


def test_over_forgetting_is_seen_by_the_loss_attack():
    losses = np.random.default_rng(0).exponential(size=400)
    assert 0.5 in loss_attack(losses[:200], losses[200:]).auc
    assert loss_attack(losses[:200] * 3, losses[200:]).auc.high < 0.45  # as tell-tale as above
    assert loss_attack(losses[:200] / 3, losses[200:]).auc.low > 0.55


@pytest.fixture(scope="module")
def removed(tmp_path_factory):
    estimator = LogisticRegression(C=10, tol=1e-8, solver="newton-cholesky").fit(X[TRAIN], Y[TRAIN])
    store = from_sklearn(estimator, X[TRAIN], Y[TRAIN], tmp_path_factory.mktemp("run") / "grad")
    again = clone(estimator).fit(X[KEEP], Y[KEEP])
    return estimator, ForgetSet(GONE, {}, store), again


def test_an_exact_removal_closes_the_gap_from_both_sides(removed):
    estimator, forget_set, again = removed
    new = approximate_unlearn(estimator, forget_set)
    assert record(new).unaudited
    found = audit(
        estimator, new, forget_set, retrained=[again, again], test=(X[TEST], Y[TEST]),
        retraining_seconds=1.5,
    )  # fmt: skip
    forget = found.parts["forget"]
    assert forget.gap_closed == pytest.approx(1, abs=1e-3)
    assert forget.logits_after < 1e-3 * forget.logits_before
    assert forget.logits_again == 0.0
    want = estimator.decision_function(X[GONE]) - again.decision_function(X[GONE])
    assert forget.logits_before == pytest.approx(np.abs(want).mean())
    assert found.parts["test"].accuracy_after == again.score(X[TEST], Y[TEST])
    assert found.parts["retain"].accuracy_before == estimator.score(X[KEEP], Y[KEEP])
    assert found.retraining_seconds == 1.5
    assert not record(new).unaudited
    assert json.loads(json.dumps(found.to_dict()))["n_retrained"] == 2
    assert "100.0% of the gap closed" in repr(found)


def test_without_a_reference_it_stays_unaudited(removed):
    estimator, forget_set, _ = removed
    new = approximate_unlearn(estimator, forget_set)
    found = audit(estimator, new, forget_set, test=(X[TEST], Y[TEST]))
    assert found.parts["forget"].gap_closed is None
    assert found.attack_after is not None
    assert record(new).unaudited
    with pytest.raises(UnlearnError, match="no record"):
        audit(estimator, estimator, forget_set)
    with pytest.raises(DataError, match="2 inputs and 3 targets"):
        audit(estimator, new, forget_set, test=(X[:2], Y[:3]))


def test_ascent_is_seen_to_go_too_far(removed):
    estimator, forget_set, again = removed
    new = approximate_unlearn(estimator, forget_set, method="ascent", eta=50.0, steps=30)
    found = audit(estimator, new, forget_set, retrained=[again])
    assert found.parts["forget"].gap_closed > 1.5


def test_runs_of_one_distribution_pass_and_untouched_ones_fail(removed, tmp_path):
    """Runs differ in the draw of the rows that stay; noise is that of the data."""
    estimator, forget_set, _ = removed
    new = approximate_unlearn(estimator, forget_set)
    draw = np.random.default_rng(0)
    pairs, untouched = [], []
    for _ in range(8):
        rows = draw.choice(KEEP, 200, replace=False)
        without = clone(estimator).fit(X[rows], Y[rows])
        other = draw.choice(KEEP, 200, replace=False)
        pairs.append((clone(estimator).fit(X[other], Y[other]), without))
        kept = np.r_[GONE, other]
        untouched.append((clone(estimator).fit(X[kept], Y[kept]), without))
    fair = audit(estimator, new, forget_set, runs=pairs)
    unfair = audit(estimator, new, forget_set, runs=untouched)
    assert fair.n_runs == 8
    assert unfair.u_lira.auc.value > fair.u_lira.auc.value
    assert unfair.klom >= fair.klom_floor


def test_networks_are_compared_up_to_what_all_classes_share():
    from traceprop.curvature.losses import LossSpec
    from traceprop.unlearning.auditing.against_retraining import _apart

    one = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert _apart(LossSpec("cross_entropy", "mean"), one, one + 4) == pytest.approx(0, abs=1e-6)
    assert _apart(LossSpec("bce_with_logits", "mean"), one, one + 4) == pytest.approx(4)
