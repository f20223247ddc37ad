"""The methods and attributes that an ndarray has, on a tensor.

A method that NumPy also has as a function records that function: one row rule serves both.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.errors import LineageError
from traceprop.lineage.graph.node import FIRST, ONE, Node, Op, make_node
from traceprop.lineage.recording.calls import call, capture, wrap_result
from traceprop.lineage.recording.counts import count_left, told_by_error
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.shapes import shape_of
from traceprop.lineage.recording.tracked import (
    Tracked,
    attach_view,
    before_write,
    shares_memory,
    spoil,
    wrap,
    write,
)
from traceprop.lineage.recording.ufuncs import call_ufunc
from traceprop.lineage.registry import implements
from traceprop.lineage.rules.elementwise import cast_rows, elementwise_rows
from traceprop.lineage.rules.movement import FIELD, FLATTEN, VIEW, moved_rows
from traceprop.lineage.rules.mutators import mutate

ASTYPE: Final = Op("astype", lambda a, *args, **kwargs: a.astype(*args, **kwargs))
BYTESWAP: Final = Op("byteswap", lambda a: a.byteswap())


def _enlarged(array: Any, shape: Any, order: Any = "C") -> Any:
    cells = np.zeros(int(np.prod(shape)), dtype=array.dtype)
    count = min(cells.size, array.size)
    cells[:count] = array.ravel(order)[:count]
    return cells.reshape(shape, order=order)


RESIZE: Final = Op("resize", _enlarged)

implements(ASTYPE, family="elementwise", quiet=True, shape_from_values=None)(cast_rows)
implements(FIELD, family="elementwise")(elementwise_rows)
implements(BYTESWAP, family="elementwise")(elementwise_rows)
implements(RESIZE, family="movement")(moved_rows)

_SIMPLE: Final = frozenset({int, float, bool, str, type(None), type, slice})
_RESULTS: Final = (np.ndarray, np.generic)
_FLOAT: Final = np.float64
_FLOAT_DTYPE: Final = np.dtype(np.float64)


def _method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method that does and records what `function` does with the tensor first."""

    def method(self: Tracked, *args: Any, **kwargs: Any) -> Any:
        for value in args:
            if type(value) not in _SIMPLE:
                return call(function, (self, *args), kwargs)
        for value in kwargs.values():
            if type(value) not in _SIMPLE:
                return call(function, (self, *args), kwargs)
        try:
            result = getattr(self._array, name)(*args, **kwargs)
        except (ValueError, IndexError):
            told_by_error((self._made_by(),))
            raise
        if result is self._array:  # as astype(copy=False) may return
            return self
        if not isinstance(result, (np.ndarray, np.generic)):
            return wrap_result(function, capture((self, *args), kwargs), result)
        node = self._node if self._state is None else self._made_by()
        made = make_node(
            function,
            (node,),
            (FIRST, *args) if args else ONE,
            kwargs or None,
            result.shape,
            result.dtype,
        )
        tensor = wrap(type(self), result, made)
        if isinstance(result, np.ndarray) and shares_memory(result, self._array):
            attach_view(tensor, self)
        return tensor

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`."
    return method


def _attribute(name: str) -> property:
    return property(operator.attrgetter(f"_array.{name}"), doc=f"As `numpy.ndarray.{name}`.")


def _reduction(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method of a reduction; over one axis, with no options, it takes a short way.

    As with the operators, what can be made before the operation is made before it.
    """
    general = _method(name, function)
    plain = getattr(np.ndarray, name)

    def method(self: Tracked, axis: Any = None, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or not (axis is None or type(axis) is int):
            return general(self, *((axis, *args) if args or axis is not None else ()), **kwargs)
        made = Node()
        made.op = function
        made.inputs = (self._node if self._state is None else self._made_by(),)
        made.args = ONE if axis is None else (FIRST, axis)
        made.kwargs = made.item = made.memo = None
        tensor = type(self)()
        tensor._node = made
        tensor._state = tensor._reuse = None  # a reduction of a large array is small
        try:
            result = plain(self._array, axis)
        except TypeError:  # a scalar in an array's stead
            return general(self, axis)
        tensor._array = result
        if type(result) is _FLOAT:
            made.shape = ()
            made.dtype = _FLOAT_DTYPE
        elif isinstance(result, _RESULTS):
            made.shape = result.shape
            made.dtype = result.dtype
        else:
            return general(self, axis)
        return tensor

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`."
    return method


