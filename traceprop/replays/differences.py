"""`tp.diff`: what leaving rows out changed in the preparation of the rest.

Promise: each statistic that the recorded program took of all rows is compared with what the replay
took in its place, under the name and the columns that it has; rows are told by their source.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import LineageError
from traceprop.lineage.answers.columns import columns
from traceprop.lineage.answers.query import node_of
from traceprop.lineage.answers.query import sources as sources_of
from traceprop.lineage.graph.counted import count_asked
from traceprop.lineage.graph.node import SOURCE, Node, inputs_first
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.source import Source
from traceprop.replays.compare import same_bits
from traceprop.replays.leaves import Given
from traceprop.replays.pipeline.plan import named
from traceprop.replays.replaying import recorded_values
from traceprop.replays.rowwise.analysis import Analysis

Array = NDArray[Any]

_LINES: Final = 12  # statistics that are printed


class Moved(NamedTuple):
    """One statistic, before and after.

    Attributes
    ----------
    name : str
        The step that gives it, with a number where there are several.
    columns : tuple of str, or None
        Names along the last axis, where they are known.
    before, after : ndarray
    """

    name: str
    columns: tuple[str, ...] | None
    before: Array
    after: Array

    @property
    def same_shape(self) -> bool:
        """Whether it has as many values as before."""
        return self.before.shape == self.after.shape

    @property
    def has_moved(self) -> bool:
        """Whether any value is another one, to the bit."""
        same = self.same_shape and self.before.dtype == self.after.dtype
        return not (same and same_bits(self.before, self.after))

    @property
    def moves(self) -> Array | None:
        """After less before, cell by cell; None where they aren't numbers of one shape."""
        if not self.same_shape or self.before.dtype.kind not in "biufc":
            return None
        with np.errstate(all="ignore"):
            moves: Array = self.after.astype(np.result_type(self.after, np.float64)) - self.before
        return moves

    @property
    def relative(self) -> float | None:
        """The largest move over the largest value before; None where there are no moves."""
        moves = self.moves
        if moves is None:
            return None
        finite = np.isfinite(moves)
        largest = np.abs(self.before[np.isfinite(self.before)]).max(initial=0)
        return float(np.abs(moves[finite]).max(initial=0) / max(float(largest), 1e-300))


