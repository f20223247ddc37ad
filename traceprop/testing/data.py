"""Small arrays of every kind of value, with NaN, infinities, signed zeros and ties among them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traceprop.testing.choices import Choices

Array = NDArray[Any]

_DAY: Final = np.datetime64("2024-02-28")

POOLS: Final[dict[str, tuple[Any, ...]]] = {
    "float64": (0.0, 1.0, 2.0, -1.0, 0.5, 3.0, 7.25, -2.5, 1.0, 1e3, -0.0, np.nan, np.inf, -np.inf),
    "float32": (0.0, 1.0, -1.0, 2.0, 0.25, 5.5, np.nan, np.inf, -0.0),
    "int64": (0, 1, 2, 3, -1, 4, 1, -2),
    "int32": (0, 1, 2, 3, -1, 5),
    "uint8": (0, 1, 2, 3, 4, 200),
    "bool": (False, True),
    "complex128": (0j, 1 + 0j, 1j, 2 - 1j, -1 + 0.5j, complex(np.nan, 0), complex(np.inf, 1)),
    "<U3": ("a", "b", "ab", "", "c", "aB"),
    "datetime64[D]": (*(_DAY + i for i in (0, 1, 2, 30)), np.datetime64("NaT", "D")),
    "timedelta64[D]": tuple(np.timedelta64(i, "D") for i in (0, 1, -2, 30)),
    "T": ("a", "b", "ab", "", "c", "a longer one"),
    "f8,i4": ((0.0, 0), (1.0, 2), (-2.5, 1), (np.nan, 0)),
    "O": (0, 1, 2.5, -1, 10**20),
}
"""Values of each dtype; the simplest come first."""

NUMBERS: Final = ("float64", "int64", "float32", "int32", "uint8", "bool", "complex128")
OTHERS: Final = ("<U3", "datetime64[D]", "timedelta64[D]", "T", "f8,i4", "O")


def draw_shape(choices: Choices, n_rows: int, most_cells: int = 18) -> tuple[int, ...]:
    """Draw a shape of one to three dimensions with `n_rows` rows."""
    ndim = choices.pick((1, 2, 2, 3))
    shape = (n_rows, *choices.integers(1, 3, ndim - 1))
    while np.prod(shape) > most_cells:
        shape = shape[:-1]
    return shape


def draw_array(choices: Choices, dtype: str, shape: tuple[int, ...], finite: bool = False) -> Array:
    """Draw an array of values from the dtype's pool.

    Parameters
    ----------
    finite : bool
        Leave NaN, NaT and infinities out.
    """
    pool = POOLS[dtype]
    if finite:
        pool = tuple(value for value in pool if not _special(value))
    cells = [choices.pick(pool) for _ in range(int(np.prod(shape)))]
    return np.array(cells, dtype=dtype).reshape(shape)


def _special(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_special, value))
    if isinstance(value, (float, complex)):
        return not np.isfinite(value)
    return isinstance(value, np.datetime64) and bool(np.isnat(value))
