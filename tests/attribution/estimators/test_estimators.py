from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from torch import nn

from tests.curvature.problems import N_OUTPUTS, data, linear, mlp
from tests.curvature.recorded import recorded
from tests.naive import curvature as naive_curvature
from tests.naive import influence as naive
from traceprop.attribution.estimators import ESTIMATORS, Queries, memory, problem_of
from traceprop.attribution.estimators.gauss_newton import gauss_newton_matrix
from traceprop.curvature.ggn import Network
from traceprop.curvature.losses import LossSpec
from traceprop.errors import AttributionError

# Kind, reduction and penalty: of the mean loss, and of the loss summed over the whole data.
CONVEX = [
    ("cross_entropy", "mean", 0.02),
    ("cross_entropy", "sum", 1.0),
    ("bce_with_logits", "mean", 0.02),
    ("bce_with_logits", "sum", 1.0),
]


def _fit(method, model, store):
    problem = problem_of(model, store)
    network = Network(model, problem.trained)
    return ESTIMATORS[method](problem, network, store)


def _queries(model, kind, x):
    outputs = model(x).detach()
    if kind == "cross_entropy":
        labels = outputs.argmax(1)
    elif kind == "bce_with_logits":
        labels = (outputs[:, 0] > 0).long()
    else:
        labels = torch.zeros(len(x), dtype=torch.int64)
    return Queries(x.numpy(), labels.numpy()), labels.tolist()


@pytest.fixture(scope="module")
def exact():
    """Per problem: the model at its minimum, its store, queries and retrained leave-one-outs."""
    cache = {}

    def make(kind, reduction, penalty, n=60):
        key = kind, reduction, penalty, n
        if key not in cache:
            x, y = data(kind, n=n, d=5)
            model = naive.at_minimum(linear(kind, d=5), x, y, kind, reduction, penalty)
            store = recorded(model, x, y, LossSpec(kind, reduction), penalty, batch_size=n)
            queries, labels = _queries(model, kind, data(kind, n=6, d=5, seed=9)[0])
            points = torch.from_numpy(queries.inputs)
            truth = naive.leave_one_out(model, x, y, kind, reduction, penalty, points, labels)
            cache[key] = model, store, queries, truth
        return cache[key]

    return make


@pytest.mark.parametrize(("kind", "reduction", "penalty"), CONVEX)
def test_head_influence_is_what_leave_one_out_retraining_does(exact, kind, reduction, penalty):
    model, store, queries, truth = exact(kind, reduction, penalty)
    scorer = _fit("influence", model, store)
    scores = scorer.scores(queries)
    assert scorer.quality.unit == "margin"
    assert scorer.quality.notes == ()
    assert pearsonr(scores.ravel(), truth.ravel())[0] > 0.995
    assert min(spearmanr(*pair)[0] for pair in zip(scores, truth, strict=True)) > 0.99
    # Calibrated, sign included: the size of the change itself, to second order.
    assert np.linalg.norm(scores - truth) < 0.1 * np.linalg.norm(truth)


@pytest.mark.parametrize(
    ("reduction", "penalty", "error"), [("sum", 1.0, 1e-9), ("mean", 0.02, 0.01)]
)
def test_of_ridge_regression_head_influence_is_leave_one_out(exact, reduction, penalty, error):
    """To the last digit for a summed loss; for a mean loss the penalty's share of 1/n is left."""
    model, store, queries, truth = exact("mse", reduction, penalty)
    scores = _fit("influence", model, store).scores(queries)
    assert np.linalg.norm(scores - truth) < error * np.linalg.norm(truth)


@pytest.mark.parametrize(("kind", "reduction", "penalty"), [*CONVEX, ("mse", "mean", 0.02)])
def test_loo_is_leave_one_out_retraining(exact, kind, reduction, penalty):
    model, store, queries, truth = exact(kind, reduction, penalty)
    scores = _fit("loo", model, store).scores(queries)
    # Each of the two minima is known to 1e-9, and margins have slopes of a few units.
    np.testing.assert_allclose(scores, truth, rtol=0, atol=1e-7)


def test_loo_needs_one_minimum():
    x, y = data("cross_entropy", n=12)
    for model, penalty in ((mlp("cross_entropy"), 0.1), (linear("cross_entropy"), 0.0)):
        with pytest.raises(AttributionError, match="method="):
            _fit("loo", model, recorded(model, x, y, LossSpec("cross_entropy", "mean"), penalty))


