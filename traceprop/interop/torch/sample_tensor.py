"""A torch tensor that knows which sample each of its rows is.

`SampleTensor` carries sample ids with a fetched batch from the data set to the model's door.
Promises: ids are there only while every row provably is its sample's (casts and copies, elementwise
arithmetic, and movements, which are run on the ids as well); after anything else the result is a
plain tensor, and after an in-place write that isn't vouched for the ids are gone. Pickling, and so
a `DataLoader`'s worker processes, keeps them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from traceprop.interop.torch.sample_dataset import SampleDataset

Ids = NDArray[np.int64]


class SampleTensor(torch.Tensor):
    """A batch, or one sample, with its ids; made by `attach`.

    Attributes
    ----------
    sample_ids : ndarray of int64 or None
        Shape `(rows,)`, or `()` where the whole tensor is one sample. None once unknown.
    owner : SampleDataset or str
        The data set that the ids count in; its key where the object isn't in this process.
    """

    _ids: Ids
    _stamp: int
    owner: SampleDataset | str

    @property
    def sample_ids(self) -> Ids | None:
        """Which sample each row is; None after a write that may have moved rows."""
        with torch._C.DisableTorchFunctionSubclass():
            # Views share the version counter, so a write through one is noticed here too.
            return self._ids if self._version == self._stamp else None

    def plain(self) -> torch.Tensor:
        """Return the same values, sharing memory, as an ordinary tensor."""
        with torch._C.DisableTorchFunctionSubclass():
            return self.as_subclass(torch.Tensor)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a torch function and carry the ids over where its rule says that they still hold."""
        kwargs = kwargs or {}
        rule = _RULES.get(func)
        operands = [] if rule is None else list(_operands(args))
        known = [operand.sample_ids for operand in operands]
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
            if rule is None:
                if func == _SET_DATA and isinstance(args[0], SampleTensor):
                    args[0]._stamp = -1
                return result
            if not operands or any(ids is None for ids in known):
                return result
            if any(operand.owner is not operands[0].owner for operand in operands):
                return result
            return rule(func, args, kwargs, operands, known, result)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as a plain tensor, the ids and the data set's key."""
        owner = self.owner if isinstance(self.owner, str) else self.owner.key
        return _rebuild, (self.plain(), self.sample_ids, owner)

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        values, ids = copy.deepcopy(self.plain(), memo), self.sample_ids
        return values if ids is None else attach(values, ids, self.owner)


def attach(values: torch.Tensor, ids: Ids, owner: SampleDataset | str) -> SampleTensor:
    """Return `values` as a `SampleTensor`, sharing memory.

    Parameters
    ----------
    values : Tensor, shape (rows, ...)
        The rows; any shape where `ids` is one id.
    ids : ndarray of int64, shape (rows,) or ()
        Which sample each row is.
    owner : SampleDataset or str
        The data set that the ids count in, or its key.
    """
    with torch._C.DisableTorchFunctionSubclass():
        tensor = values.as_subclass(SampleTensor)
        tensor._ids, tensor.owner, tensor._stamp = ids, owner, values._version
    return tensor


def take_samples(value: Any) -> tuple[Any, list[SampleTensor]]:
    """Return a structure of arguments with plain tensors, and the `SampleTensor`s it held.

    Looks into lists, tuples and dicts, as a model's arguments are nested.
    """
    found: list[SampleTensor] = []

    def strip(item: Any) -> Any:
        if isinstance(item, SampleTensor):
            found.append(item)
            return item.plain()
        if type(item) in (list, tuple):
            return type(item)(strip(part) for part in item)
        if type(item) is dict:
            return {key: strip(part) for key, part in item.items()}
        return item

    return strip(value), found


def _rebuild(values: torch.Tensor, ids: Ids | None, key: str) -> torch.Tensor:
    from traceprop.interop.torch.sample_dataset import find_dataset

    return values if ids is None else attach(values, ids, find_dataset(key) or key)


def _operands(args: tuple[Any, ...]) -> Iterator[SampleTensor]:
    """Yield the data operands that carry ids: positional ones, and those of a leading list."""
    leading = args[0] if args and isinstance(args[0], (list, tuple)) else ()
    for arg in (*leading, *args):
        if isinstance(arg, SampleTensor):
            yield arg


# --- rules: (func, args, kwargs, operands, their ids, result) -> result, with ids where they hold


def _same_rows(
    func: Any, args: Any, kwargs: Any, operands: list[SampleTensor], known: list[Ids], result: Any
) -> Any:
    """Casts and copies: the operand's rows, unchanged in number and order."""
    if result is operands[0] or args[0] is not operands[0] or not _is_ordinary(result):
        return result
    return attach(result, known[0], operands[0].owner)


