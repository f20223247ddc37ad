"""Between NumPy and torch tensors, and from plain torch tensors into the lineage."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch

from traceprop.errors import LineageError
from traceprop.interop.torch.tracked.ops import Door, known_dtype
from traceprop.interop.torch.tracked.plain import KIND, wrap_torch
from traceprop.interop.torch.tracked.values import to_numpy, to_torch
from traceprop.lineage.graph.node import ONE, Op, make_node
from traceprop.lineage.recording.counts import count_left
from traceprop.lineage.recording.tracked import Tracked, attach_view
from traceprop.lineage.registry import implements
from traceprop.lineage.rules.elementwise import elementwise_rows

TO_NUMPY: Final = Op("numpy of torch", lambda array: array)
TO_TORCH: Final = Door("torch of numpy", lambda array: array)
"""The doors between NumPy and torch tensors: the same values, and the same memory."""

for _door in (TO_NUMPY, TO_TORCH):
    implements(_door, family="elementwise", quiet=True)(elementwise_rows)


def from_numpy(X: Any) -> Any:
    """Go on in torch: a torch tensor of the same values, with the same lineage.

    Parameters
    ----------
    X : ProvenanceTensor
        Over a NumPy array.

    Returns
    -------
    TorchTensor
        On the same memory, as `torch.from_numpy` gives it; on a copy where torch can't share it
        (negative strides, read-only arrays).

    Raises
    ------
    LineageError
        When X isn't tracked, or torch has no such type.

    Examples
    --------
    >>> X = traceprop.array([[1.0, 2.0], [3.0, 4.0]], name="table")
    >>> traceprop.torch.from_numpy(X).softmax(dim=1)[1].sources()
    {table: row 1}
    """
    if isinstance(X, KIND[0]):
        return X
    if not isinstance(X, Tracked):
        raise LineageError("from_numpy takes a tensor with lineage: make one with traceprop.array.")
    count_left(X.node, "torch.from_numpy", None)  # torch's shapes don't say where they are read
    array = np.asarray(X._array)
    tensor = to_torch(array)
    node = make_node(TO_TORCH, (X.node,), ONE, None, tuple(tensor.shape), known_dtype(tensor.dtype))
    made = wrap_torch(tensor, node)
    if np.may_share_memory(array, to_numpy(tensor)):
        attach_view(made, X)
    return made


def tracked(tensor: torch.Tensor, source: Any, name: Any, columns: Any, dtype: Any) -> Any:
    """Make a tensor of a plain torch tensor; see `traceprop.array`."""
    from traceprop.interop.torch.sample_tensor import SampleTensor
    from traceprop.interop.torch.tracked.plain import of_samples
    from traceprop.lineage.tensor import array

    if isinstance(tensor, SampleTensor):
        known = of_samples(tensor)
        if known is not None:
            return known.clone() if dtype is None else known.to(dtype, copy=True)
        tensor = tensor.plain()
    plain = tensor.detach().clone() if dtype is None else tensor.detach().to(dtype, copy=True)
    if not plain.is_contiguous() and tensor.is_contiguous():
        plain = plain.contiguous()
    leaf = array(to_numpy(plain), source=source, name=name, columns=columns)
    made = make_node(
        TO_TORCH, (leaf.node,), ONE, None, tuple(plain.shape), known_dtype(plain.dtype)
    )
    return wrap_torch(plain, made)
