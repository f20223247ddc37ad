"""Which map a store uses: its kind, the parameters, k and the seed.

Promises: the map depends on these alone, never on how a gradient is given or on the machine; inner
products are unbiased; a projector read from a file is a map that can be, or is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.projection import factors
from traceprop.attribution.projection.achlioptas import PanelSketch
from traceprop.attribution.projection.blocks import Block, Floats
from traceprop.attribution.projection.exact import ExactSketch
from traceprop.attribution.projection.hashed import HashedSketch
from traceprop.attribution.projection.sketch import Sketch
from traceprop.errors import AttributionError, StoreError

Kind = Literal["identity", "factors", "sjlt", "achlioptas"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Plan = TypeVar("Plan")

_MOST_REPETITIONS = 64
_MOST_BLOCKS = 1 << 20


@dataclass(frozen=True, slots=True)
class Projector:
    """The map from gradients of d numbers to rows of `width` numbers.

    Parameters
    ----------
    blocks : tuple of Block
        The parameters, in the order of the flat gradient.
    k : int
        How many numbers a random projection has.
    seed : int
        What the random choices follow from, 0 ≤ seed < 2⁶³.
    repetitions : int
        Into how many places each coordinate outside linear layers goes (the s of SJLT).
    kind : {"identity", "factors", "sjlt", "achlioptas"}, optional
        By default `identity` where the gradient fits into k numbers as it is, else `sjlt`.

    Raises
    ------
    AttributionError
        A setting is out of range, or `factors` would be no smaller than the gradient.

    Notes
    -----
    `identity` is the gradient. `factors` is exact too: see `projection.factors`; it is the one map
    that isn't linear. `sjlt` is TensorSketch for large linear weights and line-SJLT for the rest:
    see `projection.hashed`. `achlioptas` is Achlioptas' matrix: see `projection.achlioptas`.

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
    kind: Kind | None = None
    _plans: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.k < 1 << 31:
            raise AttributionError(f"can't project to k={self.k} numbers; give a k of 1 or more")
        if not 0 <= self.seed < 1 << 63:
            raise AttributionError(f"seed {self.seed} is out of range; give 0 ≤ seed < 2**63")
        if not 1 <= self.repetitions <= _MOST_REPETITIONS:
            raise AttributionError(
                f"repetitions is {self.repetitions}; give 1 to {_MOST_REPETITIONS}"
            )
        if self.kind is None:
            object.__setattr__(self, "kind", "identity" if self.d <= self.k else "sjlt")
        if self.kind not in KINDS:
            raise AttributionError(
                f"no projection is called {self.kind!r}; use one of {', '.join(KINDS)}"
            )
        if self.kind == "factors" and self.width >= self.d:
            raise AttributionError(
                f"the factors of this model's gradients are {self.width} numbers, no fewer than "
                f"the {self.d} of the gradients themselves; use projection='identity'"
            )

    @property
    def d(self) -> int:
        """How many numbers a gradient has."""
        return sum(block.size for block in self.blocks)

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        if self.kind == "identity":
            return self.d
        return self.plan(factors.width_of) if self.kind == "factors" else self.k

    @property
    def is_linear(self) -> bool:
        """Whether rows can be added, and multiplied with each other: not those of `factors`."""
        return self.kind != "factors"

    def plan(self, make: Callable[[Projector], Plan]) -> Plan:
        """Return what a function makes of this projector: made once, since batches are many."""
        if make not in self._plans:
            self._plans[make] = make(self)
        plan: Plan = self._plans[make]
        return plan

    def sketch(self, n: int, dtype: type[np.floating[Any]] = np.float32) -> Sketch:
        """Begin the rows of a batch of n samples.

        Parameters
        ----------
        n : int
            How many.
        dtype : type
            Of the rows; float64 is for `identity` alone, the other maps work in float32.
        """
        if self.kind == "identity":
            return ExactSketch(self, n, dtype)
        if self.kind == "factors":
            return factors.FactorSketch(self, n)
        return HashedSketch(self, n) if self.kind == "sjlt" else PanelSketch(self, n)

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
            The rows don't have d numbers, or the map is `factors`, which a gradient doesn't show.
        """
        gradients = np.asarray(gradients)
        if gradients.ndim != 2 or gradients.shape[1] != self.d:
            raise AttributionError(
                f"gradients of shape {gradients.shape} don't fit a projection of {self.d} numbers; "
                f"give one row a sample, of the model that the store recorded"
            )
        if not self.is_linear:
            raise AttributionError(
                "a gradient doesn't show its factors; project it with `projector.linear()`, which "
                "takes rows of factors too"
            )
        sketch = self.sketch(len(gradients))
        start = 0
        for i, block in enumerate(self.blocks):
            sketch.add(i, gradients[:, start : start + block.size])
            start += block.size
        return sketch.rows()

    def linear(self) -> Projector:
        """Return the linear map for rows of this one: itself, or for `factors` the default."""
        return self if self.is_linear else replace(self, kind=None)

    def linear_rows(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows of this map as `linear()` makes them; those of a linear map as they are."""
        if self.is_linear:
            return rows
        return factors.projected(self, rows, self.linear())

    def gradients(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the flat gradients (n, d) that rows (n, width) of an exact map stand for.

        Raises
        ------
        AttributionError
            The map is a random projection, from which no gradient comes back.
        """
        if self.kind == "identity":
            return rows
        if self.kind == "factors":
            return factors.gradients(self, rows)
        raise AttributionError(f"a projection of kind {self.kind!r} doesn't give gradients back")

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
        """Read a projector written by `to_json`; `StoreError` where it is none."""
        kind, blocks = value.get("kind"), value.get("blocks")
        if kind not in KINDS:
            raise StoreError(
                f"a projection called {kind!r} can't be read; this version knows {', '.join(KINDS)}"
            )
        k, seed, repetitions = (value.get(key) for key in ("k", "seed", "repetitions"))
        if not (type(k) is type(seed) is type(repetitions) is int):
            raise StoreError(
                f"a projection can't be of k={k!r}, seed={seed!r}, repetitions={repetitions!r}"
            )
        if not isinstance(blocks, list) or not 0 < len(blocks) <= _MOST_BLOCKS:
            raise StoreError("a projection without a list of parameters can't be read")
        try:
            return cls(tuple(map(Block.from_json, blocks)), k, seed, repetitions, kind)
        except AttributionError as error:
            raise StoreError(f"a stored projection can't be: {error}") from error
