"""NumPy's protocols, and the doors out: conversions to plain arrays, numbers, bytes, pickles."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.lineage.graph.escaped import Escape, escapes_of, note_escape
from traceprop.lineage.graph.node import flat, unflat
from traceprop.lineage.recording.calls import call
from traceprop.lineage.recording.escapes import escape, is_collecting
from traceprop.lineage.recording.tracked import Tracked, expose, wrap
from traceprop.lineage.recording.ufuncs import call_ufunc
from traceprop.lineage.registry import handler_of

_TEXTS: Final = (np.str_, np.bytes_, np.void)


def _restore(
    cls: type[Tracked], array: Any, records: list[tuple[Any, ...]], escapes: list[tuple[Any, ...]]
) -> Any:
    """Make a tensor from its pickle."""
    node = unflat(records)
    for noted in escapes:
        note_escape(node, Escape(*noted))
    return wrap(cls, array, node)


def _of_text(name: str) -> property:
    """Return what stands for an attribute that texts and records have and arrays haven't."""

    def get(self: Tracked) -> Any:
        if not isinstance(self._array, _TEXTS):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = getattr(self._array, name)
        escape(self, name)
        return value

    return property(get)


def _door(name: str, shares: bool = False) -> Callable[..., Any]:
    """Return the method that hands a plain value, or the memory, out and says so."""

    def method(self: Tracked, *args: Any, **kwargs: Any) -> Any:
        escape(self, name)
        if shares:
            expose(self)
        return getattr(self._array, name)(*args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`; the values leave the lineage."
    return method


class Protocols(Tracked):
    """`__array_ufunc__`, `__array_function__`, `__array__` and the other doors."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return call_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if len(types) != 1:
            for kind in types:
                if not issubclass(kind, (Tracked, np.ndarray)):
                    return NotImplemented
        handler = handler_of(function)
        if handler is not None:
            return handler(function, args, kwargs)
        return call(function, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """Return the array API standard's functions; SciPy and scikit-learn compute with them."""
        from traceprop.interop import array_api

        return array_api

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """Return the tensor; it is on the device "cpu" and on no other."""
        if device != "cpu":
            raise ValueError(f"tensors are on the device 'cpu', not {device!r}")
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        escape(self, "np.asarray")
        array = np.array(self._array, dtype=dtype, copy=copy)
        if array is self._array or array.base is not None:
            if is_collecting():
                array = array.view()
                array.flags.writeable = False
            else:
                expose(self)
        return array

    def __float__(self) -> float:
        escape(self, "float")
        return float(self._array)

    def __int__(self) -> int:
        escape(self, "int")
        return int(self._array)

    def __complex__(self) -> complex:
        escape(self, "complex")
        return complex(self._array)

    def __bool__(self) -> bool:
        verdict = bool(self._array)
        escape(self, "a branch on a value")
        return verdict

    def __index__(self) -> int:
        escape(self, "index")
        return operator.index(self._array)

    def __hash__(self) -> int:
        if isinstance(self._array, np.generic):
            escape(self, "hash")
            return hash(self._array)
        raise TypeError(f"unhashable type: {type(self).__name__!r}")

    item = _door("item")
    tolist = _door("tolist")
    tobytes = _door("tobytes")
    tofile = _door("tofile")
    dump = _door("dump")
    dumps = _door("dumps")
    __dlpack__ = _door("__dlpack__", shares=True)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    @property
    def data(self) -> memoryview:
        """The memory itself; the values leave the lineage."""
        escape(self, "data")
        expose(self)
        return memoryview(self._array)

    @property
    def ctypes(self) -> Any:
        """The memory for C; the values leave the lineage."""
        escape(self, "ctypes")
        expose(self)
        return self._array.ctypes

    def __copy__(self) -> Any:
        return wrap(type(self), copy.copy(self._array), self._made_by())

    def __deepcopy__(self, memo: Any) -> Any:
        return wrap(type(self), copy.deepcopy(self._array, memo), self._made_by())

    def __reduce__(self) -> Any:
        node = self._made_by()
        escapes = [tuple(each) for each in escapes_of(node)]
        return _restore, (type(self), self._array, flat(node), escapes)

    def __format__(self, spec: str) -> str:
        return format(self._array, spec) if spec else str(self)


# Not by `__getattr__`: a class that has one reads every attribute of its own the long way, which
# costs each recorded operation 0.15 µs.
for _name in {name for kind in _TEXTS for name in dir(kind) if not name.startswith("_")}:
    if not hasattr(np.ndarray, _name):
        setattr(Protocols, _name, _of_text(_name))