@pytest.mark.parametrize(("kind", "reduction", "penalty"), [CONVEX[0], CONVEX[3]])
def test_gauss_newton_of_a_linear_model_agrees_with_retraining(exact, kind, reduction, penalty):
    model, store, queries, truth = exact(kind, reduction, penalty)
    scorer = _fit("ggn", model, store)
    assert scorer.quality.unit == "relative"
    assert pearsonr(scorer.scores(queries).ravel(), truth.ravel())[0] > 0.97


def test_gauss_newton_scores_of_a_network_equal_the_formula():
    kind, model = "cross_entropy", mlp("cross_entropy")
    x, y = data(kind, n=12)
    store = recorded(model, x, y, LossSpec(kind, "mean"), 0.01)
    queries, labels = _queries(model, kind, data(kind, n=3, seed=5)[0])
    scorer = _fit("ggn", model, store)
    whole = naive_curvature.ggn(
        model, naive_curvature.flat(model), x, y, kind, "mean", 0.01, 1 / 12
    ).numpy()
    np.testing.assert_allclose(scorer.quality.damping, 0.01 * np.linalg.eigvalsh(whole)[-1])
    inverse = np.linalg.inv(whole + scorer.quality.damping * np.eye(len(whole)))
    rows = store.gradients.astype(np.float64)
    slopes = np.array(
        [
            naive.margin_gradient(model, kind, torch.from_numpy(q), c)
            for q, c in zip(queries.inputs, labels, strict=True)
        ]
    )
    want = -(slopes @ inverse @ (rows - rows.mean(axis=0)).T) / 12
    # The store's rows are float32.
    np.testing.assert_allclose(scorer.scores(queries), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "bce_with_logits"])
@pytest.mark.parametrize("n", [9, 90], ids=["fewer samples than numbers", "more"])
def test_fisher_and_dot_scores_equal_their_formulas(kind, n):
    model = mlp(kind)
    x, y = data(kind, n=n)
    store = recorded(model, x, y, LossSpec(kind, "mean"), 0.0)
    queries, labels = _queries(model, kind, data(kind, n=3, seed=5)[0])
    slopes = np.array(
        [
            naive.margin_gradient(model, kind, torch.from_numpy(q), c)
            for q, c in zip(queries.inputs, labels, strict=True)
        ]
    )
    scorer = _fit("influence", model, store)
    want = naive.fisher_scores(store.gradients, slopes, 0.01)
    # Gradients are kept in float32.
    np.testing.assert_allclose(scorer.scores(queries), want, rtol=1e-4, atol=1e-5 * abs(want).max())
    assert scorer.quality.unit == "relative"
    dots = _fit("dot", model, store).scores(queries)
    np.testing.assert_allclose(dots, -slopes @ store.gradients.T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["cross_entropy", "bce_with_logits"])
@pytest.mark.parametrize("n", [9, 90], ids=["fewer samples than numbers", "more"])
def test_trak_scores_equal_its_formula(kind, n):
    model = mlp(kind)
    x, y = data(kind, n=n)
    store = recorded(model, x, y, LossSpec(kind, "mean"), 0.0)
    queries, labels = _queries(model, kind, data(kind, n=3, seed=5)[0])

    def features(points, classes):
        pairs = zip(points, classes, strict=True)
        return np.array([naive.margin_gradient(model, kind, q, c) for q, c in pairs])

    phi = features(x, y.long().tolist())
    slopes = [
        torch.sigmoid(-naive.margin(kind, model(q[None]), c)).item()
        for q, c in zip(x, y.long().tolist(), strict=True)
    ]
    scorer = _fit("trak", model, store)
    # Softmax gradients sum to zero over the classes, so ΦᵀΦ is singular and needs its jitter.
    small = phi @ phi.T if n < phi.shape[1] else phi.T @ phi
    assert (scorer.quality.damping > 0) == (np.linalg.cond(small) > 1e10)
    kernel = phi.T @ phi + scorer.quality.damping * np.eye(phi.shape[1])
    of_queries = features(torch.from_numpy(queries.inputs), labels)
    want = of_queries @ np.linalg.pinv(kernel, rcond=1e-11) @ phi.T * np.array(slopes)
    got = scorer.scores(queries)
    assert np.linalg.norm(got - want) < 0.01 * np.linalg.norm(want)  # the rows are float32


