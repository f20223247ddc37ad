from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import traceprop as tp
from tests.curvature.problems import data, linear, mlp
from tests.curvature.recorded import recorded
from tests.naive.influence import at_minimum, leave_one_out
from traceprop.attribution import compute_influence_scores, fitted, influence
from traceprop.attribution.influence import influence_matrix
from traceprop.curvature.losses import LossSpec
from traceprop.errors import AttributionError, DataError, StoreError

MEAN = LossSpec("cross_entropy", "mean")


@pytest.fixture(scope="module")
def run():
    x, y = data("cross_entropy", n=30)
    model = at_minimum(linear("cross_entropy"), x, y, "cross_entropy", "mean", 0.02)
    return model, recorded(model, x, y, MEAN, 0.02), x, y


QUERY = np.array([0.3, -0.2, 0.9, 0.1])


def test_the_largest_scores_first_as_plain_pairs(run):
    model, store, x, y = run
    scores = compute_influence_scores(model, store, QUERY, top_k=5)
    assert isinstance(scores, list)
    assert [type(value) for value in scores[0]] == [int, float]
    values = [score for _, score in scores]
    assert values == sorted(values, reverse=True)
    label = int(model(torch.from_numpy(QUERY)[None]).argmax())
    truth = leave_one_out(
        model, x, y, "cross_entropy", "mean", 0.02, torch.from_numpy(QUERY)[None], [label]
    )[0]
    assert scores[0][0] == np.argmax(truth)
    assert scores.target == label
    assert scores.quality.unit == "margin"
    outputs = model(torch.from_numpy(QUERY)[None])[0].detach()
    p = outputs.softmax(0)[label]
    np.testing.assert_allclose(scores.margin, torch.log(p / (1 - p)), rtol=1e-10)


def test_orders(run):
    model, store, *_ = run
    everything = dict(compute_influence_scores(model, store, QUERY, top_k=1000))
    assert len(everything) == 30
    against = compute_influence_scores(model, store, QUERY, top_k=3, order="against")
    assert [s for _, s in against] == sorted(everything.values())[:3]
    strongest = compute_influence_scores(model, store, QUERY, top_k=3, order="abs")
    assert [s for _, s in strongest] == sorted(everything.values(), key=abs, reverse=True)[:3]


def test_any_form_of_the_test_input_gives_the_same_scores(run):
    model, store, *_ = run
    want = compute_influence_scores(model, store, QUERY)
    tracked = tp.array(QUERY)
    forms = [QUERY[None], QUERY.tolist(), torch.from_numpy(QUERY), tracked]
    for form in forms:
        assert compute_influence_scores(model, store, form) == want
    assert not tracked.escapes()


def test_several_inputs_at_once_are_the_single_ones(run):
    model, store, x, _ = run
    several = influence_matrix(model, store, x[:4])
    assert several.scores.shape == (4, 30)
    for i in range(4):
        single = influence_matrix(model, store, x[i : i + 1])
        np.testing.assert_allclose(several.scores[i], single.scores[0], rtol=1e-10)
        assert several.targets[i] == single.targets[0]


def test_the_other_class_of_two_has_the_opposite_scores():
    x, y = data("bce_with_logits", n=20)
    spec = LossSpec("bce_with_logits", "mean")
    model = at_minimum(linear("bce_with_logits"), x, y, "bce_with_logits", "mean", 0.02)
    store = recorded(model, x, y, spec, 0.02)
    one = influence_matrix(model, store, QUERY[None], target=1)
    zero = influence_matrix(model, store, QUERY[None], target=0)
    np.testing.assert_allclose(one.scores, -zero.scores, rtol=1e-12)


@pytest.mark.parametrize("method", ["influence", "ggn", "trak", "dot"])
def test_a_network_answers_by_every_method(method):
    x, y = data("cross_entropy", n=20)
    model = mlp("cross_entropy")
    store = recorded(model, x, y, MEAN, 0.0)
    scores = compute_influence_scores(model, store, QUERY, top_k=20, method=method)
    assert len(scores) == 20
    assert scores.quality.unit == "relative"


