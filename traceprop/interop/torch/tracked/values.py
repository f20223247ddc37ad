"""Torch tensors as NumPy arrays and back: what rules, saved lineages and replay work on.

Promise: no value changes on the way, in either direction. Types that NumPy hasn't (bfloat16, the
8-bit floats) become records of one field that holds the same bits.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from traceprop.errors import LineageError

Array = NDArray[Any]

_SHARED: Final = {
    torch.float64: np.float64, torch.float32: np.float32, torch.float16: np.float16,
    torch.int64: np.int64, torch.int32: np.int32, torch.int16: np.int16, torch.int8: np.int8,
    torch.uint8: np.uint8, torch.bool: np.bool_, torch.complex128: np.complex128,
    torch.complex64: np.complex64, torch.uint16: np.uint16, torch.uint32: np.uint32,
    torch.uint64: np.uint64,
}  # fmt: skip
_BITS_OF: Final = {
    "bfloat16": np.uint16, "complex32": np.uint32, "float8_e4m3fn": np.uint8,
    "float8_e5m2": np.uint8, "float8_e4m3fnuz": np.uint8, "float8_e5m2fnuz": np.uint8,
    "float8_e8m0fnu": np.uint8,
}  # fmt: skip

DTYPES: Final[dict[torch.dtype, np.dtype[Any]]] = {
    **{ours: np.dtype(theirs) for ours, theirs in _SHARED.items()},
    **{
        getattr(torch, name): np.dtype([(name, bits)])
        for name, bits in _BITS_OF.items()
        if hasattr(torch, name)
    },
}
"""Torch's type → the NumPy type of the same values, or of the same bits."""

_BACK: Final = {ours: theirs for theirs, ours in DTYPES.items()}


def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """Return the NumPy type of the same values, or of the same bits.

    Raises
    ------
    LineageError
        For quantized types.
    """
    found = DTYPES.get(dtype)
    if found is None:
        raise LineageError(f"{dtype} has no lineage: use a type of plain numbers.")
    return found


def torch_dtype(dtype: Any) -> torch.dtype:
    """Return the torch type that `numpy_dtype` turned into `dtype`."""
    return _BACK[np.dtype(dtype)]


def known_numpy(tensor: torch.Tensor) -> np.dtype[Any] | None:
    """Return the NumPy type of a dense tensor, None where it is sparse or of no plain type."""
    return DTYPES.get(tensor.dtype) if tensor.layout is torch.strided else None


def to_numpy(tensor: torch.Tensor) -> Array:
    """Return a tensor's values as an array, sharing memory where the tensor is on the CPU.

    Raises
    ------
    LineageError
        When it is sparse or quantized.
    """
    dtype = DTYPES.get(tensor.dtype)
    if tensor.layout is not torch.strided or dtype is None:
        raise LineageError(
            f"A tensor of {tensor.layout} and {tensor.dtype} has no rows to follow: make it dense."
        )
    plain = tensor.detach() if tensor.requires_grad else tensor
    if plain.is_cpu and dtype.kind not in "cV":
        return plain.numpy()
    if not plain.is_cpu:
        plain = plain.cpu()
    if plain.is_conj() or plain.is_neg():
        plain = plain.resolve_conj().resolve_neg()
    if dtype.names is None:
        return plain.numpy()
    bits = plain.view(torch_dtype(dtype[0]))
    return np.asarray(bits.numpy()).view(dtype)


def to_torch(array: Any) -> torch.Tensor:
    """Return an array's values as a tensor, sharing memory where torch can.

    Raises
    ------
    LineageError
        When torch has no such type, as for texts and dates.
    """
    plain = np.asarray(array)
    if not plain.dtype.isnative:
        plain = plain.astype(plain.dtype.newbyteorder("="))
    dtype = _BACK.get(plain.dtype)
    if dtype is None:
        raise LineageError(f"Torch has no type {plain.dtype}: turn the values into numbers first.")
    if not plain.flags.writeable or any(step < 0 for step in plain.strides):
        plain = plain.copy()
    if any(step % max(plain.itemsize, 1) for step in plain.strides):
        plain = plain.copy()
    if plain.dtype.names is None:
        return torch.from_numpy(plain)
    return torch.from_numpy(plain.view(plain.dtype[0])).view(dtype)
