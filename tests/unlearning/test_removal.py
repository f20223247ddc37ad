from __future__ import annotations

import copy
import json
import stat

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn

import traceprop as tp
from tests.curvature.problems import data, linear, mlp
from tests.curvature.recorded import forget, recorded
from tests.naive import influence as naive
from tests.naive.curvature import flat
from tests.naive.retrain import retrained, trained_network
from traceprop.curvature.digest import model_digest
from traceprop.curvature.losses import LossSpec
from traceprop.errors import DataError, StoreError, TracepropError, UnlearnError
from traceprop.unlearning import RemovalRecord, approximate_unlearn, record

MEAN = LossSpec("cross_entropy", "mean")


def _breast_cancer() -> tuple[torch.Tensor, torch.Tensor]:
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return torch.tensor(X), torch.tensor(y)


@pytest.fixture(scope="module", params=["cross_entropy", "bce_with_logits"])
def cancer(request):
    """A float64 model at the minimum of breast cancer, λ = 1e-3."""
    kind = request.param
    x, y = _breast_cancer()
    target = y if kind == "cross_entropy" else y.double()
    torch.manual_seed(0)
    start = nn.Linear(30, 2 if kind == "cross_entropy" else 1).double()
    model = naive.at_minimum(start, x, target, kind, "mean", 1e-3)
    return kind, model, x, target, recorded(model, x, target, LossSpec(kind, "mean"), 1e-3)


@pytest.mark.parametrize("n_forget", [1, 28, 285])
def test_exact_removal_ends_where_retraining_does(cancer, n_forget):
    kind, model, x, y, store = cancer
    gone = np.random.default_rng(n_forget).choice(len(x), n_forget, replace=False)
    keep = np.setdiff1d(np.arange(len(x)), gone)
    new = approximate_unlearn(model, forget(store, *gone))
    want = retrained(model, x[keep], y[keep], kind, "mean", 1e-3)
    distance = float((flat(new) - want).norm())
    # Oracle and removal both stop at a gradient of 1e-12 or less, so each is within 1e-9 of θ*.
    assert distance <= 1e-6 * float((flat(model) - want).norm())
    assert distance <= record(new).bound + 1e-12 / 1e-3
    assert record(new).bound < 1e-8  # mostly the allowance for the rounding of ∇J, over λ
    assert record(new).removal_class == "exact-convex"


def test_the_bound_of_a_float32_model_is_at_its_weights_as_stored(cancer):
    kind, model, x, y, _ = cancer
    single = nn.Linear(30, model.out_features)
    single.load_state_dict(model.state_dict())
    store = recorded(single, x.float(), y.to(torch.float32 if y.is_floating_point() else y.dtype),
                     LossSpec(kind, "mean"), 1e-3)  # fmt: skip
    new = approximate_unlearn(single, forget(store, 3, 4, 5))
    assert next(new.parameters()).dtype == torch.float32
    keep = np.setdiff1d(np.arange(len(x)), [3, 4, 5])
    double = nn.Linear(30, model.out_features).double()
    want = retrained(double, x.float().double()[keep], y[keep], kind, "mean", 1e-3)
    distance = float((flat(new).double() - want).norm())
    done = record(new)
    assert 1e-9 < distance <= done.bound
    assert done.bound < 1e-5
    assert done.figures["bound_float64"] < 1e-8


