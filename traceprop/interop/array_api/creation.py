"""What the namespace does in its own way: new arrays, plain data, which is unknown, and order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.lineage.cells.table import by_rows, refines
from traceprop.lineage.graph.edge import opaque
from traceprop.lineage.graph.node import Op, make_node
from traceprop.lineage.recording.calls import call, capture, wrap_result
from traceprop.lineage.recording.plain_targets import adopted
from traceprop.lineage.recording.tracked import KIND, Tracked, leaf, wrap
from traceprop.lineage.registry import implements
from traceprop.lineage.source import MemorySource

MADE: Final = ("arange", "empty", "eye", "full", "linspace", "ones", "zeros")
"""Functions that make an array of their arguments alone."""

_OPS: Final = {name: Op(f"array_api.{name}", getattr(np, name)) for name in MADE}

implements(*_OPS.values(), family="creation", shape_from_values=None)(opaque)
refines(*_OPS.values())(by_rows)


def made(name: str) -> Callable[..., Any]:
    """Return the namespace's function of that name: a tensor on no row but those of its arguments.

    A tracked argument, as the fill value of `full`, flows into every row.
    """
    op = _OPS[name]

    def function(*args: Any, device: Any = None, **kwargs: Any) -> Any:
        _check_device(device)
        captured = capture(args, kwargs)
        if captured.inputs:
            return wrap_result(op, captured, op(*captured.args, **captured.kwargs))
        array = op(*args, **kwargs)
        node = make_node(op, (), captured.template, captured.template_kwargs, array.shape,
                         array.dtype)  # fmt: skip
        return wrap(KIND[0], array, node)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As `numpy.{name}`, a tensor."
    return function


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """Return a tensor as it is, plain data as a tensor whose rows are unknown.

    Parameters
    ----------
    obj : ProvenanceTensor or array_like
    dtype : dtype, optional
    device : "cpu", optional
    copy : bool, optional
        None copies where the type changes; False refuses to.

    Returns
    -------
    ProvenanceTensor
        Of plain data, its rows are those of a source called ``unknown:…``: where the data came
        from, nobody can tell.

    Raises
    ------
    ValueError
        With ``copy=False``, where the type has to change.

    Examples
    --------
    >>> asarray([1.0, 2.0]).sources()
    {unknown:array-1: rows 0-1}
    """
    _check_device(device)
    if isinstance(obj, np.ndarray):
        known = adopted(obj, KIND[0])  # tracked values were written into it
        obj = obj if known is None else known
    if isinstance(obj, Tracked):
        return _tracked(obj, dtype, copy)
    captured = capture((obj,), {})
    if captured.inputs:  # a list of tensors
        return call(np.array, (obj,), {} if dtype is None else {"dtype": dtype})
    return unknown(np.array(obj, dtype=dtype))


def _tracked(tensor: Any, dtype: Any, copy: bool | None) -> Any:
    if dtype is not None and np.dtype(dtype) != tensor.dtype:
        if copy is False:
            raise ValueError(f"{tensor.dtype} can't become {np.dtype(dtype)} without a copy")
        return tensor.astype(dtype)
    return tensor.copy() if copy else tensor


def unknown(array: Any) -> Any:
    """Return plain data as a tensor of a source that says that nobody knows its rows."""
    source = MemorySource.of(array, None, ())
    source.uri = source.name = f"unknown:{source.uri}"
    return leaf(KIND[0], array, source, None)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """As `asarray`, of what speaks DLPack; errors as NumPy's."""
    if isinstance(x, Tracked):
        return asarray(x, device=device, copy=copy)
    _check_device(device)
    return unknown(np.from_dlpack(x).copy())


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Any]:
    """As `numpy.meshgrid`."""
    return list(np.meshgrid(*arrays, indexing=indexing))  # type: ignore[call-overload]


def unique_values(x: Any, /) -> Any:
    """Return the distinct values, in order, NaN by NaN.

    The standard leaves the order open, and NumPy's own `unique_values` leaves them unsorted from
    2.3 on; scikit-learn's encoders take them for sorted.
    """
    return np.unique(x, equal_nan=False)


def _check_device(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"tensors are on the device 'cpu', not {device!r}")
