"""From per-sample gradients to rows of k numbers whose inner products are nearly the same.

`Projector` says which linear map a store uses: the gradient itself where it has at most k numbers
(`identity`), else `sjlt`, a sparse Johnson-Lindenstrauss transform that stores nothing. `Sketch`
applies it to a batch, parameter by parameter, from factors where a layer has them. Promises: the
map depends on the parameters' shapes, k and the seed alone, never on how a gradient is given;
inner products are unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import AttributionError, StoreError

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]

_LINE = 64
# A linear layer's weight is sketched from its factors from this many numbers per unit of k on;
# below that, forming it and running over it is the cheaper way.
_TENSOR_FROM = 4
# Measured nanoseconds, for choosing how a tensor sketch is computed (the map is the same): an FFT
# pair and its product per k log2 k, a multiply-add of a matrix product, a scattered add.
_FFT_NS, _PRODUCT_NS, _SCATTER_NS = 0.25, 0.1, 1.3
# Sketches are made of this many numbers at a time, which stay in a core's cache.
_CACHED_NUMBERS = 1 << 17


@dataclass(frozen=True, slots=True)
class Block:
    """One parameter in the flat gradient.

    Parameters
    ----------
    name : str
        The parameter's name in the model.
    shape : tuple of int
        Its shape.
    linear : bool
        Whether it is a linear layer's (out, in) weight, whose per-sample gradient is a sum of few
        outer products.
    """

    name: str
    shape: tuple[int, ...]
    linear: bool = False

    @property
    def size(self) -> int:
        """How many numbers the parameter has."""
        return math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Return the block as a JSON object."""
        return {"name": self.name, "shape": list(self.shape), "linear": self.linear}