@pytest.mark.parametrize(
    ("kind", "reduction", "penalty"),
    [("mse", "mean", 0.1), ("mse", "sum", 1.0), ("cross_entropy", "sum", 0.5)],
)
def test_other_objectives_end_where_retraining_does(kind, reduction, penalty):
    """A summed loss over batches of half the data: the objective weighs it by that half."""
    x, y = data(kind, n=40)
    # With batches of B of n samples, (B/n) Σℓ + λ/2‖θ‖² is minimised: Σℓ with λ n/B.
    batch, effective = 20, penalty if reduction == "mean" else penalty * 40 / 20
    model = naive.at_minimum(linear(kind), x, y, kind, reduction, effective)
    store = recorded(model, x, y, LossSpec(kind, reduction), penalty, batch_size=batch)
    new = approximate_unlearn(model, forget(store, 0, 7))
    keep = np.setdiff1d(np.arange(40), [0, 7])
    effective = penalty if reduction == "mean" else penalty * 38 / 20
    want = retrained(linear(kind), x[keep], y[keep], kind, reduction, effective)
    distance, moved = (flat(new) - want).norm(), (flat(model) - want).norm()
    assert distance <= 1e-6 * moved
    assert float(distance) <= record(new).bound + 1e-12 / penalty
    assert record(new).figures["start_to_own_minimum_bound"] < 1e-9


def test_an_early_stopped_model_is_told_how_far_it_was():
    x, y = data("cross_entropy", n=40)
    model = linear("cross_entropy")
    best = naive.at_minimum(model, x, y, "cross_entropy", "mean", 0.05)
    done = record(approximate_unlearn(model, forget(recorded(model, x, y, MEAN, 0.05), 1)))
    assert done.figures["start_to_own_minimum_bound"] >= float((flat(model) - flat(best)).norm())
    assert any("stops early" in limit for limit in done.limits)


