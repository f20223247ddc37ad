"""A compiled pipeline: what is done to new rows, register by register.

Promise: a step gives what the recorded call gave on rows of this shape and type, or an error that
names it. Nothing here reads a source or knows a tensor, so that a plan can be kept in a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import LineageError, RowError
from traceprop.lineage.graph.node import Node, Slot
from traceprop.lineage.graph.template import slots
from traceprop.lineage.rerun import results_of, writes

Array = NDArray[Any]


class Leaf(NamedTuple):
    """Where new rows enter: an array of a source, or one column of a table.

    Attributes
    ----------
    source : str
        The source's uri.
    name : str
        Its short name, for messages.
    column : str or None
        The column of a table; None for an array.
    columns : tuple of str
        Names of the array's columns, or of all columns of the table.
    tail : tuple of int
        Shape of one row.
    dtype : dtype
    categories : tuple of str, or None
        What the codes of a text column number.
    gaps : bool
        Whether values of a text column are missing in the recording.
    needed : tuple of int, or None
        The columns of the array that are read; None for all.
    """

    source: str
    name: str
    column: str | None
    columns: tuple[str, ...]
    tail: tuple[int, ...]
    dtype: np.dtype[Any]
    categories: tuple[str, ...] | None = None
    gaps: bool = False
    needed: tuple[int, ...] | None = None


class Step(NamedTuple):
    """One call.

    Attributes
    ----------
    node : Node
        The call, without inputs: function, arguments, type and shape of the recorded result.
    inputs : tuple of int
        Registers of its inputs.
    axis : int
        The axis of rows of the result, counted from the end.
    """

    node: Node
    inputs: tuple[int, ...]
    axis: int


class Filter(NamedTuple):
    """A mask that decides which rows go on: its register, and what the step is called."""

    register: int
    name: str


class Statistic(NamedTuple):
    """Frozen values of the recording.

    Attributes
    ----------
    name : str
        The step that gave them, as ``mean``; with a number where there are several.
    columns : tuple of str, or None
        Names along the last axis, where they are known.
    values : ndarray
    of_rows : bool
        Whether values of source rows have a part in them.
    """

    name: str
    columns: tuple[str, ...] | None
    values: Array
    of_rows: bool = True


class Plan:
    """Registers: leaves first, then statistics, then the result of each step.

    Parameters
    ----------
    leaves : sequence of Leaf
    statistics : sequence of Statistic
    steps : sequence of Step
    filters : sequence of Filter
        In the order in which rows meet them.
    result : int
        The register of the result.
    axis : int
        Its axis of rows, counted from the end.
    """

    def __init__(
        self,
        leaves: Sequence[Leaf],
        statistics: Sequence[Statistic],
        steps: Sequence[Step],
        filters: Sequence[Filter],
        result: int,
        axis: int,
    ) -> None:
        self.leaves = tuple(leaves)
        self.statistics = tuple(statistics)
        self.steps = tuple(steps)
        self.filters = tuple(filters)
        self.result = result
        self.axis = axis
        self._calls = [_quick(step) for step in self.steps]

    def run(self, rows: Sequence[Array], n: int) -> tuple[Array, NDArray[np.intp], str]:
        """Do the steps on `n` new rows.

        Returns
        -------
        values : ndarray
        kept : integer array
            The new rows that the filters keep, in order.
        dropped_by : str
            Name of the first filter that dropped a row; empty if none did.

        Raises
        ------
        LineageError
            When a step doesn't fit these rows.
        """
        registers: list[Any] = [*rows, *(each.values for each in self.statistics)]
        with np.errstate(all="ignore"):
            for step, quick in zip(self.steps, self._calls, strict=True):
                value = None
                if quick is not None:
                    args = list(step.node.args)
                    for place, register in quick:
                        args[place] = registers[register]
                    value = _called(step.node, args)
                if value is None:
                    node = step.node
                    results = results_of(node, [registers[i] for i in step.inputs])
                    value = _as_recorded(results[node.item or 0], step)
                registers.append(value)
        kept = np.arange(n)
        dropped_by = ""
        for each in self.filters:
            chosen = kept[registers[each.register]]
            if not dropped_by and len(chosen) < len(kept):
                dropped_by = each.name
            kept = chosen
        found = registers[self.result]
        return (found if found.flags.writeable else found.copy()), kept, dropped_by


_WRONG = (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError)


def _quick(step: Step) -> list[tuple[int, int]] | None:
    """Return where registers go among the arguments, None where the call isn't that plain."""
    node = step.node
    if node.item is not None or writes(node.op) or step.axis != -len(node.shape):
        return None
    if node.kwargs and ("out" in node.kwargs or slots(node.kwargs)):
        return None
    places = []
    for place, value in enumerate(node.args):
        if isinstance(value, Slot):
            places.append((place, step.inputs[value.index]))
        elif slots(value):
            return None
    return places


def _called(node: Node, args: list[Any]) -> Any:
    """Return the result of a plain call, None where it isn't of the recorded type and shape."""
    try:
        value = node.op(*args, **(node.kwargs or {}))
    except _WRONG:
        return None  # `results_of` says what is wrong
    if isinstance(value, np.ndarray) and value.dtype == node.dtype:
        shape = node.shape
        if value.ndim == len(shape) and value.shape[1:] == shape[1:]:
            return value
    return None


def _as_recorded(value: Any, step: Step) -> Any:
    """Check that a result has the recorded type and the recorded shape, but for its rows."""
    node = step.node
    if value.dtype != node.dtype and value.dtype.kind not in "USV":
        if not np.can_cast(value.dtype, node.dtype, "safe"):
            raise LineageError(
                f"{node.name} gives {value.dtype} on these rows where {node.dtype} was recorded: "
                "no recorded row made it give another type"
            )
        value = value.astype(node.dtype)
    shape, place = node.shape, len(node.shape) + step.axis
    if value.ndim != len(shape) or (
        value.shape[:place] != shape[:place] or value.shape[place + 1 :] != shape[place + 1 :]
    ):
        raise LineageError(
            f"{node.name} gives {list(value.shape)} on these rows where {list(shape)} was recorded"
        )
    return value


def refuse_dropped(kept: NDArray[np.intp], n: int, dropped_by: str) -> None:
    """Refuse rows that the recorded filters leave out.

    Raises
    ------
    RowError
        Naming the first of them, and the filter.
    """
    if len(kept) == n:
        return
    gone = np.setdiff1d(np.arange(n), kept)
    listed = ", ".join(map(str, gone[:5])) + (", …" if len(gone) > 5 else "")
    raise RowError(
        f"{len(gone)} of {n} new rows ({listed}) would have been left out by the recorded filter "
        f"{dropped_by}, so that no such row was trained on: give return_kept=True to leave them "
        "out, and be told which were kept."
    )


def named(labels: Iterator[str] | Sequence[str]) -> list[str]:
    """Return names with numbers behind those that occur several times: mean, mean 2."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} {seen[label]}")
    return found