def test_a_projection_keeps_the_order_of_the_scores():
    kind = "cross_entropy"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 40), nn.Tanh(), nn.Linear(40, 3)).double()
    x, y = data(kind, n=40, d=20)
    queries, _ = _queries(model, kind, data(kind, n=3, d=20, seed=5)[0])
    whole = recorded(model, x, y, LossSpec(kind, "mean"), 0.0)
    small = recorded(model, x, y, LossSpec(kind, "mean"), 0.0, k=512)
    assert small.projector.kind == "sjlt"
    pairs = zip(*(_fit("dot", model, s).scores(queries) for s in (whole, small)), strict=True)
    assert min(pearsonr(*pair)[0] for pair in pairs) > 0.95


def test_rows_are_read_in_blocks(monkeypatch):
    model = mlp("cross_entropy")
    x, y = data("cross_entropy", n=30)
    store = recorded(model, x, y, LossSpec("cross_entropy", "mean"), 0.0)
    queries, _ = _queries(model, "cross_entropy", x[:2])
    whole = _fit("influence", model, store).scores(queries)
    monkeypatch.setattr("traceprop.attribution.estimators.projected._BLOCK", 7)
    np.testing.assert_allclose(_fit("influence", model, store).scores(queries), whole, rtol=1e-9)


@pytest.mark.parametrize(
    ("penalty", "says"), [(None, "penalty of the run is unknown"), (0.0, "singular")]
)
def test_without_a_usable_penalty_the_hessian_is_damped_and_says_so(exact, penalty, says):
    model, store, queries, truth = exact("cross_entropy", "mean", 0.02)
    scorer = _fit("influence", model, store.but(penalty=penalty))
    assert scorer.quality.unit == "relative"
    assert scorer.quality.damping > 0
    assert says in scorer.quality.notes[0]
    assert pearsonr(scorer.scores(queries).ravel(), truth.ravel())[0] > 0.95


def test_least_squares_without_a_penalty_needs_no_damping():
    x, y = data("mse", n=40, d=5)
    model = naive.at_minimum(linear("mse", d=5), x, y, "mse", "mean", 0.0)
    scorer = _fit("influence", model, recorded(model, x, y, LossSpec("mse", "mean"), 0.0))
    assert scorer.quality.unit == "margin"


def test_a_model_that_was_stopped_early_is_damped_and_says_so():
    x, y = data("cross_entropy", n=40, d=5)
    model = linear("cross_entropy", d=5)
    scorer = _fit(
        "influence", model, recorded(model, x, y, LossSpec("cross_entropy", "mean"), 0.02)
    )
    assert scorer.quality.unit == "relative"
    assert "stopped further" in scorer.quality.notes[0]


def test_too_large_a_head_falls_back_to_the_store_and_says_so(monkeypatch, exact):
    monkeypatch.setattr("traceprop.attribution.estimators.MAX_DENSE", 4)
    model, store, queries, truth = exact("cross_entropy", "mean", 0.02)
    scorer = _fit("influence", model, store)
    assert "18 parameters is too large" in scorer.quality.notes[0]
    assert pearsonr(scorer.scores(queries).ravel(), truth.ravel())[0] > 0.8


def test_frozen_parameters_are_constants():
    model = mlp("cross_entropy")
    model[0].requires_grad_(False)
    x, y = data("cross_entropy", n=12)
    start = {name: p.detach().numpy().copy() for name, p in model.state_dict().items()}
    start["2.weight"] = start["2.weight"] + 1
    start["2.bias"] = start["2.bias"] + 1
    store = recorded(model, x, y, LossSpec("cross_entropy", "mean"), 0.01, initial=start)
    problem = problem_of(model, store)
    assert problem.trained == ("2.weight", "2.bias")
    assert Network(model, problem.trained).size == N_OUTPUTS["cross_entropy"] * 6
    queries, _ = _queries(model, "cross_entropy", x[:2])
    body = nn.Sequential(nn.Linear(4, 5), nn.Tanh()).double()
    body.load_state_dict({name: p for name, p in model.state_dict().items() if name[0] == "0"})
    features = body(x).detach()
    top = model[2]
    alone = recorded(top, features, y, LossSpec("cross_entropy", "mean"), 0.01)
    same = Queries(body(x[:2]).detach().numpy(), queries.classes)
    np.testing.assert_allclose(
        _fit("ggn", model, store).scores(queries), _fit("ggn", top, alone).scores(same), rtol=1e-6
    )


def test_a_frozen_bias_is_no_linear_head():
    model = nn.Linear(4, 3).double()
    x, y = data("cross_entropy")
    start = {"weight": np.zeros((3, 4)), "bias": model.bias.detach().numpy().copy()}
    store = recorded(model, x, y, LossSpec("cross_entropy", "mean"), 0.01, initial=start)
    assert problem_of(model, store).head is None


