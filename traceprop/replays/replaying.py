"""Run a recorded pipeline again: its sources are read, their digests checked, each step is done.

Promise: what comes back is what was recorded, to the bit or within the stated tolerance, and
without some rows it is what the same program gives on files that never had them. What can't be
replayed is refused by name before or while it runs; nothing is approximated.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import LineageError
from traceprop.lineage.answers.query import node_of
from traceprop.lineage.graph.lineage_graph import LineageGraph
from traceprop.lineage.graph.node import SOURCE, Held, Node, inputs_first, make_held, make_node
from traceprop.lineage.graph.template import transform
from traceprop.lineage.recording.tracked import (
    KIND,
    MEANWHILE,
    OVERWRITE,
    UNFINISHED,
    Tracked,
    wrap,
)
from traceprop.lineage.rerun import copy_in_place, results_of, why_not, writes
from traceprop.replays.compare import check_equal
from traceprop.replays.leaves import Given, Leaves
from traceprop.replays.row_counts import check_positions, check_row_counts
from traceprop.replays.without import check_escapes, rows_left_out

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor

Array = NDArray[Any]

_PATIENCE: Final = 1.0  # seconds before a bar is drawn
_OURS_ALONE: Final = 2  # references to a list's item: the list's, and getrefcount's argument


@overload
def replay(
    tensor: ProvenanceTensor, /, *, without: Any = None, sources: Given | None = None
) -> ProvenanceTensor: ...
@overload
def replay(
    *tensors: ProvenanceTensor | LineageGraph, without: Any = None, sources: Given | None = None
) -> Any: ...
def replay(*tensors: Any, without: Any = None, sources: Given | None = None) -> Any:
    """Run the recorded pipeline of tensors again, from their sources.

    Parameters
    ----------
    *tensors : ProvenanceTensor or LineageGraph
        Tensors of one program, as features and labels; or a loaded lineage.
    without : mapping of source to rows, SourceRows, or forget set, optional
        Rows to leave out, as ``{"credit_scores.csv": [4821]}``: everything is computed as if they
        had never been in the file, so means, filters and sort orders are new.
    sources : mapping of source to array, optional
        What sources that were in memory held; it must be the same to the bit.

    Returns
    -------
    ProvenanceTensor, or tuple of them
        As many as were asked for; of the same shape as recorded, or, without rows, aligned with one
        another. Their lineage names the rows of the file as it is, the removed ones included.

    Raises
    ------
    SourceError
        When a source can't be read again, or changed.
    LineageError
        When a step can't be run again, or not without these rows: it is named, with the reason. Or
        when what came out is not what the tensor holds.
    RowError
        When a row is left out that the source doesn't have.

    Warns
    -----
    LineageWarning
        When the values are equal within the tolerance, but not to the bit.

    Notes
    -----
    Replayed values are equal to the bit under the recorded NumPy, processor features, threads and
    memory layout. A tensor that is still in memory is compared with what comes out: a difference up
    to the square root of its type's precision, times its largest value, is reported, and a larger
    one is an error.

    Examples
    --------
    >>> X, y = tp.replay(X, y)  # doctest: +SKIP
    >>> X2, y2 = tp.replay(X, y, without={"credit_scores.csv": [4821]})  # doctest: +SKIP
    """
    if not tensors:
        raise LineageError("There is nothing to replay: give the tensors.")
    roots: list[Node] = []
    recorded: list[Any] = []
    for each in tensors:
        found = each.roots if isinstance(each, LineageGraph) else (node_of(each),)
        roots.extend(found)
        recorded.extend([each._plain() if isinstance(each, Tracked) else None] * len(found))
    nodes = inputs_first(*roots)
    _refuse(nodes)
    gone = rows_left_out(nodes, without)
    if gone:
        _refuse_other_libraries(nodes)
        check_escapes(nodes, gone, roots)
    run = _Run(nodes, roots, Leaves(_leaves(nodes), sources or {}, gone), bool(gone))
    values = run.values()
    if gone:
        check_row_counts(run.made)
        made = [_tensor(value, run.made[root]) for value, root in zip(values, roots, strict=True)]
    else:
        for value, expected, root in zip(values, recorded, roots, strict=True):
            check_equal(value, expected, root)
        made = [_tensor(value, root) for value, root in zip(values, roots, strict=True)]
    return made[0] if len(made) == 1 else tuple(made)


def _tensor(value: Array, node: Node) -> Any:
    """Make a tensor of a replayed value: of the library whose operation gave it."""
    made_by = node
    while made_by.op in (OVERWRITE, MEANWHILE, UNFINISHED):
        made_by = made_by.inputs[0]
    make = getattr(made_by.op, "tensor_of", None)
    return wrap(KIND[0], value, node) if make is None else make(value, node)


def _refuse_other_libraries(nodes: Iterable[Node]) -> None:
    """Refuse steps of another library, whose numbers nobody tells from numbers of rows."""
    for node in nodes:
        if hasattr(node.op, "tensor_of"):
            raise LineageError(
                f"{node.name} {list(node.shape)} can't be replayed without rows: whether a number "
                "that it took was a number of rows isn't known of torch functions; replay the "
                "NumPy tensor that it was made of, and go on in torch from there."
            )


def recorded_values(nodes: list[Node], sources: Given) -> list[Any]:
    """Run the recorded pipeline again as far as some nodes need it, and return their values.

    Raises
    ------
    SourceError, LineageError
        As `replay`.
    """
    order = inputs_first(*nodes)
    _refuse(order)
    return _Run(order, nodes, Leaves(_leaves(order), sources, {}), renew=False).values()


def _leaves(nodes: Iterable[Node]) -> list[Node]:
    return [node for node in nodes if node.op is SOURCE]


def _refuse(nodes: Iterable[Node]) -> None:
    """Refuse a lineage with a step that can't be run again."""
    for node in nodes:
        why = why_not(node)
        if why is not None:
            raise LineageError(f"{node.name} {list(node.shape)} can't be replayed: {why}.")


