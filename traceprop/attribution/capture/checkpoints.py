"""Which visits of a sample go into which of its rows: one for the run, or one a checkpoint.

Promise: the passes over the data are counted from 1, and a pass that was asked for and never came
is an error, not a store without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import CaptureError

if TYPE_CHECKING:
    from traceprop.attribution.projection import Floats
    from traceprop.attribution.store.rows.rows_file import RowSink

Epochs = Literal["sum", "last", "each"] | Sequence[int]
Ids = NDArray[np.int64]


def check_epochs(epochs: Epochs) -> Epochs:
    """Return what `epochs=` means; `CaptureError` where it means nothing."""
    if isinstance(epochs, str):
        if epochs not in ("sum", "last", "each"):
            raise CaptureError(
                f"epochs={epochs!r} isn't known; give 'sum', 'last', 'each', or a list of passes "
                f"such as [5, 10]"
            )
        return epochs
    numbers = list(epochs)
    whole = all(int(number) == number >= 1 for number in numbers)
    if not numbers or not whole or len(set(numbers)) < len(numbers):
        raise CaptureError(
            f"epochs={numbers!r} isn't a list of passes over the data; they are counted from 1"
        )
    return tuple(sorted(int(number) for number in numbers))


class Checkpoints:
    """Where a run's rows go.

    Parameters
    ----------
    make : callable
        Returns a new place for rows, given the checkpoint that they are of, or None.
    epochs : {"sum", "last", "each"} or tuple of int
        `sum`: one row, the sum over a sample's visits. `last`: one row, the last visit. `each`: a
        row for each pass over the data, or for those named; a row sums a pass's visits.
    adds : bool
        Whether rows can be added: not those of `factors`, of which a row has one visit.
    """

    def __init__(
        self, make: Callable[[int | None], RowSink], epochs: Epochs, adds: bool = True
    ) -> None:
        self._make, self._epochs, self._adds = make, epochs, adds
        self._of_checkpoints = epochs not in ("sum", "last")
        # The place of the first rows is made at once: a store that can't be written is found then.
        first = None if not self._of_checkpoints else 1 if epochs == "each" else epochs[0]
        assert first is None or isinstance(first, int)
        self._sinks = {first: make(first)}

    def wants(self, epoch: int) -> bool:
        """Tell whether a pass is recorded."""
        return isinstance(self._epochs, str) or epoch in self._epochs

    def check_visits(self, ids: Ids, epoch: int) -> None:
        """Raise `CaptureError` where a batch would be added to rows that can't be added to."""
        if self._adds:
            return
        ordered = np.sort(ids)
        again = ordered[1:][ordered[1:] == ordered[:-1]]
        sink = self._sinks.get(epoch if self._of_checkpoints else None)
        if sink is not None and self._epochs != "last":
            again = np.append(again, ids[sink.seen(ids)])
        if len(again):
            raise CaptureError(
                f"projection='factors' keeps one visit of a sample, and sample {again[0]} came "
                f"twice in pass {epoch}: draw each once a pass, or use projection='sjlt'"
            )

    def add(self, ids: Ids, gradients: Floats, epoch: int) -> None:
        """Add a batch's gradients to rows of the pass that it is of."""
        checkpoint = epoch if self._of_checkpoints else None
        if checkpoint not in self._sinks:
            self._sinks[checkpoint] = self._make(checkpoint)
        self._sinks[checkpoint].add(ids, gradients, replace=self._epochs == "last")

    def rows(self, passes: int) -> list[RowSink]:
        """Return the rows, by checkpoint.

        Raises
        ------
        CaptureError
            A pass that was asked for never came.
        """
        if not isinstance(self._epochs, str):
            missing = [epoch for epoch in self._epochs if epoch not in self._with_rows()]
            if missing:
                raise CaptureError(
                    f"epochs= asks for pass {missing[0]}, and the training made {passes}; name "
                    f"passes that it makes, or use epochs='each'"
                )
        return [self._sinks[checkpoint] for checkpoint in sorted(self._with_rows(), key=int_or_0)]

    def _with_rows(self) -> list[int | None]:
        return [checkpoint for checkpoint, sink in self._sinks.items() if len(sink.sample_ids)]


def int_or_0(checkpoint: int | None) -> int:
    """Return a checkpoint's place in their order; that of a whole run is the first."""
    return checkpoint or 0
