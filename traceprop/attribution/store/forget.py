"""What to take out of a model: samples of a store, and the source rows that name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage.rowset import RowSet
    from traceprop.lineage.source import Source


@dataclass(frozen=True, slots=True, eq=False)
class ForgetSet:
    """Samples to remove; made by `GradientStore.samples_from_source`.

    Iterating gives the samples as ints, and `len` counts them.

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
    ForgetSet(1 sample: credit_scores.csv rows 4821)
    """

    samples: NDArray[np.int64]
    rows: Mapping[Source, RowSet]
    store: GradientStore

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[int]:
        return iter(self.samples.tolist())

    def __repr__(self) -> str:
        count = f"{len(self)} sample{'s' if len(self) != 1 else ''}"
        named = "; ".join(f"{source} rows {rows}" for source, rows in self.rows.items())
        return f"ForgetSet({count}: {named})"
