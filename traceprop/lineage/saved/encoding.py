"""How a template is written as JSON, and read again without executing anything."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy._core import umath  # all ufuncs: those behind np.strings have no public name

from traceprop.lineage.graph.node import (
    Constant,
    Held,
    Op,
    Recipe,
    Slot,
    UfuncMethod,
    slot,
    ufunc_method,
)
from traceprop.lineage.recording.kept_arrays import is_unchanged
from traceprop.lineage.registry import UNKNOWN, classification, rule_of

_UFUNC_METHODS: Final = ("reduce", "accumulate", "reduceat", "outer", "at")


class Unresolved:
    """An operation or a value of a saved lineage that can't be made again: only its name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: there is nothing to call."""
        raise TypeError(f"{self.name} was saved by name only")

    def __repr__(self) -> str:
        return f"<{self.name}>"


def operation_name(op: Callable[..., Any]) -> str:
    """Return the name under which an operation is saved."""
    if isinstance(op, Op):
        return f"traceprop:{op.name}"
    if isinstance(op, np.ufunc):
        return f"ufunc:{op.__name__}"
    if isinstance(op, UfuncMethod):
        return f"ufunc:{op.__name__}"
    if isinstance(op, Unresolved):
        return op.name
    module = getattr(op, "__module__", None) or "?"
    return f"{module}:{getattr(op, '__name__', type(op).__name__)}"


class Encoder:
    """Turns templates into JSON and collects the arrays in them."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray[Any, Any]] = []
        self._numbers: dict[int, int] = {}

    @staticmethod
    def dtype(dtype: np.dtype[Any]) -> str:
        """Return a dtype as text that `Decoder.dtype` reads."""
        if dtype.kind == "T":
            return '"StringDType"'
        return json.dumps(np.lib.format.dtype_to_descr(dtype))

    def _array(self, array: np.ndarray[Any, Any]) -> int:
        number = self._numbers.get(id(array))
        if number is None:
            number = self._numbers[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return number

    def value(self, value: Any) -> Any:
        """Return a value of a template as JSON; what can't be saved becomes its name."""
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float) and not isinstance(value, np.generic):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, Held):
            kept = self._array(np.asarray(value.array)) if is_unchanged(value) else None
            return {"held": value.index, "array": kept}
        if isinstance(value, Slot):
            return {"slot": value.index}
        if isinstance(value, (np.ndarray, np.generic, Constant)):
            return self._plain(value)
        return self._structure(value)

    def _plain(self, value: np.ndarray[Any, Any] | np.generic | Constant) -> Any:
        """Return a plain operand; of one that can't be saved, or was changed, shape and dtype."""
        if value.dtype.hasobject or value.dtype.kind == "T":
            return {"lost": [list(value.shape), self.dtype(value.dtype)]}
        if isinstance(value, Constant):
            if not is_unchanged(value):
                return {"lost": [list(value.shape), self.dtype(value.dtype)]}
            value = value.read()
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {kind: self._array(np.asarray(value))}

    def _structure(self, value: Any) -> Any:
        if isinstance(value, Recipe):
            parts = [self.value(value.args), self.value(value.kwargs), value.item]
            return {"recipe": [operation_name(value.op), *parts]}
        if isinstance(value, tuple):
            return {"tuple": [self.value(each) for each in value]}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, dict):
            return {"dict": {str(name): self.value(each) for name, each in value.items()}}
        if isinstance(value, slice):
            return {"slice": [self.value(each) for each in (value.start, value.stop, value.step)]}
        if value is Ellipsis:
            return {"ellipsis": True}
        if isinstance(value, np.dtype) or (isinstance(value, type) and value in _TYPES):
            return {"dtype": self.dtype(np.dtype(value))}
        if isinstance(value, complex):
            return {"complex": [value.real, value.imag]}
        if isinstance(value, range):
            return [*value]
        return {"unsaved": repr(value)[:200]}


_TYPES: Final = frozenset({bool, int, float, complex, str, bytes, object}) | {
    getattr(np, name)
    for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8",
                 "uint16", "uint32", "uint64", "bool_", "complex64", "complex128", "str_")
}  # fmt: skip


class Decoder:
    """Turns JSON back into templates.

    Parameters
    ----------
    arrays : list of ndarray
        The arrays that templates refer to by number.
    """

    def __init__(self, arrays: list[np.ndarray[Any, Any]]) -> None:
        self._arrays = arrays
        # Only what has a row rule can be a node: no function that opens files, for example.
        self._functions = {
            operation_name(f): f for f in classification() if rule_of(f).family != UNKNOWN
        }

    @staticmethod
    def dtype(text: str) -> np.dtype[Any]:
        """Read what `Encoder.dtype` wrote."""
        described = json.loads(text)
        if described == "StringDType":
            return np.dtypes.StringDType()
        return np.lib.format.descr_to_dtype(_tuples(described))

    def operation(self, name: str) -> Callable[..., Any]:
        """Find an operation by its saved name; one that isn't known is kept by name."""
        home, _, rest = name.partition(":")
        if home == "traceprop":
            return Op.called(rest)
        if home == "ufunc":
            base, _, method = rest.partition(".")
            ufunc = getattr(umath, base, None)
            if isinstance(ufunc, np.ufunc):
                if not method:
                    return ufunc
                if method in _UFUNC_METHODS:
                    return ufunc_method(ufunc, method)
        return self._functions.get(name) or Unresolved(name)

    def value(self, stored: Any) -> Any:
        """Return the value that `Encoder.value` wrote."""
        if isinstance(stored, list):
            return [self.value(each) for each in stored]
        if not isinstance(stored, dict):
            return stored
        if "held" in stored:
            place = stored["array"]
            return Held(stored["held"], None if place is None else self._arrays[place])
        (tag, content), *more = stored.items()
        if more:
            raise ValueError(f"a value with {len(stored)} tags")
        return _DECODERS[tag](self, content)

    def _recipe(self, content: list[Any]) -> Recipe:
        name, args, kwargs, item = content
        return Recipe(self.operation(name), self.value(args), self.value(kwargs), item)


_DECODERS: Final[dict[str, Callable[[Decoder, Any], Any]]] = {
    "slot": lambda d, v: slot(v),
    "array": lambda d, v: d._arrays[v],
    "scalar": lambda d, v: d._arrays[v][()],
    "lost": lambda d, v: Constant(None, None, tuple(v[0]), d.dtype(v[1])),
    "float": lambda d, v: float(v),
    "complex": lambda d, v: complex(*v),
    "tuple": lambda d, v: tuple(d.value(each) for each in v),
    "dict": lambda d, v: {name: d.value(each) for name, each in v.items()},
    "slice": lambda d, v: slice(*(d.value(each) for each in v)),
    "ellipsis": lambda d, v: Ellipsis,
    "dtype": lambda d, v: d.dtype(v),
    "recipe": lambda d, v: d._recipe(v),
    "unsaved": lambda d, v: Unresolved(v),
}


def _tuples(described: Any) -> Any:
    """JSON lists back into the tuples that a dtype's description has for each field."""
    return [_field(*field) for field in described] if isinstance(described, list) else described


def _field(name: Any, kind: Any, *shape: list[int]) -> tuple[Any, ...]:
    """Name, or title and name; type; and the shape of a field of several numbers."""
    return tuple(name) if isinstance(name, list) else name, _tuples(kind), *map(tuple, shape)
