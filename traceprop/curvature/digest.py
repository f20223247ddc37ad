"""The identity of a model's weights: one SHA-256 over all parameters and buffers.

Promise: equal weights have equal digests whether they are held by a torch module, a state dict or
NumPy arrays, on any machine; a changed bit, name, shape or dtype changes the digest.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn


def model_digest(model_or_state: nn.Module | Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a model's weights.

    Parameters
    ----------
    model_or_state : torch.nn.Module or mapping of str to Tensor or ndarray
        A model, its `state_dict()`, or the same as NumPy arrays.

    Returns
    -------
    str
        64 hex digits. Hashed are, for the entries sorted by name: a JSON line `[name, dtype,
        shape]` and the values as little-endian bytes in C order. Shapes fix the number of bytes,
        so no two states give the same stream.
    """
    state: Mapping[str, Any]
    state = model_or_state if isinstance(model_or_state, Mapping) else model_or_state.state_dict()
    sha = hashlib.sha256()
    for name in sorted(state):
        dtype, shape, values = _plain(state[name])
        sha.update(json.dumps([name, dtype, shape]).encode() + b"\n")
        # As it lies in memory: a copy of the training data would cost half as much again.
        sha.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def _plain(value: Tensor | NDArray[Any]) -> tuple[str, list[int], NDArray[Any]]:
    """Return the dtype's name, the shape, and the values as a little-endian array."""
    if isinstance(value, np.ndarray):
        little = value.astype(value.dtype.newbyteorder("<"), copy=False)
        return value.dtype.name, list(value.shape), little
    name = str(value.dtype).removeprefix("torch.")
    # Seen as bytes, since NumPy has no bfloat16; flattened first, as a 0-d tensor can't be.
    import torch

    raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if sys.byteorder == "big":
        raw = raw.reshape(-1, value.element_size())[:, ::-1]
    return name, list(value.shape), raw