class Methods(Tracked):
    """Methods and attributes of ndarray."""

    __slots__ = ()

    sum = _reduction("sum", np.sum)
    prod = _reduction("prod", np.prod)
    mean = _reduction("mean", np.mean)
    std = _reduction("std", np.std)
    var = _reduction("var", np.var)
    min = _reduction("min", np.min)
    max = _reduction("max", np.max)
    any = _reduction("any", np.any)
    all = _reduction("all", np.all)
    argmin = _reduction("argmin", np.argmin)
    argmax = _reduction("argmax", np.argmax)
    cumsum = _reduction("cumsum", np.cumsum)
    cumprod = _reduction("cumprod", np.cumprod)
    clip = _method("clip", np.clip)
    round = _method("round", np.round)
    dot = _method("dot", np.dot)
    trace_of_matrix = _method("trace", np.trace)
    diagonal = _method("diagonal", np.diagonal)
    take = _method("take", np.take)
    repeat = _method("repeat", np.repeat)
    choose = _method("choose", np.choose)
    searchsorted = _method("searchsorted", np.searchsorted)
    argsort = _method("argsort", np.argsort)
    argpartition = _method("argpartition", np.argpartition)
    nonzero = _method("nonzero", np.nonzero)
    ravel = _method("ravel", np.ravel)
    swapaxes = _method("swapaxes", np.swapaxes)
    flatten = _method("flatten", FLATTEN)
    astype = _method("astype", ASTYPE)
    getfield = _method("getfield", FIELD)

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        """As `numpy.ndarray.reshape`."""
        wanted = shape[0] if len(shape) == 1 else shape
        if order == "C" and copy is None and not isinstance(wanted, Tracked):
            try:
                array = self._array.reshape(wanted)
            except ValueError:
                told_by_error((self._made_by(),))
                raise
            args = (FIRST, wanted)
            node = make_node(np.reshape, (self._made_by(),), args, None, array.shape, array.dtype)
            tensor = wrap(type(self), array, node)
            if shares_memory(array, self._array):
                attach_view(tensor, self)
            return tensor
        options = {} if order == "C" else {"order": order}
        return call(
            np.reshape, (self, wanted), options if copy is None else {**options, "copy": copy}
        )

    def copy(self, order: str = "C") -> Any:
        """As `numpy.ndarray.copy`, whose order is another one than that of `numpy.copy`."""
        return call(np.copy, (self, order), {})

    def squeeze(self, axis: Any = None) -> Any:
        """As `numpy.ndarray.squeeze`."""
        return call(np.squeeze, (self,) if axis is None else (self, axis), {})

    def transpose(self, *axes: Any) -> Any:
        """As `numpy.ndarray.transpose`."""
        wanted = axes[0] if len(axes) == 1 else (axes or None)
        return call(np.transpose, (self, wanted), {})

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Any:
        """As `numpy.ndarray.compress`."""
        return call(np.compress, (condition, self, axis), {} if out is None else {"out": out})

    def conj(self) -> Any:
        """As `numpy.ndarray.conj`."""
        return call_ufunc(np.conjugate, "__call__", (self,), {})

    conjugate = conj

    def view(self, dtype: Any = None, type: Any = None) -> Any:
        """As `numpy.ndarray.view`, of a dtype; a tensor can't be viewed as another class."""
        if type is not None or dtype is np.ndarray:
            raise LineageError(
                "A tensor can't be viewed as another array class: use traceprop.lineage.values(X)."
            )
        return call(VIEW, (self, self._array.dtype if dtype is None else dtype), {})

    def byteswap(self, inplace: bool = False) -> Any:
        """As `numpy.ndarray.byteswap`."""
        if not inplace:
            return call(BYTESWAP, (self,), {})
        self[...] = call(BYTESWAP, (self,), {})  # type: ignore[index]
        return self

    def __round__(self, ndigits: int | None = None) -> Any:
        if ndigits is None:
            escape(self, "round")
            return round(self._array)
        array = round(self._array, ndigits)
        args = (FIRST, ndigits)
        return wrap(
            type(self),
            array,
            make_node(np.round, (self._made_by(),), args, None, array.shape, array.dtype),
        )

    def sort(
        self, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None
    ) -> None:
        """Sort in place, as `numpy.ndarray.sort`."""
        options = {} if stable is None else {"stable": stable}
        self._rearrange("sort", np.sort, (axis, kind, order), options)

    def partition(
        self, kth: Any, axis: int = -1, kind: Any = "introselect", order: Any = None
    ) -> None:
        """Partition in place, as `numpy.ndarray.partition`."""
        self._rearrange("partition", np.partition, (kth, axis, kind, order), {})

    def _rearrange(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> None:
        captured = capture((self, *args), options)
        before_write(self)
        try:
            getattr(self._array, name)(*captured.args[1:], **options)
        except BaseException:
            spoil(self, captured.nodes, captured.nodes[0])
            raise
        shape, dtype = self._array.shape, self._array.dtype
        template = captured.template
        made = make_node(function, captured.nodes, template, options or None, shape, dtype)
        write(self, made, captured.nodes[0])

    def fill(self, value: Any) -> None:
        """As `numpy.ndarray.fill`."""
        self[...] = value  # type: ignore[index]

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """As `numpy.ndarray.put`."""
        mutate(np.put, (self, indices, values), {"mode": mode})

    def resize(self, *shape: Any, refcheck: bool = True) -> None:
        """As `numpy.ndarray.resize`; refused where other tensors share the memory."""
        wanted = shape[0] if len(shape) == 1 else shape
        flags = self._array.flags
        order = ("F",) if flags.f_contiguous and not flags.c_contiguous else ()
        self._reshape_self(call(RESIZE, (self, wanted, *order), {}))

    def setflags(self, write: Any = None, align: Any = None, uic: Any = None) -> None:
        """As `numpy.ndarray.setflags`."""
        self._array.setflags(write=write, align=align, uic=uic)

    def _reshape_self(self, made: Tracked) -> None:
        if self._state is not None:
            raise LineageError(
                "Other tensors share this one's memory, so it can't change its own shape: use "
                "X = X.reshape(...) or np.resize."
            )
        self._array, self._node = made._array, made._node

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return shape_of(self)

    @shape.setter
    def shape(self, shape: Any) -> None:
        self._reshape_self(_reshaped(self, shape))

    ndim = _attribute("ndim")

    @property
    def size(self) -> int:
        """Number of cells."""
        count_left(self._made_by(), "size", None)
        return int(self._array.size)

    dtype = _attribute("dtype")
    itemsize = _attribute("itemsize")

    @property
    def nbytes(self) -> int:
        """Number of bytes of all cells."""
        count_left(self._made_by(), "nbytes", None)
        return int(self._array.nbytes)

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from each cell to the next along each axis; of another memory order, by rows."""
        count_left(self._made_by(), "strides", None)
        return tuple(self._array.strides)

    flags = _attribute("flags")
    device = _attribute("device")

    @property
    def T(self) -> Any:
        """The tensor with its axes reversed."""
        array = self._array.T
        node = make_node(np.transpose, (self._made_by(),), ONE, None, array.shape, array.dtype)
        tensor = wrap(type(self), array, node)
        attach_view(tensor, self)
        return tensor

    @property
    def mT(self) -> Any:
        """The tensor with its last two axes swapped."""
        return call(np.matrix_transpose, (self,), {})

    @property
    def real(self) -> Any:
        """The real part, a view."""
        return call(np.real, (self,), {})

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> Any:
        """The imaginary part, a view where the values are complex."""
        return call(np.imag, (self,), {})

    @imag.setter
    def imag(self, value: Any) -> None:
        self.imag[...] = value

    @property
    def flat(self) -> Any:
        """The cells in row-major order: a view, or a copy that can't be written."""
        cells = self.reshape(-1)
        if cells._state is None and isinstance(cells._array, np.ndarray):
            cells._array.flags.writeable = False
        return cells

    @flat.setter
    def flat(self, value: Any) -> None:
        mutate(np.copyto, (self, np.resize(value, self.shape)), {})

    @property
    def base(self) -> Any:
        """The tensor whose memory this one shows, None where it is its own."""
        return None if self._state is None else self._state.parent


def _reshaped(tensor: Tracked, shape: Any) -> Tracked:
    array = tensor._array.reshape(shape)
    node = make_node(
        np.reshape, (tensor._made_by(),), (FIRST, shape), None, array.shape, array.dtype
    )
    made: Tracked = wrap(type(tensor), array, node)
    return made
