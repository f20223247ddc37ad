"""A call of an estimator on tracked rows: run on plain arrays, recorded as one operation.

Promise: nothing escapes. What goes in is an input of the operation, what comes out has its node,
and what stays in the estimator is remembered on it: read from outside, ``scaler.mean_`` is a
tensor. The estimator can't write into the rows: it gets them read-only, or works on a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.interop.sklearn.described import REFUSED, described
from traceprop.interop.sklearn.frames import put_back, told_apart
from traceprop.interop.sklearn.kinds import STATELESS, is_known, kind_of, takes_tensors
from traceprop.interop.sklearn.learned import fitted_before, fitted_node, is_unfitted
from traceprop.interop.sklearn.own import COULD_NOT, run_own
from traceprop.interop.sklearn.record import Record, forget, record_of, remember
from traceprop.interop.sklearn.results import RecordedCall
from traceprop.interop.sklearn.scope import inside, is_librarys
from traceprop.interop.sklearn.steps import FITS, GOES_ON, USES, operation_of
from traceprop.lineage.graph.node import slot
from traceprop.lineage.recording.calls import Captured, capture
from traceprop.lineage.recording.tracked import Tracked

_CHANGED: Final = (REFUSED, "its parameters were set anew after it was fitted")


def run(
    estimator: Any, method: str, bound: Callable[..., Any], args: Any, kwargs: dict[str, Any]
) -> Any:
    """Call a method of an estimator, and record it where rows are tracked.

    Parameters
    ----------
    estimator : scikit-learn estimator
    method : str
    bound : callable
        The method itself.
    args, kwargs
        Of the call.
    """
    if not args and "X" in kwargs:
        args, kwargs = (kwargs["X"],), {name: v for name, v in kwargs.items() if name != "X"}
    told_args, told_kwargs, frames = told_apart(args, kwargs)
    captured = capture(told_args, told_kwargs)
    fits = method.startswith(("fit", "partial_fit"))
    before = record_of(estimator)
    goes_on = fits and _goes_on(estimator, method)
    if fits and not goes_on:
        forget(estimator)
        before = None
    kind = kind_of(estimator, method)
    plainly = not captured.inputs and (before is None or kind == STATELESS or is_librarys(2))
    if plainly or (takes_tensors(estimator) and not frames):
        if fits:
            forget(estimator)
        return bound(*args, **kwargs)
    if not frames and not type(estimator).__module__.startswith("sklearn."):
        found = run_own(estimator, bound, args, kwargs, captured, before, fits)
        if found is not COULD_NOT:
            return found
    return _run_plain(estimator, method, bound, captured, before, fits, goes_on, kind, frames)


def _goes_on(estimator: Any, method: str) -> bool:
    """Whether a fit starts from what the estimator has learned so far."""
    if method != "partial_fit" and getattr(estimator, "warm_start", False) is not True:
        return False
    return not is_unfitted(estimator)


def _run_plain(
    estimator: Any,
    method: str,
    bound: Callable[..., Any],
    captured: Captured,
    before: Record | None,
    fits: bool,
    goes_on: bool,
    kind: str,
    frames: dict[Any, Any],
) -> Any:
    """Run a call on plain arrays, and record it as one operation."""
    arrays = {id(tensor._array): _read_only(tensor) for tensor in captured.inputs}
    plain = put_back(_replaced(captured.args, arrays), _replaced(captured.kwargs, arrays), frames)
    held = fitted_before(estimator) if fits else []
    with inside():
        result = bound(*plain[0], **plain[1])
        rows = captured.nodes[0].n_rows if captured.nodes else 0
        description = described(estimator, rows if fits else 0)
    note: Any = None
    of: Any = description
    if fits and not goes_on:
        mode, inputs = FITS, (*captured.nodes, *held)
    elif kind == STATELESS or (before is None and is_unfitted(estimator)):
        mode, inputs = USES, captured.nodes
    else:
        mode, of = GOES_ON if goes_on else USES, slot(len(captured.nodes))
        inputs = (*captured.nodes, fitted_node(estimator, before))
        if before is not None and not fits and _was_set(before, description):
            note = _CHANGED
    template = (mode, kind, method, of, note, *captured.template)
    call = RecordedCall(
        operation_of(estimator, is_known),
        inputs,
        template,
        captured.template_kwargs,
        estimator,
        list(arrays.values()),
    )
    wrapped = call.wrapped(result)
    if fits:
        remember(estimator, call.node((), np.dtype(object), call.count), description)
    return wrapped


def _was_set(before: Record, now: Any) -> bool:
    """Whether an estimator's parameters are others than when it was fitted."""
    if before.description is None or before.description[0] == REFUSED:
        return False
    return not _alike(now, before.description)


def _read_only(tensor: Tracked) -> Any:
    array = tensor._array
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def _replaced(value: Any, arrays: dict[int, Any]) -> Any:
    """Return arguments with the arrays of tensors replaced."""
    if id(value) in arrays:
        return arrays[id(value)]
    if type(value) in (tuple, list):
        return type(value)(_replaced(each, arrays) for each in value)
    if type(value) is dict:
        return {name: _replaced(each, arrays) for name, each in value.items()}
    return value


def _alike(one: Any, other: Any) -> bool:
    """Whether two descriptions say the same."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return type(one) is type(other) and np.array_equal(one, other)
    if type(one) in (tuple, list) and type(one) is type(other):
        return len(one) == len(other) and all(map(_alike, one, other))
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one)
    return type(one) is type(other) and (one == other or (one != one and other != other))
