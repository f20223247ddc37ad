"""How a node is run again on plain arrays, and which nodes can't be.

`rerun(node, inputs)` does what the recorded call did, on other inputs. Every operation is run in
one of four ways: a *pure* call returns its result; a *write* (assignment, `np.copyto`, `ufunc.at`)
goes into a copy of its first input; an *overwrite* puts a written view back into a copy of what it
is a view of; a source's rows are read by whoever knows its format, not here. What can't be run
again has a reason in words, from `why_not`, so that it is refused by name and never approximated.

Memory is laid out as it was recorded, as far as the node tells, since the order in which NumPy adds
cells, and with it the last bit of a sum, follows the layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy._core import umath
from numpy.typing import NDArray

from traceprop.errors import ChangedArrayError, LineageError
from traceprop.lineage.graph.node import (
    CONSTANT,
    SOURCE,
    Constant,
    Held,
    Node,
    Op,
    Recipe,
    Slot,
    UfuncMethod,
    plain_name,
)
from traceprop.lineage.graph.template import Place, parameter_names, slots, transform
from traceprop.lineage.recording.arithmetic import POWER
from traceprop.lineage.recording.plain_targets import PART
from traceprop.lineage.recording.tracked import MEANWHILE, OVERWRITE, UNFINISHED, shares_memory
from traceprop.lineage.registry import REFUSED, classification, rule_of
from traceprop.lineage.rules.broadcasting import BROADCAST
from traceprop.lineage.rules.mutators import SETITEM_LATE, SHARED
from traceprop.lineage.saved.encoding import Unresolved

Array = NDArray[Any]

_LATE: Final = "it read cells while they were written, in an order that isn't recorded"
_NEVER: Final[dict[Any, str]] = {
    CONSTANT: "a plain array was written into, and what it held before isn't recorded; make it "
    "with np.zeros_like(X, shape=...) or traceprop.array",
    PART: "it is a part of a plain array that was written into, and which part isn't recorded; "
    "make the whole with np.zeros_like(X, shape=...)",
    MEANWHILE: "two threads wrote into one tensor at the same time",
    UNFINISHED: "a write raised an error halfway",
    SETITEM_LATE: _LATE,
    **dict.fromkeys(SHARED.values(), _LATE),
}
_TYPED_BY_VALUES: Final = frozenset(
    getattr(np.emath, name)
    for name in ("sqrt", "log", "log2", "log10", "logn", "power", "arccos", "arcsin", "arctanh")
)
"""One cell out of range makes all of them complex."""
_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None), slice, type(Ellipsis), type,
                 range, np.dtype, np.generic)  # fmt: skip


def writes(op: Callable[..., Any]) -> bool:
    """Whether an operation writes into its first argument and returns nothing."""
    if isinstance(op, UfuncMethod):
        return op.method == "at"
    return rule_of(op).written is not None


def why_not(node: Node) -> str | None:
    """Return why a node can't be run again, None where it can.

    Examples
    --------
    >>> why_not(X.node)  # doctest: +SKIP
    'apply_along_axis calls <lambda>, a function of yours, which may answer otherwise today'
    """
    op = node.op
    if op is SOURCE:
        return None
    if op in _NEVER:
        return _NEVER[op]
    if not _is_known(op):
        return f"{plain_name(op)} is no function of NumPy or Traceprop that is known to run again"
    own = op.why_not(node) if isinstance(op, Op) and op.why_not is not None else None
    if own is not None:
        return own
    if rule_of(op).returns_argument and len(node.inputs) > len(
        set(slots(node.args) + slots(node.kwargs))
    ):
        return "it is a view that values chose, of an array that was written afterwards"
    if op is OVERWRITE:
        recipe = node.args[2]
        chosen = rule_of(recipe.op).returns_argument  # by values that it no longer has
        if recipe.op in _NEVER or chosen or not _is_known(recipe.op):
            return f"a view was written that {plain_name(recipe.op)} made"
        return _unfit((recipe.args, recipe.kwargs))
    return _unfit((node.args, node.kwargs))


def _is_known(op: Any) -> bool:
    """Whether calling an operation does what it did when it was recorded."""
    if isinstance(op, Op):
        return op.run is not None or op is OVERWRITE
    if isinstance(op, np.ufunc):
        return _is_library(op)
    if isinstance(op, UfuncMethod):
        return _is_library(op.ufunc)
    if isinstance(op, Unresolved):
        return False
    promised = classification().get(op)
    return promised is not None and promised.status != REFUSED and rule_of(op).family != "unknown"


@cache
def _is_library(ufunc: np.ufunc) -> bool:
    """Whether a ufunc is NumPy's or SciPy's, and not made by `np.frompyfunc` of somebody's code."""
    if getattr(umath, ufunc.__name__, None) is ufunc:
        return True
    return not all(types.strip("->O") == "" for types in ufunc.types)


