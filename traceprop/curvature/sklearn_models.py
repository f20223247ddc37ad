"""Fitted scikit-learn models seen as what the rest of the product works on: a module and a loss.

Promise: the module computes the estimator's own decision values, in float64, from the very numbers
of `coef_` and `intercept_`; the loss and the penalty are those that its `fit` minimises, by the
formulas in scikit-learn's user guide, with the intercept spared where the solver spares it. What
has no such form (weights of classes, another penalty, another loss) is refused by name. A model is
recognised by its exact type: a subclass may do something else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.losses import LossSpec
from traceprop.errors import DataError, ModelError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class SklearnModel:
    """A fitted estimator as a module.

    Parameters
    ----------
    estimator : estimator
        The last step of the pipeline, or the estimator itself.
    module : torch.nn.Module
        In float64; its parameters are named as torch names them (`weight`, `bias`, `0.weight` …).
    classes : ndarray or None
        The label of each class; None for a regression.
    preparation : object or None
        The steps before the last of a pipeline; None without any.
    """

    estimator: Any
    module: nn.Module
    classes: NDArray[Any] | None
    preparation: Any

    def targets(self, labels: Any) -> NDArray[Any]:
        """Return labels as the loss takes them: the number of each class, or the values."""
        given = np.asarray(labels)
        if self.classes is None:
            return given.astype(np.float64)
        if given.ndim == 2 and given.shape[1] == 1:
            given = given[:, 0]  # as `fit` does
        if given.ndim != 1:
            raise DataError(f"the labels have shape {given.shape}; give one a sample")
        number_of = {label: number for number, label in enumerate(self.classes.tolist())}
        numbers = np.array([number_of.get(label, -1) for label in given.tolist()])
        if (numbers < 0).any():
            raise DataError(
                f"the label {given[numbers < 0].tolist()[0]!r} is none of the model's classes "
                f"{', '.join(map(repr, self.classes.tolist()))}; give the labels that it was "
                f"fitted on"
            )
        return np.asarray(numbers, dtype=np.float64 if len(self.classes) == 2 else np.int64)


@dataclass(frozen=True, slots=True)
class Minimised:
    """What an estimator's `fit` minimises: reduced loss + λ/2 ‖θ‖².

    Parameters
    ----------
    loss : LossSpec
        The loss, reduced as the estimator reduces it.
    penalty : float
        λ.
    penalty_origin : str
        The settings that it comes from.
    unpenalised : tuple of str
        The module's parameters that the penalty spares.
    batch_size : int
        Samples per step.
    """

    loss: LossSpec
    penalty: float
    penalty_origin: str
    unpenalised: tuple[str, ...]
    batch_size: int


def is_estimator(model: object) -> bool:
    """Tell whether a model is of scikit-learn's kind: settings to get, and a method `fit`."""
    return hasattr(model, "get_params") and hasattr(model, "fit")


def read_estimator(estimator: Any) -> SklearnModel:
    """Return a fitted estimator, or a pipeline that ends in one, as a module.

    Parameters
    ----------
    estimator : estimator
        `LogisticRegression`, `LinearRegression`, `Ridge`, `SGDClassifier(loss="log_loss")`,
        `MLPClassifier`, or a `Pipeline` whose last step is one of these.

    Raises
    ------
    ModelError
        It isn't fitted, or is of another type.
    """
    preparation, last = _split(estimator)
    if _name(last) not in _OBJECTIVES:
        raise ModelError(
            f"{type(last).__name__} isn't a model that can be read; use one of "
            f"{', '.join(_OBJECTIVES)}, or a torch module"
        )
    if not (hasattr(last, "coef_") or hasattr(last, "coefs_")):
        raise ModelError(f"{type(last).__name__} isn't fitted; call fit(X, y) first")
    classes = getattr(last, "classes_", None)
    module = _module(last)
    return SklearnModel(last, module, None if classes is None else np.asarray(classes), preparation)


def preparation_of(estimator: Any) -> Any:
    """Return the steps before the last of a pipeline; None without any."""
    return _split(estimator)[0]


def minimised_by(model: SklearnModel, n: int) -> Minimised:
    """Return what the estimator's `fit` minimised over n samples.

    Raises
    ------
    ModelError
        It has no such form; the message names the setting.
    """
    if getattr(model.estimator, "class_weight", None) is not None:
        raise _refused(model.estimator, "class_weight", "None")
    return _OBJECTIVES[_name(model.estimator)](model.estimator, n)


