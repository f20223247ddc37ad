"""The minimum without rows: where a solver of another kind ends, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.curvature.problems import data, linear
from tests.curvature.recorded import recorded
from tests.naive.curvature import flat
from tests.naive.retrain import retrained
from traceprop.attribution.estimators.problem import problem_of
from traceprop.curvature import objective
from traceprop.curvature.cg import CGResult
from traceprop.curvature.ggn import write_back
from traceprop.curvature.losses import LossSpec
from traceprop.curvature.objective import data_scale
from traceprop.curvature.without import many_minima, minimum_without
from traceprop.errors import DataError

MEAN = LossSpec("cross_entropy", "mean")


@pytest.fixture
def case():
    model = linear("cross_entropy")
    x, y = data("cross_entropy", n=30)
    return model, x, y, problem_of(model, recorded(model, x, y, MEAN, 0.1))


@pytest.mark.parametrize("gone", [[], [0], [3, 7, 29]])
def test_it_is_where_training_on_the_rest_ends(case, gone):
    model, x, y, problem = case
    start = problem.head.pack(model.state_dict())
    found = minimum_without(problem, np.array(gone, dtype=np.int64), start, distance=1e-10)
    keep = np.setdiff1d(np.arange(30), gone)
    want = retrained(linear("cross_entropy"), x[keep], y[keep], "cross_entropy", "mean", 0.1)
    got = flat(write_back(model, problem.head.unpack(found.theta)))
    np.testing.assert_allclose(got, want, atol=1e-9)
    assert found.gradient_norm <= 1e-11


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"penalty": None}, "unknown"), ({"penalty": 0.0}, "no penalty"), ({"head": None}, "linear")],
)
def test_why_there_may_be_many_minima(case, changes, why):
    assert many_minima(case[-1]) is None
    assert why in many_minima(dataclasses.replace(case[-1], **changes))


def test_a_solve_that_does_not_converge_is_an_error(case, monkeypatch):
    """It used to return whatever conjugate gradients had reached."""
    problem = case[-1]
    monkeypatch.setattr(objective, "MAX_DENSE", 1)
    whole = problem.head_objective()
    theta = np.zeros(whole.size)
    solved = whole.solve(theta, np.ones_like(theta))
    np.testing.assert_allclose(whole.hessian_product(theta, solved[None])[0], 1.0, rtol=1e-6)

    def short(product, rhs, **_):
        return CGResult(rhs, np.array([0.5]), 3, False)

    monkeypatch.setattr(objective, "conjugate_gradient", short)
    with pytest.raises(np.linalg.LinAlgError, match=r"residual of 5\.0e-01"):
        whole.solve(theta, np.ones_like(theta))
    with pytest.raises(np.linalg.LinAlgError):
        minimum_without(problem, np.array([0]), theta, distance=1e-9)


def test_one_sample_is_too_few_to_leave_one_out(case):
    """It used to divide by zero."""
    problem = dataclasses.replace(case[-1], samples=np.array([0]))
    with pytest.raises(DataError, match="1 training sample"):
        problem.removal_weights()
    with pytest.raises(DataError, match="no samples"):
        data_scale(MEAN, 0, 8)
