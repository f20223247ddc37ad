"""The array API standard's linear algebra: NumPy's functions, recorded as any other call."""

from __future__ import annotations

from typing import Final

import numpy as np

_NAMES: Final = (
    "cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank "
    "matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm"
)
NAMES: Final = tuple(_NAMES.split())

__all__ = [*NAMES]

globals().update({name: getattr(np.linalg, name) for name in NAMES})