def _elementwise(
    func: Any, args: Any, kwargs: Any, operands: list[SampleTensor], known: list[Ids], result: Any
) -> Any:
    """Arithmetic: row i from the operands' rows i, if they are the same samples in a row."""
    first = operands[0]
    if any(not np.array_equal(ids, known[0]) for ids in known[1:]) or not _is_ordinary(result):
        return result
    if result is first:  # in place
        first._stamp = first._version
        return result
    rows = 1 if known[0].ndim else first.ndim  # a single sample must keep its shape
    if result.ndim != first.ndim or result.shape[:rows] != first.shape[:rows]:
        return result
    return attach(result, known[0], first.owner)


def _movement(
    func: Any, args: Any, kwargs: Any, operands: list[SampleTensor], known: list[Ids], result: Any
) -> Any:
    """Indexing, slicing, joining, reshaping: the same function, run on each element's id."""
    data, *rest = args
    if isinstance(data, (list, tuple)):
        if not all(isinstance(part, SampleTensor) for part in data):
            return result
        moved: Any = [_element_ids(part, ids) for part, ids in zip(data, known, strict=False)]
        dimension = data[0].ndim
    elif isinstance(data, SampleTensor):
        moved, dimension = _element_ids(data, known[0]), data.ndim
    else:
        return result
    if torch.dtype in map(type, rest) or not _is_ordinary(result):
        return result
    kwargs = {key: value for key, value in kwargs.items() if key != "out"}
    on_ids = _ON_IDS.get(func, func)(moved, *_to_cpu(rest), **_to_cpu(kwargs))
    single = all(ids.ndim == 0 for ids in known)
    return _attach_moved(result, on_ids, single, dimension, operands[0].owner)


def _attach_moved(
    result: Any, on_ids: Any, single: bool, dimension: int, owner: SampleDataset | str
) -> Any:
    if isinstance(result, (list, tuple)):
        pairs = zip(result, on_ids, strict=True)
        return type(result)(_attach_moved(*pair, single, dimension, owner) for pair in pairs)
    if result.numel() == 0:
        rows_left = result.ndim > 0 and result.shape[0] == 0 and result[:1].numel() == 0
        empty = rows_left and all(result.shape[1:])
        return attach(result, np.empty(0, np.int64), owner) if empty else result
    if result.ndim < dimension or (single and result.ndim == dimension):
        first = on_ids.flatten()[0]
        if bool((on_ids == first).all()):
            return attach(result, np.array(first.item()), owner)
    if result.ndim == 0:
        return result
    rows = on_ids.select(-1, 0) if on_ids.ndim > 1 else on_ids
    while rows.ndim > 1:
        rows = rows.select(-1, 0)
    within = on_ids.stride()[1:]
    # Ids are broadcast along a row, so that a stride of 0 proves a row to be one sample.
    if any(within) and not bool((on_ids == rows.view(-1, *[1] * len(within))).all()):
        return result
    return attach(result, rows.numpy().copy(), owner)


def _element_ids(tensor: SampleTensor, ids: Ids) -> torch.Tensor:
    """Return the id of every element: a broadcast view, which takes no memory."""
    column = torch.from_numpy(ids.reshape(ids.shape + (1,) * (tensor.ndim - ids.ndim)))
    return column.expand(tensor.shape)


def _to_cpu(value: Any) -> Any:
    """Return an index with its tensors plain and beside the ids."""
    if isinstance(value, torch.Tensor):
        return value.as_subclass(torch.Tensor).cpu()
    if type(value) in (list, tuple):
        return type(value)(map(_to_cpu, value))
    if type(value) is dict:
        return {key: _to_cpu(part) for key, part in value.items()}
    return value


def _is_ordinary(result: Any) -> bool:
    if isinstance(result, (list, tuple)):
        return all(map(_is_ordinary, result))
    # Tensors of inference mode have no version counter to watch, and no gradient to record.
    return isinstance(result, torch.Tensor) and not result.is_inference()


_SET_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]

_SAME_ROWS = (
    "to float double half bfloat16 int long bool type cuda cpu contiguous clone detach "
    "detach_ pin_memory requires_grad_"
)
_ELEMENTWISE = (
    "add sub subtract mul multiply div divide true_divide neg abs clamp clip exp log log1p sqrt "
    "square pow sin cos tanh sigmoid relu __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ "
    "__truediv__ __rtruediv__ __pow__ __neg__ __iadd__ __isub__ __imul__ __itruediv__ add_ sub_ "
    "mul_ div_ clamp_ nan_to_num rsub"
)
_MOVEMENT = (
    "__getitem__ index_select select narrow unbind split chunk tensor_split view reshape flatten "
    "unflatten unsqueeze squeeze flip roll stack cat concat vstack expand permute transpose movedim"
)


def _named(names: str) -> Iterator[Any]:
    for name in names.split():
        for home in (torch.Tensor, torch):
            if hasattr(home, name):
                yield getattr(home, name)


_RULES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(_named(_SAME_ROWS), _same_rows),
    **dict.fromkeys(_named(_ELEMENTWISE), _elementwise),
    **dict.fromkeys(_named(_MOVEMENT), _movement),
}
# A broadcast view can't always be viewed where the values can.
_ON_IDS: dict[Any, Callable[..., Any]] = {torch.Tensor.view: torch.Tensor.reshape}
