"""Arrays in a call's template: those that chose rows, and large plain operands.

Recording refers to a large plain array rather than copy it, with the bytes of a few of its cells
(its mark). Promise: whoever reads one by `read` gets the values that the call got, as far as the
mark can tell, or an error; never silently others. A write that leaves the marked cells alone goes
unnoticed: over a million rows a sum of all cells takes 8 % of a gather by them, a CRC-32 44 %.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import ChangedArrayError

_CELLS: Final = 61


def fingerprint(array: NDArray[Any]) -> bytes:
    """Return the bytes of a few evenly spaced cells."""
    plain = np.asarray(array)
    step = max(1, plain.size // _CELLS)
    if plain.flags.c_contiguous:
        return plain.reshape(-1)[::step].tobytes()
    return plain.flat[::step].tobytes()  # without a copy of all cells


class Held:
    """An array that chose rows: a mask or an index, tracked (`index` ≥ 0) or plain (−1).

    `array` is held by reference, not copied; None at granularity "op", which keeps no rows, and
    where a saved lineage couldn't keep it. Whoever writes into a tracked array calls `protect` on
    its holders first; memory that others can write into is checked by its `mark`.
    """

    __slots__ = ("__weakref__", "array", "index", "mark")

    def __init__(self, index: int, array: Any, mark: bytes | None = None) -> None:
        self.index = index
        self.array = array
        self.mark = mark

    def protect(self) -> None:
        """Keep the values as they are now: the memory behind `array` is about to be written."""
        if self.array is not None:
            self.array = self.array.copy()

    def read(self) -> NDArray[Any]:
        """Return the array as the call got it.

        Raises
        ------
        ChangedArrayError
            When it wasn't kept, or was written into since.
        """
        array, mark = self.array, self.mark
        if array is None:
            raise ChangedArrayError(
                "A mask or an index wasn't kept: record at granularity 'row', not 'op'."
            )
        _check(array, mark)
        return np.asarray(array)

    def __reduce__(self) -> Any:
        return Held, (self.index, self.array, self.mark)

    def __repr__(self) -> str:
        return f"<rows chosen by input {self.index}>" if self.index >= 0 else "<rows chosen>"


def make_held(index: int, array: Any) -> Held:
    """Make a `Held` without a mark."""
    held = object.__new__(Held)
    held.index = index
    held.array = array
    held.mark = None
    return held


class Constant:
    """A large plain operand, by reference and with a mark; its shape and dtype are always known.

    NumPy functions take it as an array (`__array__` reads it). `array` is None where a saved
    lineage couldn't keep it.
    """

    __slots__ = ("array", "dtype", "mark", "shape")

    index: Final = -1  # of no tracked input, as a plain `Held`

    def __init__(
        self,
        array: NDArray[Any] | None,
        mark: bytes | None,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.array = array
        self.mark = mark
        self.shape = shape
        self.dtype = dtype

    @classmethod
    def of(cls, array: NDArray[Any]) -> Constant:
        """Refer to an array that others may write into."""
        return cls(array, fingerprint(array), array.shape, array.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def read(self) -> NDArray[Any]:
        """Return the array as the call got it.

        Raises
        ------
        ChangedArrayError
            When it wasn't saved, or was written into since.
        """
        array, mark = self.array, self.mark
        if array is None:
            raise ChangedArrayError(
                f"A plain array of {self.dtype}{list(self.shape)} isn't in the saved lineage: it "
                "was changed before it was saved, or holds values that can't be."
            )
        _check(array, mark)
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.read(), dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<plain array {self.dtype}{list(self.shape)}>"


def _check(array: NDArray[Any], mark: bytes | None) -> None:
    if mark is not None and fingerprint(array) != mark:
        raise ChangedArrayError(
            f"A plain array {array.dtype}{list(array.shape)} that was used in a recorded call was "
            "changed afterwards: give the call a copy, or make the array with traceprop.array."
        )