def test_images_are_inputs_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).double()
    x = torch.randn(10, 1, 4, 4, dtype=torch.float64)
    store = recorded(model, x, torch.arange(10) % 3, MEAN, 0.0)
    single = compute_influence_scores(model, store, x[0])
    assert single == compute_influence_scores(model, store, x[:1])


def test_an_estimator_is_fitted_once_and_dies_with_its_model(run, monkeypatch):
    *_, x, y = run
    model = linear("cross_entropy")
    own = recorded(model, x, y, MEAN, 0.02)
    compute_influence_scores(model, own, QUERY)
    monkeypatch.setattr(fitted, "problem_of", None)
    compute_influence_scores(model, own, QUERY)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"test_input": QUERY[:3]}, DataError, r"shape \(3,\).*shape \(4,\)"),
        ({"test_input": np.ones((2, 4))}, DataError, "give one input"),
        (
            {"test_input": np.array([1.0, np.nan, 0.0, 0.0])},
            DataError,
            "NaN or infinite at column 1",
        ),
        ({"test_input": np.array(list("abcd"))}, DataError, "isn't numeric"),
        ({"test_input": np.float64(3.0)}, DataError, r"shape \(\)"),
        ({"target": 3}, AttributionError, "no class 3.*3 classes, 0 to 2"),
        ({"target": -1}, AttributionError, "no class -1"),
        ({"method": "magic"}, AttributionError, "dot, ggn, influence, loo, tracin, trak"),
        ({"order": "first"}, AttributionError, "no order is called 'first'"),
        ({"top_k": 0}, AttributionError, "top_k is 0"),
        ({"top_k": None}, AttributionError, "top_k is None; give a whole number"),
        ({"target": "a"}, AttributionError, "target is 'a'; give the number of one of the 3"),
        ({"target": 1.5}, AttributionError, "target is 1.5"),
    ],
)
def test_wrong_questions_are_named(run, arguments, error, says):
    model, store, *_ = run
    with pytest.raises(error, match=says):
        compute_influence_scores(model, store, **{"test_input": QUERY, **arguments})


def test_a_path_or_swapped_arguments_are_named(run):
    model, store, *_ = run
    with pytest.raises(AttributionError, match=r"store is a str; open it with GradientStore"):
        compute_influence_scores(model, "./grad", QUERY)
    with pytest.raises(AttributionError, match=r"compute_influence_scores\(model, store, "):
        compute_influence_scores(store, model, QUERY)
    with pytest.raises(AttributionError, match="model is a str"):
        influence.influence_matrix("model.pt", store, QUERY[None])


def test_an_answer_says_its_unit_and_keeps_all_scores(run):
    model, store, *_ = run
    scores = compute_influence_scores(model, store, QUERY, top_k=2)
    assert repr(scores).startswith("InfluenceScores(2 of 30 samples, unit margin, margin ")
    assert (
        dict(zip(scores.all_samples, scores.all_scores, strict=True))[scores[0][0]]
        == (scores[0][1])
    )


def test_a_regression_with_several_outputs_wants_a_target():
    x, y = data("mse", n=10)
    model = linear("mse")
    store = recorded(model, x, y, LossSpec("mse", "mean"), 0.1)
    with pytest.raises(AttributionError, match="predicts 2 values"):
        compute_influence_scores(model, store, QUERY)
    assert compute_influence_scores(model, store, QUERY, target=1).target == 1


def test_stores_that_cannot_answer_are_named(run):
    model, store, *_ = run
    with pytest.raises(StoreError, match="another model"):
        compute_influence_scores(linear("cross_entropy"), store, QUERY)
    with pytest.raises(StoreError, match="criterion="):
        compute_influence_scores(model, store.but(loss=None), QUERY)
    empty = store.but()
    empty.record = None
    with pytest.raises(StoreError, match="holds no run"):
        compute_influence_scores(model, empty, QUERY)


def test_a_model_changed_since_the_last_question_is_noticed(run):
    _, _, x, y = run
    model = linear("cross_entropy")
    store = recorded(model, x, y, MEAN, 0.02)
    compute_influence_scores(model, store, QUERY)
    with torch.no_grad():
        model[1].weight += 1
    with pytest.raises(StoreError, match="another model"):
        compute_influence_scores(model, store, QUERY)