def with_weights(estimator: Any, state: dict[str, NDArray[np.float64]]) -> Any:
    """Return a deep copy of an estimator, or pipeline, that holds other weights.

    What else a training left in a network (its optimizer's moments, its losses) isn't copied.

    Parameters
    ----------
    estimator : estimator
        One that `read_estimator` reads; it isn't changed.
    state : dict of str to ndarray
        `weight` and, where there is an intercept, `bias`; of a network by the module's names.
    """
    new = copy.deepcopy(estimator)
    last = _split(new)[1]
    if hasattr(last, "coefs_"):
        for i in range(len(last.coefs_)):
            weight, bias = state[f"{2 * i}.weight"].T, state[f"{2 * i}.bias"]
            last.coefs_[i] = np.ascontiguousarray(weight, last.coefs_[i].dtype)
            last.intercepts_[i] = bias.astype(last.intercepts_[i].dtype)
        last.loss_curve_, last.best_loss_ = [], np.inf
        vars(last).pop("_optimizer", None)
        return new
    last.coef_ = state["weight"].reshape(last.coef_.shape).astype(last.coef_.dtype)
    if "bias" in state:
        shape = np.shape(last.intercept_)
        bias = state["bias"].reshape(shape)
        last.intercept_ = bias.astype(last.coef_.dtype) if shape else float(bias)
    return new


def _split(estimator: Any) -> tuple[Any, Any]:
    """Return the steps before the last of a pipeline, or None, and the last."""
    if _name(estimator) == "Pipeline":
        before = estimator[:-1]
        return (before if len(before.steps) else None), estimator.steps[-1][1]
    return None, estimator


def _name(estimator: Any) -> str:
    """Return the name of scikit-learn's own class, or "" for any other."""
    kind = type(estimator)
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""


def _refused(estimator: Any, setting: str, wanted: str) -> ModelError:
    value = getattr(estimator, setting)
    return ModelError(
        f"{type(estimator).__name__}({setting}={value!r}) minimises what has no form here; fit it "
        f"with {setting}={wanted}"
    )


def _logistic(estimator: Any, n: int) -> Minimised:
    """C Σ ℓ + ½‖w‖²: divided by C, a loss that is summed and λ = 1/C."""
    _check_ridge_penalty(estimator)
    n_classes = len(estimator.classes_)
    if len(estimator.coef_) != (1 if n_classes == 2 else n_classes):
        raise ModelError("the LogisticRegression holds a path of models; give a fitted single one")
    # Older releases could fit one model a class, or softmax with half the weights for two.
    if getattr(estimator, "multi_class", "auto") not in (
        "auto",
        "deprecated",
        "ovr" if n_classes == 2 else "multinomial",
    ):
        raise _refused(estimator, "multi_class", "'auto'")
    one_by_one = estimator.solver == "liblinear"
    if one_by_one and n_classes > 2:
        raise _refused(estimator, "solver", "'lbfgs' for more than two classes")
    if one_by_one and estimator.fit_intercept and estimator.intercept_scaling != 1:
        raise _refused(estimator, "intercept_scaling", "1")
    return Minimised(
        LossSpec("bce_with_logits" if n_classes == 2 else "cross_entropy", "sum"),
        0.0 if _is_unpenalised(estimator) else 1.0 / float(estimator.C),
        f"LogisticRegression(C={estimator.C!r})",
        () if one_by_one or not estimator.fit_intercept else ("bias",),
        n,
    )


def _check_ridge_penalty(estimator: Any) -> None:
    """Refuse any penalty but ‖w‖² or none, as this and older releases spell it."""
    named = _penalty(estimator)
    if named not in ("deprecated", "l2", "none", None):
        raise _refused(estimator, "penalty", "'l2'")
    if named == "deprecated" and estimator.l1_ratio not in (0, None):
        raise _refused(estimator, "l1_ratio", "0")


def _is_unpenalised(estimator: Any) -> bool:
    return _penalty(estimator) in ("none", None) or not np.isfinite(estimator.C)


def _penalty(estimator: Any) -> Any:
    """Return the setting, which releases without it leave to `l1_ratio` and `C`."""
    return getattr(estimator, "penalty", "deprecated")