@pytest.fixture(scope="module")
def digits():
    """An MLP trained by a fixed recipe, and its recorded run."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))[:400]
    x, y = torch.tensor(X[order] / 16, dtype=torch.float32), torch.tensor(y[order])

    def make() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))

    def train(rows) -> nn.Module:
        return trained_network(make, x[rows], y[rows], steps=150, rate=1e-2, penalty=1e-3)

    model = train(np.arange(400))
    return model, x, y, train, recorded(model, x, y, MEAN, 1e-3, batch_size=400)


@pytest.mark.parametrize("choice", ["random", "hardest"])
def test_a_network_comes_nearer_to_the_retrained_one_on_the_forget_set(digits, choice):
    model, x, y, train, store = digits
    with torch.no_grad():
        losses = nn.functional.cross_entropy(model(x), y, reduction="none").numpy()
    gone = np.argsort(-losses)[:20]
    if choice == "random":
        gone = np.random.default_rng(1).choice(400, 20, replace=False)
    new = approximate_unlearn(model, forget(store, *gone))
    want = train(np.setdiff1d(np.arange(400), gone))

    def gap(candidate: nn.Module) -> float:
        with torch.no_grad():
            difference = candidate(x[gone]) - want(x[gone])
        # Softmax ignores a constant that all logits share.
        return float((difference - difference.mean(1, keepdim=True)).abs().mean())

    assert gap(new) < 0.95 * gap(model)
    done = record(new)
    assert done.removal_class == "approximate-unguaranteed"
    assert done.bound is None
    assert done.unaudited
    assert "isn't linear" in done.reason
    assert done.loss["forget"]["after"] > done.loss["forget"]["before"]
    assert abs(done.loss["retain"]["after"] - done.loss["retain"]["before"]) < 0.02


@pytest.mark.parametrize(("penalty", "why"), [(0.0, "no penalty"), (None, "unknown")])
def test_a_linear_model_without_a_known_penalty_is_never_exact(penalty, why):
    x, y = data("cross_entropy", n=40)
    model = naive.at_minimum(linear("cross_entropy"), x, y, "cross_entropy", "mean", 0.05)
    store = recorded(model, x, y, MEAN, penalty)
    done = record(approximate_unlearn(model, forget(store, 3)))
    assert done.removal_class == "approximate-unguaranteed"
    assert done.bound is None
    assert why in done.reason
    with pytest.raises(UnlearnError, match=why):
        approximate_unlearn(model, forget(store, 3), method="exact-convex")


def test_ascent_goes_up_and_is_called_a_baseline(digits):
    model, _, _, _, store = digits
    new = approximate_unlearn(model, forget(store, 5, 6), method="ascent", eta=0.1, steps=3)
    done = record(new)
    assert done.removal_class == "baseline"
    assert done.loss["forget"]["after"] > done.loss["forget"]["before"]
    assert done.unused_arguments == ()
    for bad in ({"eta": 0.1}, {"steps": 2}, {"eta": -1.0, "steps": 2}):
        with pytest.raises(UnlearnError, match="eta="):
            approximate_unlearn(model, forget(store, 5), method="ascent", **bad)


def test_the_record_is_json_without_samples_and_names_what_was_not_used(cancer):
    _, model, _, _, store = cancer
    new = approximate_unlearn(model, forget(store, 123, 77), eta=0.5)
    done = record(new)
    assert done.samples == (77, 123)
    written = done.to_dict()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert "samples" not in written
    assert "123" not in json.dumps({k: written[k] for k in ("reason", "limits", "preprocessing")})
    assert done.unused_arguments == ("eta",)
    assert (done.n_forget, done.n_retain) == (2, 567)
    assert (done.digest_before, done.digest_after) == (model_digest(model), model_digest(new))
    assert done.objective["penalty"] == 1e-3
    assert "normalize → row_filter" in done.preprocessing
    assert "was not purged" in next(x.note for x in done.left if x.kind == "gradient_store")
    assert done.forget_margin["after"] < done.forget_margin["before"]
    assert done.seconds > 0
    assert done.versions["torch"] == torch.__version__


def test_nothing_given_is_changed(digits):
    model, _, _, _, store = digits
    digest = model_digest(model)
    new = approximate_unlearn(model, forget(store, 1))
    assert model_digest(model) == digest
    assert new is not model
    assert model_digest(new) != digest


def test_data_that_are_given_are_those_that_were_recorded(cancer):
    """Any others would give a bound, and a certificate, of another model's training."""
    _, model, x, y, store = cancer
    wanted = forget(store, 8)
    plain = approximate_unlearn(model, wanted)
    tracked = tp.array(x.numpy())
    for pair in ((x.numpy(), y.numpy()), (tracked, y), [x, y[:, None]]):
        again = approximate_unlearn(model, wanted, data=pair)
        assert model_digest(again) == model_digest(plain)
        assert record(again).data == record(plain).data
    assert record(plain).data["origin"] == "store"
    assert not tracked.escapes()
    noise = np.random.default_rng(0).normal(size=x.shape)
    for pair, says in (
        ((x.numpy()[1:], y.numpy()[1:]), "all samples"),
        ((x.numpy() * np.nan, y.numpy()), "NaN"),
        ((noise, y), "inputs of data= are not those that"),
        ((x, 1 - y), "targets of data= are not those that"),
        ((x.numpy()[:, :3], y), "inputs of data= are not those that"),
        (x.numpy(), r"takes a pair"),
    ):
        with pytest.raises(DataError, match=says):
            approximate_unlearn(model, wanted, data=pair)


def test_data_that_the_store_could_not_keep_are_given_and_called_so(cancer):
    _, model, x, y, store = cancer
    without = store.but(inputs=np.empty((len(x), 0), np.float32))
    with pytest.raises(StoreError, match=r"doesn't hold the training inputs.*data="):
        approximate_unlearn(model, forget(without, 8))
    new = approximate_unlearn(model, forget(without, 8), data=(x, y))
    done = record(new)
    same = record(approximate_unlearn(model, forget(store, 8)))
    assert done.data == {"origin": "given", "sha256": same.data["sha256"]}
    assert "couldn't be held against" in done.limits[-1]


def test_a_second_removal_is_told_the_way(cancer):
    _, model, _, _, store = cancer
    new = approximate_unlearn(model, forget(store, 8))
    with pytest.raises(UnlearnError, match=r"original model.*first \| second"):
        approximate_unlearn(new, forget(store, 9))


