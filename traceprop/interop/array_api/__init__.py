"""The array API standard's namespace for tensors: what `X.__array_namespace__()` returns.

SciPy and scikit-learn ask an array for its namespace and then compute with that alone. This one has
the standard's names (2022.12 and those added up to 2024.12, as far as the installed NumPy has
them), each of them NumPy's own function, so that every call on tensors is recorded as any other.

Promises: a function that makes an array of nothing but its arguments (`zeros`, `arange`) gives a
tensor that rests on no row. Plain data that comes in through `asarray` gives one whose rows are
unknown: its source is called ``unknown:…``, and it is never said to have none, since libraries
take values out and bring them in again this way.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from traceprop.interop.array_api import fft as fft
from traceprop.interop.array_api import linalg as linalg
from traceprop.interop.array_api.creation import MADE, asarray, from_dlpack, made
from traceprop.interop.array_api.creation import meshgrid as meshgrid
from traceprop.interop.array_api.creation import unique_values as unique_values
from traceprop.interop.array_api.special import SPECIAL as special

CONSTANTS: Final = ("e", "inf", "nan", "newaxis", "pi")

_DTYPES: Final = (
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128"
)

_FUNCTIONS: Final = (
    "abs acos acosh add all any argmax argmin argsort asin asinh astype atan atan2 atanh "
    "bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor "
    "broadcast_arrays broadcast_to can_cast ceil clip concat conj copysign cos cosh count_nonzero "
    "cumulative_prod cumulative_sum diff divide empty_like equal exp expand_dims expm1 finfo flip "
    "floor floor_divide full_like greater greater_equal hypot iinfo imag isdtype isfinite isinf "
    "isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or "
    "logical_xor matmul matrix_transpose max maximum mean min minimum moveaxis multiply negative "
    "nextafter nonzero not_equal ones_like permute_dims positive pow prod real reciprocal "
    "remainder repeat reshape result_type roll round searchsorted sign signbit sin sinh sort "
    "sqrt square squeeze stack std subtract sum take take_along_axis tan tanh tensordot tile tril "
    "triu trunc unique_all unique_counts unique_inverse unstack var vecdot where "
    "zeros_like"
)
FUNCTIONS: Final = tuple(_FUNCTIONS.split())
"""The standard's functions that NumPy has under the same name and that take arrays."""
_WANTED: Final = (*CONSTANTS, *_DTYPES.split(), *FUNCTIONS)

globals().update({name: getattr(np, name) for name in _WANTED if hasattr(np, name)})
globals().update({name: made(name) for name in MADE})

__array_api_version__: Final = getattr(np, "__array_api_version__", "2022.12")


def __array_namespace_info__() -> Any:
    """Return the standard's inspection object: dtypes and devices are NumPy's."""
    return np.__array_namespace_info__()


__all__ = [
    *(name for name in _WANTED if hasattr(np, name)),
    *MADE,
    "__array_api_version__",
    "__array_namespace_info__",
    "asarray",
    "fft",
    "from_dlpack",
    "linalg",
    "meshgrid",
    "special",
    "unique_values",
]
