"""What to take out of a model: samples of a store, and the source rows that name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import UnlearnError
from traceprop.lineage.answers.query import SourceMap

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage.rowset import RowSet
    from traceprop.lineage.source import Source


@dataclass(frozen=True, slots=True, eq=False)
class ForgetSet:
    """Samples to remove; made by `GradientStore.samples_from_source`.

    Iterating gives the samples as ints, and `len` counts them. `first | second` joins two of one
    store, to remove both at once.

    Parameters
    ----------
    samples : ndarray of int64, shape (m,)
        Rows of the training tensor, sorted, each once.
    rows : mapping of Source to RowSet
        The source rows that were named.
    store : GradientStore
        The store whose samples they are.

    Examples
    --------
    >>> forget_set = store.samples_from_source("credit_scores.csv", rows=[4821])  # doctest: +SKIP
    >>> forget_set  # doctest: +SKIP
    ForgetSet(1 sample: credit_scores.csv row 4821)
    >>> both = forget_set | store.samples_from_source("other.csv", rows=[7])  # doctest: +SKIP
    """

    samples: NDArray[np.int64]
    rows: Mapping[Source, RowSet]
    store: GradientStore

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[int]:
        return iter(self.samples.tolist())

    def __or__(self, other: object) -> ForgetSet:
        if not isinstance(other, ForgetSet):
            return NotImplemented
        if self.store.path.resolve() != other.store.path.resolve():
            raise UnlearnError(
                f"the forget sets are of two stores, {self.store.path} and {other.store.path}; "
                f"each removal is from the model of one"
            )
        rows = dict(self.rows)
        for source, named in other.rows.items():
            rows[source] = rows[source] | named if source in rows else named
        samples = np.union1d(self.samples, other.samples)
        return ForgetSet(samples, SourceMap(rows), self.store)

    def __repr__(self) -> str:
        count = f"{len(self)} sample{'s' if len(self) != 1 else ''}"
        named = "; ".join(
            f"{source} row{'s' if len(rows) != 1 else ''} {rows}"
            for source, rows in self.rows.items()
        )
        return f"ForgetSet({count}: {named})" if named else f"ForgetSet({count})"