def test_arguments_of_another_kind_are_named(cancer):
    _, model, _, _, store = cancer
    with pytest.raises(UnlearnError, match=r"forget set is a list.*samples_from_source"):
        approximate_unlearn(model, [0, 1])
    with pytest.raises(UnlearnError, match=r"model is a Forget.*approximate_unlearn\(model, "):
        approximate_unlearn(forget(store, 1), model)


def test_a_record_comes_back_in_another_process(cancer, tmp_path):
    _, model, _, _, store = cancer
    new = approximate_unlearn(model, forget(store, 123, 77))
    path = tmp_path / "new.record.json"
    record(new).save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    restored = copy.deepcopy(new)
    with pytest.raises(UnlearnError, match="no record"):
        record(restored)
    loaded = RemovalRecord.load(path, restored)
    assert record(restored) is loaded
    assert loaded.to_dict() == record(new).to_dict()
    assert (loaded.samples, loaded.left) == ((77, 123), record(new).left)
    with pytest.raises(UnlearnError, match="give the model that the removal made"):
        RemovalRecord.load(path, model)
    with pytest.raises(UnlearnError, match="can't be read"):
        RemovalRecord.load(tmp_path / "missing.json", restored)
    with pytest.raises(UnlearnError, match="can't be written"):
        loaded.save(tmp_path / "missing" / "x.json")
    body = json.loads(path.read_text())
    for damaged in ("", "[]", "{}", json.dumps({**body, "version": 1}), "[" * 100_000):
        path.write_text(damaged)
        with pytest.raises(UnlearnError, match="not the record of a removal"):
            RemovalRecord.load(path, restored)
    del body["method"]
    path.write_text(json.dumps(body))
    with pytest.raises(UnlearnError, match="not the record of a removal"):
        RemovalRecord.load(path, restored)


def test_an_unmade_model_has_no_record(digits):
    with pytest.raises(UnlearnError, match="no record"):
        record(digits[0])


@pytest.fixture
def small():
    x, y = data("cross_entropy", n=12)
    model = mlp("cross_entropy")
    y[:] = torch.tensor([0, 1] * 5 + [2, 2])
    return model, recorded(model, x, y, MEAN, 0.01)


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([], "empty"),
        (list(range(12)), "all 12 training samples"),
        ([10, 11], "all samples of class 2"),
        ([3, 99], "sample 99 was never trained on"),
    ],
)
def test_impossible_forget_sets_are_refused(small, samples, says):
    model, store = small
    digest = model_digest(model)
    with pytest.raises(UnlearnError, match=says):
        approximate_unlearn(model, forget(store, *samples))
    assert model_digest(model) == digest


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "exact-convex"}, "isn't linear"),
        ({"method": "magic"}, "no method is called 'magic'"),
        ({"tol": 0.0}, "tol is 0"),
    ],
)
def test_impossible_arguments_are_refused(small, arguments, says):
    model, store = small
    with pytest.raises(UnlearnError, match=says):
        approximate_unlearn(model, forget(store, 1), **arguments)


def test_another_models_store_and_an_unknown_loss_are_refused(small):
    model, store = small
    with pytest.raises(StoreError, match="another model"):
        approximate_unlearn(linear("cross_entropy"), forget(store, 1))
    with pytest.raises(StoreError, match="criterion="):
        approximate_unlearn(model, forget(store.but(loss=None), 1))
    summed = store.but(loss=LossSpec("cross_entropy", "sum"), batch_size=None)
    with pytest.raises(TracepropError, match="unknown size"):
        approximate_unlearn(model, forget(summed, 1))


def test_samples_that_only_part_of_the_data_was_trained_on(small):
    """The store's rows may be fewer than the data and in another order."""
    model, store = small
    order = np.array([9, 2, 4, 0, 1, 10, 11])
    store.sample_ids, store.gradients = order, store.gradients[order]
    assert record(approximate_unlearn(model, forget(store, 4))).n_retain == 6
    with pytest.raises(UnlearnError, match="sample 3 was never"):
        approximate_unlearn(model, forget(store, 3))
