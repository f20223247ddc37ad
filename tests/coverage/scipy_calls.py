"""What becomes of the rows in SciPy's functions: each public one is called and judged by nudging.

The arguments are found by trial: the first of `TRIALS` that a function takes and answers with
numbers. A function that takes none of them isn't judged. Run as a program it prints the verdicts as
JSON, for a process of its own with ``SCIPY_ARRAY_API=1``, which SciPy reads once.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from traceprop.lineage import ProvenanceTensor
from traceprop.lineage.answers.query import dependencies
from traceprop.lineage.rowset import RowSet
from traceprop.testing.oracle import rows_differ, track

EXACT, CONSERVATIVE, ESCAPES, REFUSED = "exact", "conservative", "escapes", "refused"
KEPT = "escapes, rows kept"
WRONG = "WRONG"
NOT_TRIED = "takes no rows"

_X = np.array([[0.31, 0.62], [0.17, 0.48], [0.83, 0.29], [0.55, 0.71], [0.42, 0.13]])
_Y = np.array([[0.25, 0.52], [0.61, 0.38], [0.43, 0.79], [0.15, 0.91], [0.72, 0.33]])
_COUNTS = np.array([[3, 2], [1, 4], [2, 2], [5, 1], [2, 3]])

TRIALS: tuple[tuple[Any, ...], ...] = (
    (_X,), (_X, _Y), (_X, _Y, _X), (_X, _Y, _X, _Y),
    (_X[:, 0],), (_X[:, 0], _Y[:, 0]), (_COUNTS,), (_COUNTS, _X), (_COUNTS, _COUNTS),
    (_X, 0.2), (_X[:, 0], 2), (2, _X), (_COUNTS, _COUNTS, _X), (_X, _COUNTS),
    (_X[:, 0], _Y[:, 0], _X[:, 1]), ([0.2, 0.3], _X), (_X, [0.2, 0.3]),
)  # fmt: skip
# They draw random numbers, take seconds, or print.
_LEFT_OUT = {
    "bootstrap", "permutation_test", "monte_carlo_test", "power", "goodness_of_fit", "fit",
    "test", "sobol_indices", "make_distribution", "dunnett", "poisson_means_test",
    "barnard_exact", "boschloo_exact", "multiscale_graphcorr", "differential_entropy",
    "probplot", "boxcox_normplot", "ppcc_plot", "yeojohnson_normplot", "ppcc_max", "errstate",
    "seterr", "geterr", "sph_harm", "quantile_test", "censored",
}  # fmt: skip


def functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield a module's public functions and ufuncs, in order of their names."""
    for name in sorted(module.__all__):
        function = getattr(module, name, None)
        is_one = isinstance(function, np.ufunc) or inspect.isfunction(function)
        if is_one and name not in _LEFT_OUT and not name.startswith("_"):
            yield name, function
    if module.__name__ == "scipy.stats":
        for name in ("cdf", "logpdf", "pdf", "ppf", "sf"):
            yield f"norm.{name}", getattr(module.norm, name)


def verdicts(module: ModuleType) -> dict[str, str]:
    """Return what becomes of the rows in each function of a module."""
    return {name: judge(function) for name, function in functions(module)}


def judge(function: Callable[..., Any]) -> str:
    """Call a function on tracked arrays and hold its lineage against nudges."""
    for trial in TRIALS:
        plain = _numbers(_quietly(function, trial))
        told = any(np.isfinite(each).any() for each in plain)
        # Of a ufunc a NaN will do: SciPy's `pro_cv` crashes on other arguments.
        if told or (plain and _is_cell_by_cell(function)):
            return _judged(function, trial, plain)
    return NOT_TRIED


def _judged(function: Callable[..., Any], trial: tuple[Any, ...], plain: list[Any]) -> str:
    arrays = [each for each in trial if isinstance(each, np.ndarray)]
    sources = track(arrays)
    left = iter([each.copy() for each in sources])
    given = [next(left) if isinstance(each, np.ndarray) else each for each in trial]
    answer = _quietly(function, given)
    escaped = any(each.escapes() for each in sources)
    if isinstance(answer, Exception):
        return ESCAPES if escaped else REFUSED
    results = _flat(answer)
    tracked = [each for each in results if isinstance(each, ProvenanceTensor)]
    changed = _changed(function, trial, plain)
    if not tracked or len(results) != len(plain):
        left = any(pairs.any() for pairs in changed)
        return ESCAPES if escaped else WRONG if left else NOT_TRIED
    shown = named = 0
    for one, pairs in zip(results, changed, strict=True):
        if not isinstance(one, ProvenanceTensor):
            if pairs.any() and not escaped:
                return WRONG
            continue
        own, unknown = _recorded(one, sources)
        if (pairs & ~own).any() and not unknown:
            return ESCAPES if escaped else WRONG
        shown, named = shown + int((own & pairs).sum()), named + int(own.sum())
    if escaped:
        return KEPT if len(tracked) == len(results) else ESCAPES
    exact = shown >= named / 2 or _is_cell_by_cell(function)
    return EXACT if exact else CONSERVATIVE


