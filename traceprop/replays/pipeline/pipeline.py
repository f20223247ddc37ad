"""`Pipeline`: recorded row-wise steps with their statistics frozen, as it is applied and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from traceprop.replays.pipeline.new_rows import arrays_of
from traceprop.replays.pipeline.plan import Leaf, Plan, Statistic, refuse_dropped

Array = NDArray[Any]
Kept = NDArray[np.bool_]


class Pipeline:
    """How new rows are prepared: what `tp.apply` does, and `tp.save_pipeline` keeps.

    Attributes
    ----------
    sources : dict of str to str
        The name of each source that new rows may be given of, by its uri.
    columns : tuple of str, or None
        Names of the columns of what it gives, where they are known.
    statistics : tuple of Statistic
        What it holds of the recorded data: each with `name`, `columns`, `values`, and `of_rows`,
        which says whether source rows have a part in it.
    categories : dict of str to tuple of str
        For each text column that it reads the texts of the recorded rows.
    escapes : tuple of str
        Where values left the recorded lineage; they may have come back as numbers of the program.
    off : float or None
        How far the pipeline was from the recorded rows that it was tried on, over their largest
        value: 0.0 where all came out equal to the bit; None where none could be tried.
    tried : int
        How many those were.
    recorded_with : str
        The version of NumPy that it was compiled under.
    """

    __slots__ = ("columns", "escapes", "off", "plan", "recorded_with", "sources", "tried")

    def __init__(
        self,
        plan: Plan,
        sources: Mapping[str, str],
        columns: tuple[str, ...] | None,
        escapes: tuple[str, ...],
        off: float | None,
        tried: int,
        recorded_with: str = np.__version__,
    ) -> None:
        self.plan = plan
        self.sources = dict(sources)
        self.columns = columns
        self.escapes = escapes
        self.off = off
        self.tried = tried
        self.recorded_with = recorded_with

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """The frozen values."""
        return self.plan.statistics

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Where new rows enter."""
        return self.plan.leaves

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Texts of the recorded rows, by column."""
        return {
            leaf.column: leaf.categories
            for leaf in self.plan.leaves
            if leaf.column is not None and leaf.categories is not None
        }

    @overload
    def apply(self, raw: Any, *, return_kept: Literal[False] = False) -> Array: ...
    @overload
    def apply(self, raw: Any, *, return_kept: Literal[True]) -> tuple[Array, Kept]: ...
    def apply(self, raw: Any, *, return_kept: bool = False) -> Array | tuple[Array, Kept]:
        """Prepare new rows; parameters, result and errors as for `tp.apply`."""
        arrays, n = arrays_of(self.plan.leaves, self.sources, raw)
        values, kept, dropped_by = self.plan.run(arrays, n)
        if not return_kept:
            refuse_dropped(kept, n, dropped_by)
            return values
        mask = np.zeros(n, np.bool_)
        mask[kept] = True
        return values, mask

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(leaf.name for leaf in self.plan.leaves))
        return (
            f"<Pipeline on rows of {names}: {len(self.plan.steps)} steps, "
            f"{len(self.plan.statistics)} statistics>"
        )