def _unfit(template: Any) -> str | None:
    """Return what in a call's arguments can't be used again, None where all can."""
    for value in values_in(template):
        if isinstance(value, (Held, Constant)):
            try:
                if value.index < 0:
                    value.read()
            except ChangedArrayError as changed:
                return str(changed).rstrip(".")
        elif isinstance(value, Unresolved):
            return f"it took {value.name}, which a saved lineage keeps by name only"
        elif callable(value) and not isinstance(value, type) and not _is_known(value):
            name = getattr(value, "__qualname__", None) or repr(value)
            return f"it calls {name}, a function of yours, which may answer otherwise today"
        elif not (isinstance(value, (*_PLAIN, np.ndarray, Slot)) or callable(value)):
            return f"it took a {type(value).__name__}, which may have changed; pass an array"
    return None


def values_in(template: Any) -> Iterator[Any]:
    """Yield every single value of a template: numbers, plain arrays, slots, held arrays."""
    kind = type(template)
    if kind is tuple or kind is list:
        for each in template:
            yield from values_in(each)
    elif kind is dict:
        for each in template.values():
            yield from values_in(each)
    elif kind is Recipe:
        yield from values_in(template.args)
        yield from values_in(template.kwargs)
    else:
        yield template


def results_of(node: Node, inputs: Sequence[Any], spare: int = -1) -> list[Any]:
    """Run a node's call again and return all arrays that it gives, of which `node` is one.

    Parameters
    ----------
    node : Node
        One for which `why_not` is None, and no leaf.
    inputs : sequence of ndarray or NumPy scalar
        Values of the node's inputs.
    spare : int
        The input that nobody will read again and whose memory is its own: it may be written into.

    Raises
    ------
    LineageError
        When the call doesn't fit these inputs; the cause is NumPy's own error.
    """
    try:
        with np.errstate(all="ignore"):
            return _run(node, inputs, spare)
    except LineageError:
        raise
    except (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError) as wrong:
        shapes = ", ".join(str(list(np.shape(each))) for each in inputs)
        raise LineageError(f"{node.name} can't be run again on {shapes}: {wrong}") from wrong


def rerun(node: Node, inputs: Sequence[Any], spare: int = -1) -> Any:
    """Run a node again and return its own result; parameters and errors as for `results_of`.

    Examples
    --------
    >>> X = traceprop.array([1.0, 2.0]) * 3
    >>> rerun(X.node, [np.array([5.0])])
    array([15.])
    """
    results = results_of(node, inputs, spare)
    return results[node.item or 0]


def _run(node: Node, inputs: Sequence[Any], spare: int) -> list[Any]:
    op = node.op
    if op is OVERWRITE:
        return [_overwritten(node.args[2], inputs, spare)]
    if op is BROADCAST and np.broadcast_shapes(*(n.shape for n in node.inputs)) == node.shape:
        return [np.broadcast_to(inputs[0], np.broadcast_shapes(*(np.shape(a) for a in inputs)))]
    args = filled(node.args, inputs)
    kwargs = filled(node.kwargs, inputs) if node.kwargs else {}
    if writes(op):
        target = inputs[0] if spare == 0 else copy_in_place(inputs[0])
        op(target, *args[1:], **kwargs)
        return [target]
    if "out" in kwargs:
        target = copy_in_place(kwargs.pop("out"))
        return [op(*args, **kwargs, out=target)]
    if spare >= 0 and node.item is None and _elementwise(op, node, inputs[spare]):
        return [op(*args, **kwargs, out=inputs[spare])]
    results = list(arrays_in(op(*args, **kwargs)))
    own = results[node.item or 0]
    if own.dtype != node.dtype and _went_into_another_type(node, own, inputs):
        results[node.item or 0] = _as_recorded(node, own, args, kwargs)
    return results


def filled(template: Any, inputs: Sequence[Any]) -> Any:
    """Return a template with `inputs[i]` for slot i and held input i, plain arrays as they were."""
    return transform(template, lambda p: _value(p, inputs))


def _value(place: Place, inputs: Sequence[Any]) -> Any:
    return inputs[place.index] if isinstance(place, Slot) or place.index >= 0 else place.read()