class _Run:
    """One pass over the nodes; a value is freed when its last reader ran.

    Attributes
    ----------
    made : dict of Node to Node
        The nodes of this run, where it is another pipeline than the recorded one.
    """

    def __init__(self, nodes: list[Node], roots: list[Node], leaves: Leaves, renew: bool) -> None:
        self._nodes = nodes
        self._roots = roots
        self._leaves = leaves
        self._renew = renew
        self._left = Counter(parent for node in nodes for parent in node.inputs)
        self._left.update(roots)
        self._values: dict[Node, Any] = {}
        self._several: dict[Any, list[Any]] = {}
        self._waiting = Counter(_call(node) for node in nodes if node.item is not None)
        self.made: dict[Node, Node] = {}

    def values(self) -> list[Any]:
        """Run all nodes and return the roots' values, each with memory of its own."""
        for node in _shown(self._nodes):
            if node.op is SOURCE:
                value = self._leaves.value(node)
                if self._renew:
                    self.made[node] = _new_leaf(node, value, self._leaves)
            else:
                value = self._run(node)
            self._values[node] = value
            del value
        found: list[Any] = []
        for root in self._roots:
            self._left[root] -= 1
            found.append(self._values[root] if self._left[root] else self._values.pop(root))
        for i in range(len(found)):
            if isinstance(found[i], np.ndarray) and not _is_ours(found, i):
                found[i] = copy_in_place(found[i])
        return found

    def _run(self, node: Node) -> Any:
        inputs = [self._values[parent] for parent in node.inputs]
        for parent in node.inputs:
            self._left[parent] -= 1
            if not self._left[parent]:
                self._values.pop(parent, None)
        key = _call(node)
        if node.item is not None and key in self._several:
            results = self._several[key]
        else:
            results = self._results(node, inputs)
        if node.item is not None:
            self._waiting[key] -= 1
            self._several[key] = results
            if not self._waiting[key]:
                del self._several[key]
        if len(results) <= (node.item or 0):
            raise LineageError(
                f"{node.name} gives {len(results)} arrays now, and result {node.item} was used"
            )
        value = results[node.item or 0]
        if self._renew:
            self.made[node] = self._new_node(node, inputs, value)
        elif value.shape != node.shape:
            raise LineageError(
                f"{node.name} gives {list(value.shape)} where {list(node.shape)} was recorded: it "
                "was written into an array of another shape, or its library changed"
            )
        return value

    def _results(self, node: Node, inputs: list[Any]) -> list[Any]:
        try:
            return results_of(node, inputs, _spare(node, inputs))
        except LineageError as wrong:
            if self._renew and wrong.__cause__ is not None:  # a better reason than NumPy's
                made = tuple(self.made[parent] for parent in node.inputs)
                failed = make_node(node.op, made, (), None, node.shape, node.dtype)
                check_positions(node, failed)
                check_row_counts({**self.made, node: failed})
            raise

    def _new_node(self, node: Node, inputs: list[Any], value: Any) -> Node:
        """Return the node of this run: its masks and indices are the new ones."""

        def place(old: Any) -> Any:
            if isinstance(old, Held) and old.index >= 0 and old.array is not None:
                return make_held(old.index, inputs[old.index])
            return old

        return make_node(
            node.op,
            tuple(self.made[parent] for parent in node.inputs),
            transform(node.args, place),
            None if node.kwargs is None else transform(node.kwargs, place),
            value.shape,
            value.dtype,
            node.item,
        )


def _call(node: Node) -> Any:
    """Return what the nodes of one call's several results have in common."""
    return node.op, id(node.inputs), id(node.args), id(node.kwargs)


def _new_leaf(leaf: Node, value: Array, leaves: Leaves) -> Node:
    args = (leaf.args[0], leaves.rows(leaf), *leaf.args[2:])
    return make_node(SOURCE, (), args, None, value.shape, value.dtype)


def _spare(node: Node, inputs: list[Any]) -> int:
    """Return an input that may be written into since nobody else sees its memory; -1 if none."""
    if isinstance(node.op, np.ufunc):
        candidates = range(len(inputs))
    elif writes(node.op) or node.op is OVERWRITE:
        candidates = range(1)
    else:
        return -1
    for i in candidates:
        if isinstance(inputs[i], np.ndarray) and _is_ours(inputs, i):
            return i
    return -1


def _is_ours(arrays: list[Any], i: int) -> bool:
    """Whether the list alone has its array number `i`, which owns its memory."""
    array_is_own = arrays[i].base is None and arrays[i].flags.writeable
    return array_is_own and getrefcount(arrays[i]) <= _OURS_ALONE


def _shown(nodes: list[Node]) -> Iterator[Node]:
    """Yield the nodes; after a second, and on a terminal, with a bar."""
    if not sys.stderr.isatty():
        yield from nodes
        return
    start, bar = time.monotonic(), None
    for done, node in enumerate(nodes):
        yield node
        if bar is None and time.monotonic() - start > _PATIENCE:
            from tqdm import tqdm

            bar = tqdm(total=len(nodes), initial=done, desc="replaying", unit="step", leave=False)
        if bar is not None:
            bar.update(done + 1 - bar.n)
    if bar is not None:
        bar.close()