def _is_cell_by_cell(function: Any) -> bool:
    """Whether a function is a ufunc that works cell by cell, wrapped by SciPy or not."""
    from scipy.special import _ufuncs

    own = getattr(_ufuncs, getattr(function, "__name__", ""), function)
    return isinstance(own, np.ufunc) and own.signature is None


def _changed(function: Any, trial: Any, plain: list[Any]) -> list[Any]:
    """Which rows of each result change with which source row, over a few nudges of it."""
    rows = [(i, row) for i, each in enumerate(trial) if isinstance(each, np.ndarray)
            for row in range(len(each))]  # fmt: skip
    pairs = [np.zeros((len(each) if np.ndim(each) else 1, len(rows)), bool) for each in plain]
    for column, (i, row) in enumerate(rows):
        for nudge in (lambda a: a * 1.01, lambda a: a * 0.5 + 0.2, lambda a: 1 - a):
            changed = [each.copy() if isinstance(each, np.ndarray) else each for each in trial]
            changed[i][row] = nudge(changed[i][row])
            if changed[i].dtype.kind == "i":
                changed[i][row] = trial[i][row] + 1
            others = _numbers(_quietly(function, changed))
            if len(others) != len(plain):
                continue
            for found, before, after in zip(pairs, plain, others, strict=True):
                found[:, column] |= rows_differ(before, after)
    return pairs


def _recorded(tensor: ProvenanceTensor, sources: list[ProvenanceTensor]) -> tuple[Any, bool]:
    """Which pairs the lineage of a tensor has, and whether unknown rows are in it as well."""
    starts = np.concatenate([[0], np.cumsum([len(each) for each in sources])])
    leaves = {
        each.ancestors().leaves[0]: start for each, start in zip(sources, starts[:-1], strict=True)
    }
    pairs = np.zeros((tensor.node.n_rows, starts[-1]), bool)
    unknown = False
    for row in range(tensor.node.n_rows):
        for source, found in dependencies(tensor.node, RowSet.span(row, row + 1)).all().items():
            if source in leaves:
                pairs[row, found.to_numpy() + leaves[source]] = True
            else:
                unknown = True
    return pairs, unknown


def _quietly(function: Any, arguments: Any) -> Any:
    """Call a function; an error is an answer."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return function(*arguments)
        except (TypeError, ValueError, AttributeError, IndexError, ArithmeticError, KeyError,
                NotImplementedError, RuntimeError, AssertionError,
                np.linalg.LinAlgError) as wrong:  # fmt: skip
            return wrong


def _flat(answer: Any) -> list[Any]:
    """Return the numbers in an answer: itself, or those in a tuple or a result object."""
    if isinstance(answer, Exception) or answer is None or isinstance(answer, (str, bool)):
        return []
    if isinstance(answer, (tuple, list)):
        return [each for part in answer for each in _flat(part)]
    if isinstance(answer, (np.ndarray, np.generic, ProvenanceTensor, float)):
        return [answer]
    if hasattr(answer, "__dict__") and not callable(answer):
        return [each for name, part in sorted(vars(answer).items()) if not name.startswith("_")
                for each in _flat(part)]  # fmt: skip
    return []


def _numbers(answer: Any) -> list[Any]:
    return [np.asarray(each) for each in _flat(answer) if np.asarray(each).dtype.kind in "fciub"]


@cache
def measured(array_api: bool) -> dict[str, dict[str, str]]:
    """Return the verdicts of scipy.special and scipy.stats, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "SCIPY_ARRAY_API"}
    if array_api:
        environment["SCIPY_ARRAY_API"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "tests.coverage.scipy_calls"],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    import scipy.special
    import scipy.stats

    print(json.dumps({m.__name__: verdicts(m) for m in (scipy.special, scipy.stats)}))
