"""Plain torch tensors among tracked ones: constants, sample tensors, and targets of writes."""

from __future__ import annotations

from typing import Any, Final

import torch

from traceprop.interop.torch.sample_dataset import find_dataset
from traceprop.interop.torch.sample_tensor import SampleTensor
from traceprop.interop.torch.tracked.values import known_numpy, numpy_dtype, to_numpy
from traceprop.lineage.graph.edge import Edge, Edges, opaque
from traceprop.lineage.graph.node import FIRST, ONE, Constant, Node, Op, make_node
from traceprop.lineage.recording.kept_arrays import constant
from traceprop.lineage.recording.plain_targets import ADOPTIONS, PART, adopt, adopted_as
from traceprop.lineage.recording.tracked import Tracked, attach_view
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import Take
from traceprop.lineage.rowset import row_dtype

KIND: Final[list[type[Tracked]]] = [Tracked]
"""The class of tracked torch tensors, set by the module that defines it."""

SAMPLES: Final = Op("samples")
"""`samples(X, ids)`: a batch that a `DataLoader` gave, whose row i is row ids[i] of X."""


@implements(SAMPLES, family="movement", quiet=True)
def sample_rows(node: Node) -> Edges:
    """Take a batch's rows for samples, which are rows of the features."""
    ids, n = node.args[1], node.inputs[0].n_rows
    if len(ids) == 1:  # the whole tensor is one sample
        ids = ids.repeat(node.n_rows)
    if len(ids) != node.n_rows:
        return opaque(node)
    return [Edge(0, Take(ids.astype(row_dtype(n)), n))]


def wrap_torch(tensor: torch.Tensor, node: Node) -> Any:
    """Make a tracked tensor of a torch tensor and its node."""
    made = KIND[0]()
    made._array = tensor
    made._node = node
    made._state = made._reuse = None
    return made


def known_tensor(tensor: torch.Tensor) -> Any:
    """Return the tracked tensor that a plain one stands for; None for any other."""
    if isinstance(tensor, SampleTensor):
        return of_samples(tensor)
    if not ADOPTIONS:
        return None
    found = adopted_as(tensor, wrap_torch)
    if found is not None:
        return found
    base = tensor._base
    if base is None:
        return None
    whole = adopted_as(base, wrap_torch)
    if whole is None:
        return None
    node = make_node(PART, (whole.node,), ONE, None, tensor.shape, numpy_dtype(tensor.dtype))
    part = wrap_torch(tensor, node)
    attach_view(part, whole)
    return part


def of_samples(tensor: SampleTensor) -> Any:
    """Return a batch of samples as a tracked tensor; None where nobody knows its rows any more."""
    ids, owner = tensor.sample_ids, tensor.owner
    data = find_dataset(owner) if isinstance(owner, str) else owner
    if ids is None or data is None or data.X is None:
        return None
    plain = tensor.plain()
    rows = ids.reshape(-1)
    shape = tuple(plain.shape)
    node = make_node(SAMPLES, (data.X.node,), (FIRST, rows), None, shape, numpy_dtype(plain.dtype))
    return wrap_torch(plain, node)


def constant_of(tensor: torch.Tensor) -> Any:
    """Keep a plain operand for replay: by its values, on the CPU; else by shape and type alone."""
    dtype = known_numpy(tensor)
    if dtype is None or not tensor.is_cpu:
        kept = numpy_dtype(tensor.dtype) if dtype is None else dtype
        return Constant(None, None, tuple(tensor.shape), kept)
    return constant(to_numpy(tensor))


__all__ = ["KIND", "SAMPLES", "adopt", "constant_of", "known_tensor", "of_samples", "wrap_torch"]