def arrays_in(result: Any) -> Iterator[Any]:
    """Yield the arrays in a function's result, in the order in which recording numbers them."""
    if isinstance(result, (tuple, list)):
        for each in result:
            yield from arrays_in(each)
    elif isinstance(result, (np.ndarray, np.generic)):
        yield result


def copy_in_place(array: Array) -> Array:
    """Copy an array into memory of the same strides, so that views of it are views again.

    A broadcast array can't be written, so what is written is a copy that has each cell by itself.
    """
    if array.flags.c_contiguous or array.flags.f_contiguous or not array.size:
        return array.copy(order="K")
    if any(
        not step and length > 1 for step, length in zip(array.strides, array.shape, strict=True)
    ):
        return array.copy(order="K")
    if array.dtype.hasobject or array.dtype.kind == "T":
        return array.copy(order="K")
    low, high = np.lib.array_utils.byte_bounds(array)
    start = array.__array_interface__["data"][0] - low
    memory = np.empty(high - low, np.uint8)
    copied: Array = np.ndarray(array.shape, array.dtype, memory, start, array.strides)
    copied[...] = array
    return copied


def _overwritten(recipe: Recipe, inputs: Sequence[Any], spare: int) -> Any:
    """Put a written view, the second input, into a copy of what it is a view of, the first."""
    whole = inputs[0] if spare == 0 else copy_in_place(inputs[0])
    args, kwargs = transform((recipe.args, recipe.kwargs or {}), lambda p: _kept(p, whole))
    view = list(arrays_in(recipe.op(*args, **kwargs)))[recipe.item or 0]
    if recipe.op is BROADCAST and view.size == whole.size:
        view = whole.reshape(view.shape)  # np.broadcast_to makes it read-only
    if isinstance(view, np.void):  # a record, which is a view although it is a scalar
        for name in view.dtype.names or ():
            view[name] = inputs[1][name]
        return whole
    shares = shares_memory if type(whole) is np.void else np.may_share_memory
    if view.size and not shares(view, whole):
        raise LineageError(
            f"{plain_name(recipe.op)} made a view when it was recorded, and makes a copy of the "
            "same array in its new layout, so that what was written through it can't be put back"
        )
    view[...] = inputs[1]
    return whole


def _kept(place: Place, whole: Array) -> Any:
    if place.index == 0:
        return whole
    if isinstance(place, Slot):
        raise LineageError("which part of an array a written view showed wasn't kept")
    return place.read()


def _elementwise(op: Any, node: Node, target: Array) -> bool:
    """Whether an operation may write its result over an input: cell by cell, of the same type."""
    return (
        isinstance(op, np.ufunc)
        and op.signature is None
        and op.nout == 1
        and not node.kwargs
        and target.dtype == node.dtype
        and target.shape == node.shape
        and target.dtype.kind in "fiub"
    )


def _went_into_another_type(node: Node, result: Any, inputs: Sequence[Any]) -> bool:
    """Whether the recorded result had another type because it was written into an array of that.

    Other than the width of texts and what values decide, the type follows from those of the inputs.
    """
    if rule_of(node.op).returns_argument or node.op in _TYPED_BY_VALUES:
        return False
    if result.dtype.kind not in "US" and any(
        now.dtype != then.dtype for now, then in zip(inputs, node.inputs, strict=False)
    ):
        raise LineageError(
            f"{node.name} can't be run again: values decided the type of what it takes, which is "
            "another one now, so that the type of its result isn't known"
        )
    if result.dtype.kind in "US" and result.dtype.kind == node.dtype.kind:
        return bool(node.inputs) and inputs[0].dtype.kind == node.dtype.kind and (
            node.inputs[0].dtype == node.dtype and node.inputs[0].shape == node.shape
        )  # fmt: skip
    return True


def _as_recorded(node: Node, result: Any, args: Any, kwargs: Any) -> Any:
    """Run a call whose result went into an array of another type once more, into such an array."""
    dtype = node.dtype
    cast = getattr(node.op, "cast", None)
    if cast is not None:
        return cast(result, dtype)
    if node.op is POWER:
        target = args[0].copy(order="K")
        target **= args[1]
        return target
    if result.dtype.kind in "US":
        return result.astype(node.inputs[0].dtype)
    takes_out = isinstance(node.op, (np.ufunc, UfuncMethod)) or "out" in parameter_names(node.op)
    if takes_out and node.item is None:
        target = np.empty_like(result, dtype=dtype)
        node.op(*args, **{"casting": "unsafe", **kwargs} if isinstance(node.op, np.ufunc)
                else kwargs, out=target)  # fmt: skip
        return target
    return result.astype(dtype)