class Difference:
    """What is otherwise in a replayed tensor than in the recorded one.

    Attributes
    ----------
    statistics : tuple of Moved
        Every statistic that the program takes, moved or not, in the order of its steps.
    entered, left : dict of Source to RowSet
        Rows that only the replay's tensor is made of, and rows that only the recorded one is.
    shape : (tuple of int, tuple of int)
        Before and after.
    """

    __slots__ = ("entered", "left", "shape", "statistics")

    def __init__(
        self,
        statistics: tuple[Moved, ...],
        entered: dict[Source, RowSet],
        left: dict[Source, RowSet],
        shape: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> None:
        self.statistics = statistics
        self.entered = entered
        self.left = left
        self.shape = shape

    @property
    def moved(self) -> tuple[Moved, ...]:
        """The statistics that moved."""
        return tuple(each for each in self.statistics if each.has_moved)

    def to_json(self, *, details: bool = False) -> dict[str, Any]:
        """Return the difference as JSON, for a certificate.

        Parameters
        ----------
        details : bool
            Give values and row numbers. From a mean before and after, and the number of rows,
            anybody can work out what the removed rows held: not for a document that is handed out.
        """
        statistics = []
        for each in self.statistics:
            relative = each.relative
            record: dict[str, Any] = {
                "step": each.name,
                "columns": None if each.columns is None else list(each.columns),
                "moved": each.has_moved,
                "shape": [list(each.before.shape), list(each.after.shape)],
                "magnitude": None if not relative else int(np.floor(np.log10(relative))),
            }
            if details:
                record["before"] = _plain(each.before)
                record["after"] = _plain(each.after)
            statistics.append(record)
        rows = []
        for source in dict.fromkeys((*self.entered, *self.left)):
            entered, left = self.entered.get(source), self.left.get(source)
            told: dict[str, Any] = {
                "source": source.uri,
                "sha256": source.sha256,
                "entered": 0 if entered is None else len(entered),
                "left": 0 if left is None else len(left),
            }
            if details:
                told["entered_rows"] = [] if entered is None else entered.to_numpy().tolist()
                told["left_rows"] = [] if left is None else left.to_numpy().tolist()
            rows.append(told)
        return {
            "statistics": statistics,
            "rows": rows,
            "shape": [list(self.shape[0]), list(self.shape[1])],
        }

    def __repr__(self) -> str:
        before, after = (list(shape) for shape in self.shape)
        lines = [f"shape {before} → {after}" if before != after else f"shape {before}"]
        for word, rows in (("left", self.left), ("entered", self.entered)):
            lines += [f"{word}: {source} {each!r}" for source, each in rows.items()]
        moved = self.moved
        lines.append(f"{len(moved)} of {len(self.statistics)} statistics moved")
        lines += [f"  {_told(each)}" for each in moved[:_LINES]]
        if len(moved) > _LINES:
            lines.append(f"  … and {len(moved) - _LINES} more")
        return "\n".join(lines)


def diff(X: Any, X_without: Any, *, sources: Given | None = None) -> Difference:
    """Say what is otherwise in a tensor that was replayed without rows.

    Parameters
    ----------
    X : ProvenanceTensor
        As it was recorded.
    X_without : ProvenanceTensor
        What ``tp.replay(X, without=rows)`` gave.
    sources : mapping of source to array, optional
        As for `tp.replay`.

    Returns
    -------
    Difference
        It prints as a table; `to_json()` is for a certificate.

    Raises
    ------
    LineageError
        When the two aren't of one program.
    SourceError
        When a source can't be read again: the statistics of both are computed.

    Examples
    --------
    >>> X2 = tp.replay(X, without={"credit_scores.csv": [4821]})  # doctest: +SKIP
    >>> tp.diff(X, X2)  # doctest: +SKIP
    shape [24000, 6] → [23999, 6]
    left: credit_scores.csv row 4821
    2 of 2 statistics moved
      mean  income 38012.5 → 38010.9
      std  income 9120.1 → 9119.8
    """
    before, after = node_of(X), node_of(X_without)
    count_asked((before, after), "tp.diff")
    pairs = _paired(before, after)
    taken = [node for node in _statistics(before) if node in pairs]
    names = named([node.name for node in taken])
    old = recorded_values(taken, sources or {}) if taken else []
    new = recorded_values([pairs[node] for node in taken], sources or {}) if taken else []
    statistics = tuple(
        Moved(name, columns(node), np.asarray(a), np.asarray(b))
        for name, node, a, b in zip(names, taken, old, new, strict=True)
    )
    rows = _rows(before), _rows(after)
    return Difference(
        statistics, _less(rows[1], rows[0]), _less(rows[0], rows[1]), (before.shape, after.shape)
    )


def _paired(before: Node, after: Node) -> dict[Node, Node]:
    """Return the node of the one that each node of the other is.

    Raises
    ------
    LineageError
        When they aren't of one program.
    """
    old, new = inputs_first(before), inputs_first(after)
    pairs = dict(zip(old, new, strict=False))
    alike = len(old) == len(new) and all(
        a.op is b.op
        and a.item == b.item
        and tuple(pairs[parent] for parent in a.inputs) == b.inputs
        and (a.op is not SOURCE or a.args[0] == b.args[0])
        for a, b in pairs.items()
    )
    if not alike:
        raise LineageError(
            "The tensors aren't of one program: give a tensor, and what tp.replay(X, without=rows) "
            "gave for it."
        )
    return pairs


def _statistics(root: Node) -> list[Node]:
    """Return the nodes that are made of many rows and hold none, the first ones on each way."""
    nodes = inputs_first(root)
    analysis = Analysis(root, [node.args[0] for node in nodes if node.op is SOURCE])
    lengths = {node.shape[rows.axis] for node, rows in analysis.found.items()} - {1}
    return [
        node
        for node in nodes
        if node in analysis.why and not set(node.shape) & lengths and node is not root
    ]


def _rows(root: Node) -> dict[Source, RowSet]:
    return dict(sources_of(root).items())


def _less(one: dict[Source, RowSet], other: dict[Source, RowSet]) -> dict[Source, RowSet]:
    """Return the rows of each source that only `one` has."""
    found = {}
    for source, rows in one.items():
        gone = other.get(source)
        mine = rows.to_numpy()
        left = mine if gone is None else np.setdiff1d(mine, gone.to_numpy())
        if len(left):
            found[source] = RowSet(left)
    return found


def _plain(array: Array) -> Any:
    if array.dtype.kind in "biuf":
        return array.tolist() if np.isfinite(array).all() else [repr(v) for v in array.ravel()]
    return [str(each) for each in array.ravel().tolist()]


def _told(moved: Moved) -> str:
    """Print a statistic: the cell that moved most, with its column."""
    moves = moved.moves
    if moves is None or not moves.size:
        return f"{moved.name} {list(moved.before.shape)} → {list(moved.after.shape)}"
    place = np.unravel_index(int(np.nanargmax(np.abs(moves))) if not np.isnan(moves).all() else 0,
                             moves.shape)  # fmt: skip
    column = ""
    if moved.columns is not None and place:
        column = f"{moved.columns[place[-1]]} "
    elif place:
        column = f"[{', '.join(map(str, place))}] "
    count = int(np.count_nonzero(moves))
    rest = f" (most of {count} that moved)" if count > 1 else ""
    return f"{moved.name}  {column}{moved.before[place]:.6g} → {moved.after[place]:.6g}{rest}"