def _least_squares(estimator: Any, n: int) -> Minimised:
    """Σ (y − f)², and α‖w‖² for `Ridge`, which is λ = 2α."""
    if estimator.positive:
        raise _refused(estimator, "positive", "False")
    alpha: Any = getattr(estimator, "alpha", None)
    if np.ndim(alpha):
        raise _refused(estimator, "alpha", "one number")
    return Minimised(
        LossSpec("mse", "sum"),
        0.0 if alpha is None else 2.0 * float(alpha),
        "LinearRegression has no penalty" if alpha is None else f"Ridge(alpha={alpha!r})",
        ("bias",) if estimator.fit_intercept else (),
        n,
    )


def _by_gradient(estimator: Any, n: int) -> Minimised:
    """1/n Σ ℓ + α/2 ‖w‖², by steps on one sample at a time."""
    if estimator.loss != "log_loss":
        raise _refused(estimator, "loss", "'log_loss'")
    if estimator.penalty not in ("l2", None):
        raise _refused(estimator, "penalty", "'l2'")
    if estimator.early_stopping:  # as in `_perceptron`
        raise _refused(estimator, "early_stopping", "False")
    if len(estimator.classes_) != 2:
        raise ModelError(
            f"SGDClassifier on {len(estimator.classes_)} classes fits one model a class, which "
            f"decide no single margin; use LogisticRegression"
        )
    alpha = float(estimator.alpha) if estimator.penalty == "l2" else 0.0
    return Minimised(
        LossSpec("bce_with_logits", "mean"),
        alpha,
        f"SGDClassifier(alpha={alpha!r})",
        ("bias",) if estimator.fit_intercept else (),
        1,
    )


def _perceptron(estimator: Any, n: int) -> Minimised:
    """Mean ℓ over a batch of B, and α/(2B) Σ‖W‖² over the layers' matrices."""
    if estimator.out_activation_ not in ("logistic", "softmax"):
        raise ModelError("the MLPClassifier was fitted on several labels a sample; fit it on one")
    if estimator.early_stopping:  # a part of the samples, which nobody knows, was held out
        raise _refused(estimator, "early_stopping", "False")
    batch = n if estimator.solver == "lbfgs" else 200
    if estimator.solver != "lbfgs" and estimator.batch_size != "auto":
        batch = int(estimator.batch_size)
    batch = min(batch, n)
    binary = estimator.out_activation_ == "logistic"
    return Minimised(
        LossSpec("bce_with_logits" if binary else "cross_entropy", "mean"),
        float(estimator.alpha) / batch,
        f"MLPClassifier(alpha={estimator.alpha!r}) over batches of {batch}",
        tuple(f"{2 * layer}.bias" for layer in range(len(estimator.coefs_))),
        batch,
    )


def weights_of(estimator: Any) -> dict[str, NDArray[np.float64]]:
    """Return the weights of a fitted estimator, or pipeline, by the names that its module has."""
    last = _split(estimator)[1]
    if hasattr(last, "coefs_"):
        pairs = zip(last.coefs_, last.intercepts_, strict=True)
        named = [
            (f"{2 * i}.", np.asarray(weight, np.float64).T, bias)
            for i, (weight, bias) in enumerate(pairs)
        ]
    else:
        named = [("", np.atleast_2d(np.asarray(last.coef_, np.float64)), last.intercept_)]
    weights: dict[str, NDArray[np.float64]] = {}
    for prefix, weight, bias in named:
        weights[f"{prefix}weight"] = np.ascontiguousarray(weight)
        if getattr(last, "fit_intercept", True):
            shape = (len(weight),)
            weights[f"{prefix}bias"] = np.broadcast_to(np.asarray(bias, np.float64), shape).copy()
    return weights


def _module(estimator: Any) -> nn.Module:
    import torch
    from torch import nn

    kinds: dict[str, Callable[[], nn.Module]] = {
        "identity": nn.Identity,
        "logistic": nn.Sigmoid,
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
    }
    weights = weights_of(estimator)
    shapes = [value.shape for name, value in weights.items() if name.endswith("weight")]
    layers: list[nn.Module] = []
    for n_outputs, n_inputs in shapes:
        linear = nn.Linear(n_inputs, n_outputs, bias=len(weights) > len(shapes))
        layers += [linear, kinds[getattr(estimator, "activation", "identity")]()]
    module = layers[0] if len(shapes) == 1 and "weight" in weights else nn.Sequential(*layers[:-1])
    module = module.double()
    module.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return module


_OBJECTIVES: dict[str, Callable[[Any, int], Minimised]] = {
    "LogisticRegression": _logistic,
    "LinearRegression": _least_squares,
    "Ridge": _least_squares,
    "SGDClassifier": _by_gradient,
    "MLPClassifier": _perceptron,
}