@dataclass(frozen=True, slots=True)
class Projector:
    """The linear map from gradients of d numbers to rows of `width` numbers.

    Parameters
    ----------
    blocks : tuple of Block
        The parameters, in the order of the flat gradient.
    k : int
        The most numbers that a row may have.
    seed : int
        What the random choices follow from, 0 ≤ seed < 2⁶³.
    repetitions : int
        Into how many places each coordinate outside linear layers goes (the s of SJLT).

    Notes
    -----
    `sjlt` is the sum of one map per parameter. A large linear weight has TensorSketch (Pham and
    Pagh 2013), whose value follows from the layer's factors without forming the gradient. Anything
    else has line-SJLT: the coordinates in lines of 64, each line added at a random cyclic offset
    with random signs, s times, over √s (Kane and Nelson 2014, with offsets shared by a line).

    Examples
    --------
    >>> projector = Projector((Block("weight", (2, 3)), Block("bias", (2,))), k=4096)
    >>> projector.kind, projector.width
    ('identity', 8)
    """

    blocks: tuple[Block, ...]
    k: int
    seed: int = 0
    repetitions: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.k < 1 << 31:
            raise AttributionError(f"can't project to k={self.k} numbers; give a k of 1 or more")
        if not 0 <= self.seed < 1 << 63:
            raise AttributionError(f"seed {self.seed} is out of range; give 0 ≤ seed < 2**63")
        if not 1 <= self.repetitions <= _LINE:
            raise AttributionError(f"repetitions is {self.repetitions}; give 1 to {_LINE}")

    @property
    def d(self) -> int:
        """How many numbers a gradient has."""
        return sum(block.size for block in self.blocks)

    @property
    def kind(self) -> Literal["identity", "sjlt"]:
        """`"identity"` where the gradient fits into k numbers as it is, else `"sjlt"`."""
        return "identity" if self.d <= self.k else "sjlt"

    @property
    def width(self) -> int:
        """How many numbers a row has: d for `identity`, else k."""
        return min(self.d, self.k)

    def project(self, gradients: NDArray[Any]) -> Floats:
        """Project flat gradients.

        Parameters
        ----------
        gradients : ndarray, shape (n, d)
            One gradient a row, parameters in the order of `blocks`.

        Returns
        -------
        ndarray of float32, shape (n, width)

        Raises
        ------
        AttributionError
            The rows don't have d numbers.
        """
        gradients = np.asarray(gradients)
        if gradients.ndim != 2 or gradients.shape[1] != self.d:
            raise AttributionError(
                f"gradients of shape {gradients.shape} don't fit a projection of {self.d} numbers; "
                f"give one row a sample, of the model that the store recorded"
            )
        sketch = Sketch(self, len(gradients))
        start = 0
        for i, block in enumerate(self.blocks):
            sketch.add(i, gradients[:, start : start + block.size])
            start += block.size
        return sketch.rows()

    def to_json(self) -> dict[str, Any]:
        """Return the projector as a JSON object, from which `from_json` builds an equal one."""
        return {
            "kind": self.kind,
            "k": self.k,
            "seed": self.seed,
            "repetitions": self.repetitions,
            "blocks": [block.to_json() for block in self.blocks],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Projector:
        """Read a projector written by `to_json`; `StoreError` if it is another kind of map."""
        blocks = tuple(
            Block(b["name"], tuple(int(size) for size in b["shape"]), bool(b["linear"]))
            for b in value["blocks"]
        )
        projector = cls(blocks, int(value["k"]), int(value["seed"]), int(value["repetitions"]))
        if projector.kind != value["kind"]:
            raise StoreError(
                f"a projection called {value['kind']!r} can't be read: these parameters and "
                f"k={projector.k} make {projector.kind!r}"
            )
        return projector


@dataclass(frozen=True, slots=True)
class _Tables:
    """One parameter's random choices: a hash key, and TensorSketch's buckets and signs."""

    key: np.uint64
    is_tensor: bool
    rows: tuple[Any, ...] = ()
    columns: tuple[Any, ...] = ()


@lru_cache(maxsize=16)
def _tables(projector: Projector) -> tuple[_Tables, ...]:
    from numba_kernels.projection import hash64, hash_table

    def key(parent: np.uint64, counter: int) -> np.uint64:
        with np.errstate(over="ignore"):  # the hash works modulo 2**64
            return np.uint64(hash64.py_func(parent, np.uint64(counter)))

    root, tables = key(np.uint64(projector.seed), 0), []
    for i, block in enumerate(projector.blocks):
        rows, columns = key(root, 2 * i), key(root, 2 * i + 1)
        if block.linear and min(block.shape) > 1 and block.size >= _TENSOR_FROM * projector.k:
            sizes = zip((rows, columns), block.shape, strict=True)
            tables.append(_Tables(rows, True, *(hash_table(*a, projector.k) for a in sizes)))
        else:
            tables.append(_Tables(rows, False))
    return tuple(tables)


class Sketch:
    """The projected rows of one batch while the parameters' shares are added.

    Parameters
    ----------
    projector : Projector
        The map.
    n : int
        How many samples the batch has.
    dtype : type
        Of the rows. float64 is for `identity` alone: a random map is no more precise than float32.
    """

    def __init__(
        self, projector: Projector, n: int, dtype: type[np.floating[Any]] = np.float32
    ) -> None:
        self._projector = projector
        self._rows = np.zeros((n, projector.width), dtype)
        self._spectrum: Tensor | None = None
        sizes = [block.size for block in projector.blocks]
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self._exact = projector.kind == "identity"
        self._tables = () if self._exact else _tables(projector)

    def add(self, i: int, gradients: NDArray[Any], part: slice = slice(None)) -> None:
        """Add per-sample gradients `(m, ...)` of parameter i to the batch, or to part of it."""
        block, rows = self._projector.blocks[i], self._rows[part]
        flat = gradients.reshape(len(rows), block.size)
        if self._exact:
            start = self._starts[i]
            rows[:, start : start + block.size] += flat
            return
        from numba_kernels.projection import line_sjlt, tensor_sketch

        flat = np.ascontiguousarray(flat, np.float32)
        tables = self._tables[i]
        if tables.is_tensor:
            matrices = flat.reshape(len(flat), *block.shape)
            tensor_sketch(matrices, *tables.rows, *tables.columns, rows)
        else:
            line_sjlt(flat, tables.key, self._projector.repetitions, rows)

    def takes_factors(self, i: int, n_terms: int) -> bool:
        """Tell whether parameter i is sketched faster from T outer products than from their sum."""
        if self._exact or not self._tables[i].is_tensor:
            return False
        k, size = self._projector.k, self._projector.blocks[i].size
        spectral = n_terms * k * math.log2(k) * _FFT_NS
        return spectral < size * (n_terms * _PRODUCT_NS + _SCATTER_NS)

    def add_factors(self, i: int, left: NDArray[Any], right: NDArray[Any]) -> None:
        """Add Σ_t left[:, t] ⊗ right[:, t] to parameter i without forming it.

        Parameters
        ----------
        i : int
            A parameter for which `takes_factors` holds.
        left, right : ndarray, shape (n, T, p) and (n, T, q)
            The factors of a (p, q) matrix. The sketch of their product is the cyclic convolution
            of their count sketches, which is a product of spectra.
        """
        import torch

        n, n_terms, _ = left.shape
        k = self._projector.k
        if self._spectrum is None:
            self._spectrum = torch.zeros(n, k // 2 + 1, dtype=torch.complex64)
        step = max(1, _CACHED_NUMBERS // (n_terms * k))
        counts = np.empty((min(step, n) * n_terms, k), np.float32)
        tables = self._tables[i]
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
        if self._exact:
            gradients = np.zeros((len(values), *self._projector.blocks[i].shape), values.dtype)
            np.add.at(gradients, (np.arange(len(values))[:, None], index), values)
            self.add(i, gradients)
            return
        from numba_kernels.projection import line_sjlt_segments

        values = np.ascontiguousarray(values, np.float32)
        key, repetitions = self._tables[i].key, self._projector.repetitions
        line_sjlt_segments(index, values, key, repetitions, self._rows)

    def rows(self) -> NDArray[Any]:
        """Return the projected rows, (n, width): call once, when every share was added."""
        if self._spectrum is not None:
            import torch

            self._rows += torch.fft.irfft(self._spectrum, self._projector.k).numpy()
            self._spectrum = None
        return self._rows


def _count_sketch(factor: NDArray[Any], table: tuple[Any, ...], counts: Floats) -> Floats:
    from numba_kernels.projection import count_sketch

    flat = np.ascontiguousarray(factor, np.float32).reshape(-1, factor.shape[2])
    out = counts[: len(flat)]
    out[:] = 0
    count_sketch(flat, *table, out)
    return out
