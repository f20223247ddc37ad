"""Features and labels as a torch `Dataset` whose samples know their ids and their source rows.

`dataset` checks the data once (finite, same length, features and labels of the same source rows)
and keeps them as torch tensors. Promises: sample i is row i of X and of y; the ids reach the model
through an ordinary `DataLoader`, whatever its sampler, workers and order; the lineage stays here,
in the process that made the data set.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from traceprop.errors import DataError
from traceprop.interop.torch.alignment import check_aligned, place
from traceprop.interop.torch.sample_tensor import Ids, SampleTensor, attach
from traceprop.lineage import ProvenanceTensor, values
from traceprop.lineage.recording.counts import count_left

_DATASETS: WeakValueDictionary[str, SampleDataset] = WeakValueDictionary()


class SampleDataset(Dataset[Any]):
    """Samples for a `DataLoader`; made by `dataset`.

    Attributes
    ----------
    inputs : Tensor, shape (n, ...)
        What the model is trained on.
    targets : Tensor, shape (n, ...), or None
        The labels; None where only features were given.
    X, y : ProvenanceTensor or None
        Where they came from; None for plain data, and in another process.
    columns : tuple of str or None
        The names of the inputs' columns, where they are known.
    """

    def __init__(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor | None,
        X: ProvenanceTensor | None,
        y: ProvenanceTensor | None,
    ) -> None:
        self.inputs, self.targets, self.X, self.y = inputs, targets, X, y
        self.columns = None if X is None else X.columns
        self.key = uuid.uuid4().hex
        _DATASETS[self.key] = self

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: Any) -> SampleItem | SampleTensor:
        """Return sample `index` as (input, target); a slice or an array of ids gives a batch."""
        if isinstance(index, slice):
            ids = np.arange(len(self))[index]
        elif isinstance(index, (list, np.ndarray, torch.Tensor)):
            ids = np.arange(len(self))[np.asarray(index)]
        else:
            ids = np.array(range(len(self))[index])
        where = torch.from_numpy(ids)
        inputs = attach(self.inputs[where], ids, self)
        return inputs if self.targets is None else SampleItem((inputs, self.targets[where]))

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return the samples of a batch, gathered in one go; called by `DataLoader`."""
        if self.targets is None:
            return [self[i] for i in indices]
        ids = np.asarray(indices, np.int64)
        return _FetchedItems(self, self.targets, np.where(ids < 0, ids + len(self), ids))

    def __getstate__(self) -> dict[str, Any]:
        # A worker process hands out numbers and ids. The lineage is needed, and stays, at home.
        return {**self.__dict__, "X": None, "y": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _DATASETS.setdefault(self.key, self)


class SampleItem(tuple[Any, ...]):
    """One sample as (input, target). A type of its own, so that collating it can be fast."""

    __slots__ = ()


class _FetchedItems(Sequence[Any]):
    """The samples of one batch: looks like their list, and is collated without taking it apart."""

    def __init__(self, owner: SampleDataset, targets: torch.Tensor, ids: Ids) -> None:
        index = torch.from_numpy(ids)
        self.inputs = attach(owner.inputs.index_select(0, index), ids, owner)
        self.targets = targets.index_select(0, index)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: Any) -> SampleItem:
        return SampleItem((self.inputs[i], self.targets[i]))

    def __iter__(self) -> Iterator[SampleItem]:
        return map(self.__getitem__, range(len(self)))


def _collate_items(batch: Sequence[SampleItem], *, collate_fn_map: Any = None) -> list[Any]:
    if isinstance(batch, _FetchedItems):
        return [batch.inputs, batch.targets]
    return [torch.stack(list(part)) for part in zip(*batch, strict=True)]


# The documented way to teach `default_collate` a type.
default_collate_fn_map[SampleItem] = _collate_items


def find_dataset(key: str) -> SampleDataset | None:
    """Return the living data set of that key; None where this process has none."""
    return _DATASETS.get(key)


