"""At least one example call of every function that NumPy lets us override.

`EXAMPLES` says, for each function, how it is called on tracked inputs. An input is written as what
it is (`X`, `CODES`); the same object in several calls is the same array. The completeness test runs
every example and asks the perturbation oracle whether the lineage is right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.char
import numpy.fft
import numpy.polynomial.polynomial as polynomial
import numpy.strings
from numpy.lib import recfunctions as rf

from traceprop.testing.program import Step, Var

Function = Callable[..., Any]


class Input:
    """A tracked argument of an example."""

    def __init__(self, array: Any, dtype: Any = None) -> None:
        self.array = np.array(array, dtype=dtype)


class Example:
    """A call; as a function of the plain or tracked inputs it returns what the call does.

    A function that returns nothing writes into its first argument, which is then the result.
    """

    def __init__(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.inputs: list[Input] = []
        # LAPACK may hang on infinities.
        self.finite = function.__module__ == "numpy.linalg" or function in (np.roots, np.polyfit)
        self._step = Step(function, self._number(args), self._number(kwargs))

    def _number(self, value: Any) -> Any:
        if isinstance(value, Input):
            if value not in self.inputs:
                self.inputs.append(value)
            return Var(self.inputs.index(value))
        if isinstance(value, (tuple, list)):
            return type(value)(self._number(each) for each in value)
        if isinstance(value, dict):
            return {name: self._number(each) for name, each in value.items()}
        return value

    @property
    def arrays(self) -> list[np.ndarray]:
        return [each.array for each in self.inputs]

    def __call__(self, *arrays: Any) -> Any:
        result = self.returned(*arrays)
        return arrays[0] if result is None else result

    def named(self, kept: int) -> Example:
        """Return the same call with the arguments behind the first `kept` given by name."""
        other = copy.copy(self)
        other._step = self._step.named(kept)
        return other

    def returned(self, *arrays: Any) -> Any:
        """What the function itself returns."""
        return self._step.result(list(arrays))

    def __repr__(self) -> str:
        return str(self._step)


EXAMPLES: dict[Function, list[Example]] = {}


def example(function: Function, *args: Any, **kwargs: Any) -> None:
    EXAMPLES.setdefault(function, []).append(Example(function, args, kwargs))


_rng = np.random.default_rng(12)

X = Input(_rng.normal(size=(5, 3)).round(2))
Y = Input(_rng.normal(size=(5, 3)).round(2))
V = Input([1.5, -2.0, 0.25, 4.0, -1.0, 3.0])
W = Input([0.5, 2.0, -1.5])
CUBE = Input(_rng.normal(size=(4, 3, 2)).round(2))
HOLES = Input([[1.0, np.nan], [2.0, 5.0], [np.nan, 0.5], [4.0, -3.0]])
COMPLEX = Input([[1 + 1j, 2.0], [0.5j, -1.0], [3.0, 2 - 1j]])
CODES = Input([2, 0, 1, 2, 0, 3])
TABLE = Input([[3, 1], [0, 2], [5, 4]])
BYTES = Input([[3], [200], [7]], dtype=np.uint8)
MASK = Input([True, False, True, True, False])
CELLS = Input(_rng.normal(size=(5, 3)) > 0)
MATRIX = Input([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 5.0]])
STACK = Input(np.stack([MATRIX.array, 2 * MATRIX.array + np.eye(3), MATRIX.array @ MATRIX.array]))
VECTORS = Input(_rng.normal(size=(4, 3)).round(2))
UNSORTED = Input([3.0, 1.0, 2.0, 1.0, 5.0])
ORDERED = Input([0.0, 1.0, 2.5, 4.0])
ZEROS = Input([0.0, 0.0, 1.0, 2.0, 0.0])
POSITIVE = Input([[1.0, 4.0], [2.0, 9.0], [3.0, 0.5]])
WORDS = Input(["ab", "Cd ef", "g", "a b"])
RAW = Input([b"ab", b"c", b"de"])
DAYS = Input(["2024-02-28", "2024-03-01", "2024-03-04"], dtype="datetime64[D]")
RECORDS = Input([(1, 2.5), (2, 3.5), (2, 0.5)], dtype=[("k", "i8"), ("v", "f8")])
NUMBER = Input([2.0])

FALSE = Input(np.zeros((4, 3), dtype=bool))
UNIT = Input([[0.5, 0.25], [-0.1, 0.75], [0.0, -0.5]])
for axis in (0, 1):
    example(np.any, FALSE, axis=axis)
    example(np.all, Input(~FALSE.array), axis=axis)
for f in (np.sum, np.mean, np.max, np.min, np.prod, np.std, np.var, np.ptp, np.amax, np.amin,
          np.median, np.average, np.count_nonzero):  # fmt: skip
    for axis in (0, 1):
        example(f, X, axis=axis)
for f in (np.nansum, np.nanmean, np.nanmax, np.nanmin, np.nanprod, np.nanstd, np.nanvar,
          np.nanmedian):  # fmt: skip
    for axis in (0, 1):
        example(f, HOLES, axis=axis)
for f in (np.argmax, np.argmin, np.nanargmax, np.nanargmin):
    example(f, X, axis=0)
    example(f, X, axis=1)
for f in (np.percentile, np.quantile, np.nanpercentile, np.nanquantile):
    example(f, X, 0.5, axis=0)
    example(f, X, 0.5, axis=1)
example(np.sum, X, where=CELLS)
example(np.sum, CUBE, axis=(0, 2), keepdims=True)
example(np.average, X, axis=1, weights=W)
example(np.trapezoid, X, axis=1)
example(np.trapezoid, V)
example(np.linalg.norm, X, axis=1)
example(np.linalg.norm, X)
example(np.linalg.vector_norm, X, axis=-1)
example(np.linalg.matrix_norm, STACK)
example(np.trace, MATRIX)
example(np.linalg.trace, STACK)

for f in (np.round, np.around, np.fix, np.nan_to_num, np.isneginf, np.isposinf, np.sinc, np.i0,
          np.copy, np.real, np.angle):  # fmt: skip
    example(f, X)
example(np.real_if_close, Input([1 + 0j, 2, 3]))
for f in (np.real, np.imag, np.angle, np.iscomplex, np.isreal):
    example(f, COMPLEX)
example(np.isclose, X, X.array)
example(np.clip, X, -1, W)
example(np.astype, X, np.float32)
for f in (np.emath.sqrt, np.emath.log, np.emath.log2, np.emath.log10):
    example(f, POSITIVE)
for f in (np.emath.arccos, np.emath.arcsin, np.emath.arctanh):
    example(f, UNIT)
example(np.emath.logn, 2, POSITIVE)
example(np.emath.power, POSITIVE, 2)
example(np.polyval, [1.0, 2.0, 3.0], X)
example(np.polyval, W, V)
example(polynomial.polyval2d, V, CODES, np.array([[1.0, 2.0], [3.0, 4.0]]))
example(polynomial.polygrid2d, W, V, np.array([[1.0, 2.0], [3.0, 4.0]]))
example(np.piecewise, V, [V.array < 0], [np.cumsum, 1.0])

for f in (np.dot, np.matmul, np.linalg.matmul):
    example(f, X, MATRIX)
    example(f, X, MATRIX.array)
example(np.inner, X, W)
example(np.vdot, W, VECTORS.array[0])
for f in (np.outer, np.linalg.outer):
    example(f, W, V)
example(np.kron, W, V)
for f in (np.tensordot, np.linalg.tensordot):
    example(f, X, MATRIX, axes=1)
example(np.einsum, "ij,jk->ik", X, MATRIX)
example(np.einsum, "ij->j", X)
example(np.einsum, "i...,i...->i...", X, X)
example(np.einsum, X, [0, 1], MATRIX, [1, 2], [0, 2])
for f in (np.cross, np.linalg.cross):
    example(f, VECTORS, VECTORS.array[::-1])
for f in (np.linalg.vecdot, np.vecdot):
    example(f, X, Y)
    example(f, X, W)
for f in (np.matvec, np.vecmat):
    example(f, STACK, VECTORS.array[:3]) if f is np.matvec else example(f, VECTORS.array[:3], STACK)
example(np.linalg.multi_dot, [X, MATRIX, MATRIX])

for f in (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod, np.cumulative_sum,
          np.cumulative_prod):  # fmt: skip
    example(f, X, axis=0)
    example(f, X, axis=1)
example(np.unwrap, V)
example(np.diff, X, axis=0)
example(np.diff, V, prepend=0.0)
example(np.ediff1d, V)
example(np.gradient, X, axis=0)
example(np.gradient, V, edge_order=2)
for f in (np.convolve, np.correlate):
    for mode in ("full", "same", "valid"):
        example(f, V, W, mode)
example(np.lib.stride_tricks.sliding_window_view, V, 3)

example(np.searchsorted, ORDERED, V)
example(np.searchsorted, [0.0, 1.0], X)
example(np.digitize, V, ORDERED)
example(np.interp, V, ORDERED, [1.0, 2.0, 0.0, 5.0])
example(np.isin, CODES, TABLE)
example(np.bincount, CODES)
example(np.bincount, CODES, V)
example(np.histogram, V, bins=[-3.0, 0.0, 2.0, 5.0])
example(np.histogram, V, bins=3)
example(np.histogram_bin_edges, V, bins=3)
example(np.histogram2d, V, V, bins=2)
example(np.histogramdd, X, bins=2)
for f in (np.nonzero, np.flatnonzero, np.argwhere):
    example(f, CODES)
for f in (np.unique, np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values):
    example(f, CODES)
for f in (np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d):
    example(f, CODES, TABLE)

for f in (np.sort, np.argsort):
    example(f, UNSORTED)
    example(f, X, axis=0)
    example(f, X, axis=1)
for f in (np.partition, np.argpartition):
    example(f, UNSORTED, 2)
    example(f, X, 1, axis=1)
example(np.lexsort, (UNSORTED, MASK))
example(np.sort_complex, UNSORTED)

for f in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft):
    example(f, X, axis=0)
    example(f, X, axis=1)
for f in (np.fft.fft2, np.fft.ifft2, np.fft.fftn, np.fft.ifftn, np.fft.rfft2, np.fft.irfft2,
          np.fft.rfftn, np.fft.irfftn):  # fmt: skip
    example(f, X)
    example(f, CUBE, axes=(1, 2))
for f in (np.linalg.inv, np.linalg.pinv, np.linalg.det, np.linalg.slogdet, np.linalg.eig,
          np.linalg.eigh, np.linalg.eigvals, np.linalg.eigvalsh, np.linalg.qr, np.linalg.svd,
          np.linalg.svdvals, np.linalg.cond, np.linalg.matrix_rank):  # fmt: skip
    example(f, MATRIX)
    example(f, STACK)
example(np.linalg.cholesky, STACK)
example(np.linalg.matrix_power, STACK, 2)
example(np.linalg.solve, MATRIX, W)
example(np.linalg.solve, STACK, VECTORS.array[:3, :, np.newaxis])
example(np.linalg.lstsq, X, V.array[:5])
example(np.linalg.tensorinv, MATRIX, ind=1)
example(np.linalg.tensorsolve, MATRIX, W)
example(np.cov, X, rowvar=False)
example(np.corrcoef, X, rowvar=False)
example(np.roots, W)
example(np.poly, W)
example(np.polyfit, V, V.array**2, 1)
for f in (np.polyadd, np.polysub, np.polymul, np.polydiv):
    example(f, V, W)
example(np.polyder, V)
example(np.polyint, V)
example(np.vander, W)
example(np.packbits, CELLS, axis=0)
example(np.packbits, CELLS, axis=1)
example(np.unpackbits, BYTES, axis=1)
example(np.unpackbits, BYTES, axis=0)
example(np.apply_along_axis, np.sum, 1, X)
example(np.apply_along_axis, np.sum, 0, X)
example(np.apply_over_axes, np.sum, CUBE, [0, 2])
example(np.apply_over_axes, np.sum, CUBE, [1])
example(np.ix_, CODES, CODES)
example(np.unravel_index, CODES, (2, 3))
example(np.ravel_multi_index, (CODES, CODES), (4, 4))

for f in (np.transpose, np.ravel, np.squeeze, np.flipud, np.fliplr, np.flip, np.rot90, np.diagonal,
          np.linalg.diagonal, np.diag, np.diagflat, np.tril, np.triu, np.atleast_1d, np.atleast_2d,
          np.atleast_3d, np.fft.fftshift, np.fft.ifftshift, np.matrix_transpose,
          np.linalg.matrix_transpose):  # fmt: skip
    example(f, X)
example(np.reshape, X, (3, 5))
example(np.reshape, X, (3, 5), order="F")
example(np.swapaxes, CUBE, 0, 1)
example(np.moveaxis, CUBE, 0, 2)
example(np.rollaxis, CUBE, 1)
example(np.expand_dims, X, 0)
example(np.roll, X, 1, axis=0)
example(np.roll, X, 1)
example(np.tile, X, (2, 1))
example(np.repeat, X, 2, axis=0)
example(np.resize, W, (4,))
example(np.broadcast_to, W, (2, 3))
example(np.broadcast_arrays, X, W)
example(np.meshgrid, V, W)
example(np.meshgrid, V, W, V, indexing="ij", sparse=True, copy=False)
for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    example(f, V, X, 2.0)
for f in (np.split, np.array_split, np.vsplit):
    example(f, X, [2])
example(np.hsplit, X, [2])
example(np.dsplit, CUBE, [1])
example(np.unstack, X)
for mode in ("constant", "edge", "reflect", "mean"):
    example(np.pad, V, 2, mode=mode)
example(np.take, X, [0, 0, 3], axis=0)
example(np.take, X, CODES, axis=0)
example(np.take_along_axis, X, np.array([[0], [1], [2], [0], [1]]), axis=1)
example(np.delete, X, [1, 3], axis=0)
example(np.compress, MASK, X, axis=0)
example(np.extract, CELLS, X)
example(np.trim_zeros, ZEROS)
for f in (np.concatenate, np.vstack, np.hstack, np.dstack, np.stack, np.column_stack, np.block):
    example(f, [X, Y])
example(np.append, X, Y, axis=0)
example(np.insert, V, 2, 9.0)
example(np.insert, V, [1, 4], W.array[:2])

example(np.where, CELLS, X, Y)
example(np.where, CELLS)
example(np.select, [CELLS, CELLS], [X, Y], 0.0)
example(np.choose, CODES, [V, 0.0, V, 1.0])

example(np.copyto, X, Y, where=CELLS)
example(np.put, V, [0, 3], W)
example(np.place, X, CELLS, W)
example(np.putmask, X, CELLS, Y)
example(np.put_along_axis, X, np.array([[0], [1], [2], [0], [1]]), 7.0, 1)
example(np.fill_diagonal, X, W)

for f in (np.zeros_like, np.ones_like):
    example(f, X)
example(np.empty_like, Input(np.empty((3, 0))))  # what else it holds is not ours to know
example(np.full_like, X, W)
for f in (np.linspace, np.logspace, np.geomspace):
    example(f, NUMBER, 8.0, 4)
for f in (np.zeros, np.ones, np.identity, np.eye, np.tri):
    example(f, 3, like=X)
example(np.empty, 0, like=X)
example(np.full, 3, 2.0, like=X)
example(np.arange, 4, like=X)
example(np.fromfunction, np.add, (2, 2), like=X)
for f in (np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray, np.require):
    example(f, [1.0, 2.0], like=X)
    example(f, X, like=Y)
    example(f, [W, W.array, W], like=Y)
example(np.frombuffer, b"abcd", dtype=np.uint8, like=X)
example(np.fromiter, [1, 2], dtype=int, like=X)
example(np.fromstring, "1 2", sep=" ", like=X)
example(np.loadtxt, ["1 2", "3 4"], like=X)
example(np.genfromtxt, ["1 2", "3 4"], like=X)
example(np.fromfile, "/dev/null", like=X)

for f in (np.shape, np.size, np.ndim, np.iscomplexobj, np.isrealobj, np.min_scalar_type,
          np.common_type, np.array_repr, np.array_str, np.array2string):  # fmt: skip
    example(f, X)
for f in (np.tril_indices_from, np.triu_indices_from, np.diag_indices_from):
    example(f, MATRIX)
example(np.result_type, X, Y)
example(np.can_cast, np.int8, np.int16)
for f in (np.may_share_memory, np.shares_memory, np.allclose, np.array_equal, np.array_equiv):
    example(f, X, Y)
example(np.einsum_path, "ij,jk->ik", X, MATRIX)
for f in (np.save, np.savetxt):
    example(f, "/dev/null", X)
for f in (np.savez, np.savez_compressed):
    example(f, "/dev/null", X)

for f in (np.strings.capitalize, np.strings.expandtabs, np.strings.lower, np.strings.swapcase,
          np.strings.title, np.strings.upper, np.strings.encode, np.char.split, np.char.rsplit,
          np.char.splitlines):  # fmt: skip
    example(f, WORDS)
for f in (np.strings.center, np.strings.ljust, np.strings.rjust, np.strings.zfill):
    example(f, WORDS, 6)
for f in (np.strings.partition, np.strings.rpartition):
    example(f, WORDS, " ")
for f in (np.char.equal, np.char.not_equal, np.char.greater, np.char.greater_equal, np.char.less,
          np.char.less_equal):  # fmt: skip
    example(f, WORDS, WORDS.array)
example(np.strings.decode, RAW)
example(np.strings.mod, Input(["%d.", "%s!"]), Input([1, 2]))
example(np.strings.multiply, WORDS, 2)
example(np.strings.replace, WORDS, "a", "zz")
example(np.strings.translate, WORDS, {97: 98})
example(np.char.join, "-", WORDS)

example(np.datetime_as_string, DAYS)
example(np.is_busday, DAYS)
example(np.busday_offset, DAYS, 1, roll="forward")
example(np.busday_count, DAYS, np.datetime64("2024-05-01"))


def _found_in_a_masked_array(records: Any) -> Any:
    """Stack records, which gives the masked array that `find_duplicates` wants."""
    return rf.find_duplicates(rf.stack_arrays((records, records)), key="k")


example(rf.append_fields, RECORDS, "w", [1.0, 2.0, 3.0], usemask=False)
example(rf.rec_append_fields, RECORDS, "w", np.ones(3))
example(rf.drop_fields, RECORDS, "k")
example(rf.rec_drop_fields, RECORDS, "k")
example(rf.rename_fields, RECORDS, {"k": "key"})
example(rf.repack_fields, RECORDS)
example(rf.require_fields, RECORDS, [("k", "f8")])
example(rf.merge_arrays, (RECORDS, V.array[:3]), usemask=False)
example(rf.stack_arrays, (RECORDS, RECORDS), usemask=False)
example(rf.join_by, "k", RECORDS, RECORDS.array, usemask=False)
example(rf.rec_join, "k", RECORDS, RECORDS.array)
EXAMPLES[rf.find_duplicates] = [Example(_found_in_a_masked_array, (RECORDS,), {})]
example(rf.apply_along_fields, np.mean, RECORDS)
example(rf.structured_to_unstructured, RECORDS)
example(rf.unstructured_to_structured, X)
example(rf.assign_fields_by_name, RECORDS, RECORDS.array)
example(rf.recursive_fill_fields, RECORDS, RECORDS.array.copy())
