"""`sjlt`: a sparse Johnson-Lindenstrauss transform that stores nothing.

The sum of one map per parameter. A large linear weight has TensorSketch (Pham and Pagh 2013), whose
value follows from the layer's factors without forming the gradient. Anything else has line-SJLT:
the coordinates in lines of 64, each line added at a random cyclic offset with random signs, s
times, over √s (Kane and Nelson 2014, with offsets shared by a line).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.projection.blocks import Floats, block_keys
from traceprop.attribution.projection.sketch import Sketch

if TYPE_CHECKING:
    from torch import Tensor

    from traceprop.attribution.projection.projector import Projector

# A linear layer's weight is sketched from its factors from this many numbers per unit of k on;
# below that, forming it and running over it is the cheaper way.
_TENSOR_FROM = 4
# Measured nanoseconds, for choosing how a tensor sketch is computed (the map is the same): an FFT
# pair and its product per k log2 k, a multiply-add of a matrix product, a scattered add.
_FFT_NS, _PRODUCT_NS, _SCATTER_NS = 0.25, 0.1, 1.3
# Sketches are made of this many numbers at a time, which stay in a core's cache.
_CACHED_NUMBERS = 1 << 17


@dataclass(frozen=True, slots=True)
class _Tables:
    """One parameter's random choices: a hash key, and TensorSketch's buckets and signs."""

    key: np.uint64
    is_tensor: bool
    rows: tuple[Any, ...] = ()
    columns: tuple[Any, ...] = ()


def _tables(projector: Projector) -> tuple[_Tables, ...]:
    from numba_kernels.projection import hash_table

    tables = []
    keys = block_keys(projector.seed, len(projector.blocks))
    for block, (rows, columns) in zip(projector.blocks, keys, strict=True):
        if block.linear and min(block.shape) > 1 and block.size >= _TENSOR_FROM * projector.k:
            sizes = zip((rows, columns), block.shape, strict=True)
            tables.append(_Tables(rows, True, *(hash_table(*a, projector.k) for a in sizes)))
        else:
            tables.append(_Tables(rows, False))
    return tuple(tables)


class HashedSketch(Sketch):
    """The projected rows of a batch, see `Sketch`."""

    def __init__(self, projector: Projector, n: int) -> None:
        super().__init__(projector, n)
        self._tables = projector.plan(_tables)
        self._rows: Floats | None = None
        self._lines: Floats | None = None  # line-SJLT of every parameter, before it is wrapped
        self._spectrum: Tensor | None = None

    def add(self, i: int, gradients: NDArray[Any], part: slice = slice(None)) -> None:
        """Add per-sample gradients `(m, ...)` of parameter i to the batch, or to part of it."""
        from numba_kernels.projection import line_sjlt, tensor_sketch

        block, tables = self.projector.blocks[i], self._tables[i]
        n = len(range(*part.indices(self.n)))
        flat = np.ascontiguousarray(gradients.reshape(n, block.size), np.float32)
        if tables.is_tensor:
            matrices = flat.reshape(n, *block.shape)
            tensor_sketch(matrices, *tables.rows, *tables.columns, self._own_rows()[part])
        else:
            line_sjlt(flat, tables.key, self.projector.repetitions, self._own_lines()[part])

    def takes_factors(self, i: int, n_terms: int) -> bool:
        """Tell whether parameter i is sketched faster from T outer products than from their sum."""
        if not self._tables[i].is_tensor:
            return False
        k, size = self.projector.k, self.projector.blocks[i].size
        spectral = n_terms * k * math.log2(k) * _FFT_NS
        return spectral < size * (n_terms * _PRODUCT_NS + _SCATTER_NS)

    def add_factors(self, i: int, left: NDArray[Any], right: NDArray[Any]) -> None:
        """Add Σ_t left[:, t] ⊗ right[:, t] to parameter i; a large linear weight isn't formed.

        The sketch of an outer product is the cyclic convolution of the count sketches, which is a
        product of spectra.
        """
        tables = self._tables[i]
        if not tables.is_tensor:
            super().add_factors(i, left, right)
            return
        import torch

        n, n_terms, _ = left.shape
        k = self.projector.k
        if self._spectrum is None:
            self._spectrum = torch.zeros(n, k // 2 + 1, dtype=torch.complex64)
        step = max(1, _CACHED_NUMBERS // (n_terms * k))
        counts = np.empty((min(step, n) * n_terms, k), np.float32)
        for start in range(0, n, step):
            part = slice(start, start + step)
            sketches = (
                _count_sketch(factor[part], table, counts)
                for factor, table in ((left, tables.rows), (right, tables.columns))
            )
            first, second = (torch.fft.rfft(torch.from_numpy(sketch)) for sketch in sketches)
            shape = (-1, n_terms, k // 2 + 1)
            if n_terms == 1:
                self._spectrum[part].addcmul_(first, second)
            else:
                self._spectrum[part] += first.mul_(second).reshape(shape).sum(1)

    def add_segments(self, i: int, index: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Add `values[:, t]` (n, T, w) to row `index[:, t]` of parameter i, of shape (p, w)."""
        from numba_kernels.projection import line_sjlt_segments

        tables = self._tables[i]
        if tables.is_tensor:  # a weight that linear layers share with nothing else has no segments
            super().add_segments(i, index, values)
            return
        values = np.ascontiguousarray(values, np.float32)
        repetitions = self.projector.repetitions
        line_sjlt_segments(index, values, tables.key, repetitions, self._own_lines())

    def rows(self, factor: float = 1.0) -> Floats:
        """Return the projected rows, (n, k), times a factor."""
        from numba_kernels.projection import fold

        if self._spectrum is not None:
            import torch

            spatial = torch.fft.irfft(self._spectrum, self.projector.k).numpy()
            self._rows = spatial if self._rows is None else self._rows + spatial
        rows = self._own_rows()
        if self._lines is not None:
            fold(self._lines, self.projector.repetitions, rows)
        if factor != 1.0:
            rows *= np.float32(factor)
        return rows

    def _own_rows(self) -> Floats:
        if self._rows is None:
            self._rows = np.zeros((self.n, self.projector.k), np.float32)
        return self._rows

    def _own_lines(self) -> Floats:
        if self._lines is None:
            from numba_kernels.projection import LINE

            self._lines = np.zeros((self.n, self.projector.k + LINE), np.float32)
        return self._lines


def _count_sketch(factor: NDArray[Any], table: tuple[Any, ...], counts: Floats) -> Floats:
    from numba_kernels.projection import count_sketch

    flat = np.ascontiguousarray(factor, np.float32).reshape(-1, factor.shape[2])
    out = counts[: len(flat)]
    out[:] = 0
    count_sketch(flat, *table, out)
    return out