def dataset(
    X: Any, y: Any, *, dtype: torch.dtype | None = None, target_dtype: torch.dtype | None = None
) -> SampleDataset:
    """Make a torch `Dataset` of features and labels that carries its samples' ids.

    Parameters
    ----------
    X : ProvenanceTensor or array_like, shape (n, ...)
        The features; row i is sample i.
    y : ProvenanceTensor or array_like, shape (n, ...)
        The labels, one a sample.
    dtype : torch.dtype, optional
        Of the inputs. By default torch's default dtype for floating X, else X's own.
    target_dtype : torch.dtype, optional
        Of the targets. By default int64 where all are whole numbers, else torch's default dtype.

    Returns
    -------
    SampleDataset

    Raises
    ------
    DataError
        A value is NaN or infinite, or becomes so in `dtype` (the message names the sample, its
        source row and the column); X and y differ in length, or come from different rows of a
        source; the data aren't numbers, or there are none.

    Examples
    --------
    >>> import numpy as np
    >>> data = dataset(np.eye(3), np.array([0.0, 1.0, 1.0]))
    >>> data[1]
    (SampleTensor([0., 1., 0.]), tensor(1))
    """
    features, labels = _array(X, "X"), _array(y, "y")
    for each in (X, y):
        if isinstance(each, ProvenanceTensor):
            count_left(each.node, "torch.dataset", None)
    if len(features) != len(labels):
        raise DataError(
            f"X has {len(features)} rows and y has {len(labels)}; give each sample one label"
        )
    _check_finite(features, X, "X")
    _check_finite(labels, y, "y")
    tracked = [item if isinstance(item, ProvenanceTensor) else None for item in (X, y)]
    if tracked[0] is not None and tracked[1] is not None:
        check_aligned(tracked[0], tracked[1])
    if target_dtype is None and labels.dtype != bool and np.all(labels == np.floor(labels)):
        target_dtype = torch.int64
    inputs = _tensor(features, dtype, X, "X")
    return SampleDataset(inputs, _tensor(labels, target_dtype, y, "y"), *tracked)


def tensor(X: Any, *, dtype: torch.dtype | None = None) -> SampleTensor:
    """Return all rows of X as one torch tensor that carries their ids, for training in one batch.

    Parameters
    ----------
    X : ProvenanceTensor or array_like, shape (n, ...)
        The features; row i is sample i.
    dtype : torch.dtype, optional
        By default torch's default dtype for floating X, else X's own.

    Returns
    -------
    SampleTensor, shape (n, ...)

    Raises
    ------
    DataError
        As for `dataset`.
    """
    features = _array(X, "X")
    _check_finite(features, X, "X")
    tracked = X if isinstance(X, ProvenanceTensor) else None
    if tracked is not None:
        count_left(tracked.node, "torch.tensor", None)
    owner = SampleDataset(_tensor(features, dtype, X, "X"), None, tracked, None)
    return attach(owner.inputs.clone(), np.arange(len(owner)), owner)


def _array(data: Any, name: str) -> NDArray[Any]:
    if isinstance(data, ProvenanceTensor):
        array = values(data)
    elif isinstance(data, torch.Tensor):
        array = data.detach().cpu().numpy()
    else:
        array = np.asarray(data)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} has values of type {array.dtype}; turn them into numbers first")
    if array.ndim == 0 or len(array) == 0:
        raise DataError(f"{name} has no rows; give one row a sample")
    return array


def _check_finite(array: NDArray[Any], data: Any, name: str) -> None:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    raise DataError(
        f"{name} holds {array[at]} at {place(data, at)}; drop the row, or fill the value in with "
        f"a recorded step such as np.where"
    )


def _tensor(array: NDArray[Any], dtype: torch.dtype | None, data: Any, name: str) -> torch.Tensor:
    if dtype is None and array.dtype.kind == "f":
        dtype = torch.get_default_dtype()
    converted = torch.tensor(array, dtype=dtype)
    if array.dtype.kind == "f" and not bool(torch.isfinite(converted).all()):
        at = tuple(int(i) for i in torch.nonzero(~torch.isfinite(converted))[0])
        raise DataError(
            f"{name} holds {array[at]:g} at {place(data, at)}, too large for {converted.dtype}; "
            f"scale the column, or give a wider dtype"
        )
    return converted
