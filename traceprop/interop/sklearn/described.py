"""An estimator in plain values, from which the same one is made and fitted again.

`described` gives ``("estimator", version, class, parameters)``, nested for pipelines, or
``("refused", reason)`` where the same result can't be promised: a class that isn't known, a
function of the user's, a random generator without a fixed seed. `made` makes an estimator of a
description, and of nothing else than the classes of `kinds.HOMES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from traceprop.errors import LineageError
from traceprop.interop.sklearn.kinds import HOMES, is_known

ESTIMATOR: Final = "estimator"
FUNCTION: Final = "function"
REFUSED: Final = "refused"

_FUNCTIONS: Final = dict.fromkeys(
    ("chi2", "f_classif", "f_regression"), "sklearn.feature_selection"
)
_PLAIN: Final = (bool, int, float, complex, str, type(None), np.generic, np.dtype)
_NUMBERS: Final = (bool, int, float, complex, str, object, *np.sctypeDict.values())

Description = tuple[Any, ...]


class _CannotBeTold(Exception):
    """The reason why an estimator can't be made again."""


def described(estimator: Any, rows: int) -> Description:
    """Return an estimator, not what it learned, in plain values.

    Parameters
    ----------
    estimator : scikit-learn estimator
    rows : int
        Number of rows that it is fitted on: above some, a few draw a sample.
    """
    try:
        return _described(estimator, rows)
    except _CannotBeTold as reason:
        return (REFUSED, str(reason))


def _described(estimator: Any, rows: int) -> Description:
    import sklearn

    name = type(estimator).__name__
    if not is_known(estimator):
        raise _CannotBeTold(f"nobody knows whether {name} learns the same from the same rows")
    parameters = type(estimator).get_params(estimator, deep=False)
    if "random_state" in parameters and _draws(name, parameters, rows):
        seed = parameters["random_state"]
        if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
            raise _CannotBeTold(f"{name} draws numbers: give it random_state= as an int")
    if parameters.get("prefit") is True:
        raise _CannotBeTold(f"{name} takes a model that was fitted before (prefit=True)")
    if parameters.get("memory") is not None:
        raise _CannotBeTold(f"{name} keeps results in a cache (memory=)")
    plain = {key: _plain(value, f"{name}({key}=…)", rows) for key, value in parameters.items()}
    return (ESTIMATOR, sklearn.__version__, name, plain)


def _plain(value: Any, where: str, rows: int) -> Any:
    if isinstance(value, _PLAIN) or (isinstance(value, type) and value in _NUMBERS):
        return value
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(_plain(each, where, rows) for each in value)
    if type(value) is dict:
        return {key: _plain(each, where, rows) for key, each in value.items()}
    if isinstance(value, slice):
        return value
    if hasattr(value, "get_params") and not isinstance(value, type):
        return _described(value, rows)
    if isinstance(value, np.ufunc):
        return value
    name = getattr(value, "__name__", "")
    home = _FUNCTIONS.get(name)
    if home is not None and getattr(importlib.import_module(home), name) is value:
        return (FUNCTION, name)
    if callable(value):
        raise _CannotBeTold(f"{where} is a function of yours, which may answer otherwise today")
    raise _CannotBeTold(f"{where} holds a {type(value).__name__}, which may have changed")


def _draws(name: str, parameters: dict[str, Any], rows: int) -> bool:
    """Whether an estimator draws random numbers, so set and on so many rows."""
    if name in _DRAWS_SELDOM:
        return _DRAWS_SELDOM[name](parameters, rows)
    return True


_DRAWS_SELDOM: Final[dict[str, Callable[[dict[str, Any], int], bool]]] = {
    "KBinsDiscretizer": lambda p, n: p["subsample"] is not None and n > p["subsample"],
    "SplineTransformer": lambda p, n: False,
    "QuantileTransformer": lambda p, n: p["subsample"] is not None and n > p["subsample"],
    "TargetEncoder": lambda p, n: bool(p["shuffle"]),
    "PCA": lambda p, n: p["svd_solver"] not in ("full", "covariance_eigh"),
    "KernelPCA": lambda p, n: p["eigen_solver"] != "dense",
    "FactorAnalysis": lambda p, n: p["svd_method"] != "lapack",
    "LogisticRegression": lambda p, n: p["solver"] in ("sag", "saga", "liblinear"),
    "Ridge": lambda p, n: p["solver"] in ("sag", "saga"),
}


def refusals(values: Any) -> Iterator[str]:
    """Yield the reasons that stand in a description or anywhere in a call's plain values."""
    if type(values) is tuple and len(values) == 2 and values[0] == REFUSED:
        yield str(values[1])
    elif type(values) in (tuple, list):
        for each in values:
            yield from refusals(each)


def made(description: Description) -> Any:
    """Make the estimator, not fitted, that was described.

    Raises
    ------
    LineageError
        When scikit-learn has another version now, or the class isn't one that is known.
    """
    import sklearn

    _, version, name, parameters = description
    if version != sklearn.__version__:
        raise LineageError(
            f"{name} was fitted by scikit-learn {version}, and this is {sklearn.__version__}: "
            f"install scikit-learn {version} to run it again"
        )
    if name not in HOMES:
        raise LineageError(f"{name} is no estimator that is known to run again")
    kind = getattr(importlib.import_module(HOMES[name]), name)
    return kind(**{key: _remade(value) for key, value in parameters.items()})


def _remade(value: Any) -> Any:
    if type(value) is tuple and value[:1] == (ESTIMATOR,) and len(value) == 4:
        return made(value)
    if type(value) is tuple and value[:1] == (FUNCTION,) and len(value) == 2:
        return getattr(importlib.import_module(_FUNCTIONS[value[1]]), value[1])
    if type(value) in (list, tuple):
        return type(value)(map(_remade, value))
    return value