@pytest.mark.parametrize("spared", [("2.bias",), ("0.bias", "2.bias"), ("0.weight",)])
def test_gauss_newton_takes_the_penalty_by_parameter(spared):
    kind, model, penalty = "cross_entropy", mlp("cross_entropy"), 0.5
    x, y = data(kind, n=12)
    spec = LossSpec(kind, "mean")
    store = recorded(model, x, y, spec, penalty).but(unpenalised=spared)
    problem = problem_of(model, store)
    network = Network(model, problem.trained)
    bare = naive_curvature.ggn(
        model, naive_curvature.flat(model), x, y, kind, "mean", 0.0, 1 / 12
    ).numpy()
    each = [
        np.full(p.numel(), 0.0 if name in spared else penalty)
        for name, p in model.named_parameters()
    ]
    want = bare + np.diag(np.concatenate(each))
    got = gauss_newton_matrix(problem, network, store.projector)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_gauss_newton_spares_parameters_in_a_projection_too():
    """Scores in the projected space follow those of the whole, and not those with all penalised."""
    kind, penalty = "cross_entropy", 2.0
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 60), nn.Tanh(), nn.Linear(60, 3)).double()
    x, y = data(kind, n=50, d=30)
    spec, spared = LossSpec(kind, "mean"), ("0.bias", "2.bias")
    found = []
    for k in (4096, 1024):
        store = recorded(model, x, y, spec, penalty, k=k).but(unpenalised=spared)
        problem = problem_of(model, store)
        assert store.projector.kind == ("identity" if k == 4096 else "sjlt")
        matrix = gauss_newton_matrix(problem, Network(model, problem.trained), store.projector)
        assert np.linalg.eigvalsh(matrix)[0] > -1e-6
        bias = np.concatenate(
            [np.full(p.numel(), name in spared) for name, p in model.named_parameters()]
        )
        units = np.eye(len(bias), dtype=np.float32)[bias]
        rows = store.projector.project(units).astype(np.float64)
        along = rows.mean(axis=0)
        found.append(along @ matrix @ along / (along @ along))
    # What is left along the biases is the data's own curvature, and the projection's noise of it.
    assert max(found) < 0.01 * penalty


@pytest.mark.parametrize(("k", "says"), [(4096, False), (126, False), (122, True)])
def test_gauss_newton_says_where_a_projection_cannot_spare_parameters(k, says):
    """63 spared parameters: half of 126 numbers, more than half of 122."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 60), nn.Tanh(), nn.Linear(60, 3)).double()
    x, y = data("cross_entropy", n=20, d=30)
    spec = LossSpec("cross_entropy", "mean")
    store = recorded(model, x, y, spec, 2.0, k=k).but(unpenalised=("0.bias", "2.bias"))
    notes = " ".join(_fit("ggn", model, store).quality.notes)
    assert ("counted for all parameters: 63 that it spares" in notes) is says


@pytest.mark.parametrize("method", ["influence", "ggn", "trak"])
def test_matrices_that_do_not_fit_are_refused_by_their_size(method, monkeypatch):
    model, (x, y) = mlp("cross_entropy"), data("cross_entropy", n=60)
    store = recorded(model, x, y, LossSpec("cross_entropy", "mean"), 0.0)
    size = store.gradients.shape[1]
    monkeypatch.setattr(memory, "free_bytes", lambda: 3 * 8 * size**2)
    _fit(method, model, store)
    monkeypatch.setattr(memory, "free_bytes", lambda: 3 * 8 * size**2 - 1)
    with pytest.raises(AttributionError, match=f"{method} needs matrices of {size} × {size}.*k,"):
        _fit(method, model, store)
    _fit("dot", model, store)


def test_how_much_memory_is_free(monkeypatch, tmp_path):
    assert 1 << 20 < memory.free_bytes() < 1 << 50
    monkeypatch.setattr(memory, "_LIMITS", (str(tmp_path / "max"), str(tmp_path / "none")))
    (tmp_path / "max").write_text("4096\n")
    assert memory.free_bytes() == 4096
    (tmp_path / "max").write_text("max\n")
    assert memory.free_bytes() > 4096


def test_a_query_whose_gradient_overflows_is_named():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    x, y = data("cross_entropy", n=12)
    store = recorded(model, x, y, LossSpec("cross_entropy", "mean"), 0.0)
    queries = Queries(np.array([[0.0] * 4, [1e308] * 4]), np.array([0, 0]))
    with np.errstate(all="ignore"), pytest.raises(AttributionError, match="test input 1 isn't fin"):
        _fit("dot", model, store).scores(queries)
