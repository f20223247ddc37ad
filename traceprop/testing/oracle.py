"""The perturbation oracle: nudge a source row, and see which output rows change.

A lineage is *sound* if every output row that any nudge of a source row changes has that row among
its dependencies: direct, statistic or control. It is *precise* as far as the rows that it names can
be seen to matter. The oracle knows nothing of lineage: it runs the function again on plain arrays
with one row changed, and compares bit for bit. An array whose shape or dtype changes counts as
changed in every row, since where its rows are and what they are made of depends on all that decided
the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage import ProvenanceTensor, array, strict, values
from traceprop.lineage.answers.query import dependencies
from traceprop.lineage.graph.node import SOURCE
from traceprop.lineage.rowset import RowSet
from traceprop.testing.nudges import nudged
from traceprop.testing.program import FAILURES, run_quietly

Array = NDArray[Any]
Pairs = NDArray[np.bool_]
"""(output rows, source rows): which pairs are there. Rows of several sources follow one another."""


def flat_results(result: Any) -> list[Any]:
    """Return the arrays in a function's result: itself, or those in a sequence or mapping."""
    if isinstance(result, Mapping):
        return [each for part in result.values() for each in flat_results(part)]
    if isinstance(result, (list, tuple)):
        return [each for part in result for each in flat_results(part)]
    return [result]


def rows_differ(a: Any, b: Any) -> NDArray[np.bool_]:
    """For each row of `a`, whether `b` has another one; NaN equals NaN, and −0.0 is not 0.0."""
    a, b = np.asarray(a), np.asarray(b)
    n = a.shape[0] if a.ndim else 1
    text = a.dtype.kind in "US" and a.dtype.kind == b.dtype.kind  # the width may follow the longest
    if a.shape != b.shape or (a.dtype != b.dtype and not text):
        return np.full(n, True)
    if a.dtype.kind not in "OT" and not text and a.tobytes() == b.tobytes():
        return np.full(n, False)
    cells = _cells_differ(a, b).reshape(n, -1 if a.size else 0)
    return np.asarray(cells.any(axis=1))


def _cells_differ(a: Array, b: Array) -> NDArray[np.bool_]:
    if a.dtype.names:
        differ = np.zeros(a.shape, dtype=np.bool_)
        for name in a.dtype.names:
            differ |= _cells_differ(a[name], b[name]).reshape(*a.shape, -1).any(axis=-1)
        return differ
    if a.dtype.kind == "c":
        return _cells_differ(a.real, b.real) | _cells_differ(a.imag, b.imag)
    if a.dtype.kind == "O":
        other = np.frompyfunc(lambda x, y: type(x) is not type(y) or repr(x) != repr(y), 2, 1)
        return np.asarray(other(a, b), dtype=np.bool_)
    differ = np.asarray(a != b)
    if a.dtype.kind == "f":
        differ = (differ | (np.signbit(a) != np.signbit(b))) & ~(np.isnan(a) & np.isnan(b))
    elif a.dtype.kind in "mM":
        differ = differ & ~(np.isnat(a) & np.isnat(b))
    return differ


def perturbed(
    function: Callable[..., Any], arrays: Sequence[Array], finite: bool = False
) -> list[Pairs]:
    """Which (output row, source row) pairs some nudge shows, for each array that comes out.

    Parameters
    ----------
    function : callable
        Takes the arrays, and returns an array or several. It gets copies, and may write into them.
    arrays : sequence of ndarray
        Each of one dimension or more.
    finite : bool
        Leave out the nudges to NaN and infinity: LAPACK may hang on them.

    Notes
    -----
    Where a nudge makes the function raise, nothing comes out to be compared: it shows nothing.
    """
    plain = flat_results(run_quietly(function, *(each.copy() for each in arrays)))
    total = sum(len(each) for each in arrays)
    pairs = [np.zeros((_n_rows(each), total), dtype=np.bool_) for each in plain]
    for column, sources in _nudged_sources(arrays, finite):
        try:
            other = flat_results(run_quietly(function, *sources))
        except FAILURES:
            continue
        if len(other) != len(plain):
            other = [None] * len(plain)  # another number of results: all are others
        for found, before, after in zip(pairs, plain, other, strict=True):
            found[:, column] |= rows_differ(before, after)
    return pairs


def _n_rows(value: Any) -> int:
    return len(value) if np.ndim(value) else 1


def _nudged_sources(arrays: Sequence[Array], finite: bool) -> Iterator[tuple[int, list[Array]]]:
    """Yield (number of the source row, all sources with that row nudged)."""
    column = 0
    for position, source in enumerate(arrays):
        for row in range(len(source)):
            for changed in nudged(source, row, finite):
                copies = [each.copy() for each in arrays]
                copies[position] = changed
                yield column, copies
            column += 1


def recorded(tensor: ProvenanceTensor, sources: Sequence[ProvenanceTensor]) -> Pairs:
    """Which (output row, source row) pairs the lineage of a tensor has, of any kind."""
    node = tensor.node
    starts = np.concatenate([[0], np.cumsum([len(each) for each in sources])]).astype(int)
    start_of = {
        each.ancestors().leaves[0]: start for each, start in zip(sources, starts[:-1], strict=True)
    }
    pairs = np.zeros((node.n_rows, starts[-1]), dtype=np.bool_)
    for row in range(node.n_rows):
        for source, rows in dependencies(node, RowSet.span(row, row + 1)).all().items():
            if source in start_of:  # another one came in on the way, as by np.ones(3, like=X)
                pairs[row, rows.to_numpy() + start_of[source]] = True
    return pairs


def track(arrays: Sequence[Array]) -> list[ProvenanceTensor]:
    """Make a tensor of each array, named `source 0`, `source 1` and so on."""
    return [array(each, name=f"source {i}") for i, each in enumerate(arrays)]


def assert_same_values(plain: Any, tracked: Any) -> None:
    """Check that tracked results hold what the plain ones do, to the bit.

    Raises
    ------
    AssertionError
        Naming the result, and what is different.
    """
    results, tensors = flat_results(plain), flat_results(tracked)
    assert len(results) == len(tensors), f"{len(tensors)} results instead of {len(results)}"
    for i, (one, other) in enumerate(zip(results, tensors, strict=True)):
        expected, found = np.asarray(one), values(other)
        same = expected.dtype == found.dtype and expected.shape == found.shape
        assert same, (
            f"result {i} is {found.dtype}{found.shape}, not {expected.dtype}{expected.shape}"
        )
        assert not rows_differ(expected, found).any(), f"result {i} is {found!r}, not {expected!r}"


def assert_sound(function: Callable[..., Any], *arrays: Array, finite: bool = False) -> None:
    """Check that a function's lineage names every source row that can change an output row.

    Parameters
    ----------
    function : callable
        Takes arrays, plain or tracked, and returns an array or several (a sequence or mapping).
    *arrays : ndarray
        Small ones: every row of each is nudged about fifteen times.
    finite : bool
        Leave out the nudges to NaN and infinity: LAPACK may hang on them.

    Raises
    ------
    AssertionError
        When tracking changes a value, or an output row changes with a source row that is not
        among its dependencies.
    EscapeError
        When a value would leave the lineage.

    Examples
    --------
    >>> assert_sound(lambda X: (X - X.mean(axis=0))[X[:, 0] > 0], np.eye(3))
    """
    changed = perturbed(function, arrays, finite)
    for result, _, missing in unnamed_pairs(function, arrays, changed, recorded):
        assert not missing.any(), _tell(result, missing, arrays)


def unnamed_pairs(
    function: Callable[..., Any],
    arrays: Sequence[Array],
    changed: Sequence[Pairs],
    recorded_in: Callable[[ProvenanceTensor, Sequence[ProvenanceTensor]], Pairs],
) -> Iterator[tuple[int, Any, Pairs]]:
    """Give of each result its number, itself, and the pairs that changed but aren't recorded.

    Raises
    ------
    AssertionError
        When tracking changes a value.
    EscapeError
        When a value would leave the lineage.
    """
    plain = run_quietly(function, *(each.copy() for each in arrays))
    sources = track(arrays)
    leaves = [each.copy() for each in sources]  # the function may write into what it gets
    with strict():
        tracked = run_quietly(function, *leaves)
    assert_same_values(plain, tracked)
    for i, (result, pairs) in enumerate(zip(flat_results(tracked), changed, strict=True)):
        missing = pairs
        if isinstance(result, ProvenanceTensor):
            missing = pairs & ~recorded_in(result, sources)
        yield i, result, missing


def source_of(column: int, sizes: Sequence[int]) -> tuple[int, int]:
    """Say which source a column of pairs is of, and which of its rows or cells."""
    position = 0
    while column >= sizes[position]:
        column -= sizes[position]
        position += 1
    return position, column


def _tell(result: int, missing: Pairs, arrays: Sequence[Array]) -> str:
    row, column = map(int, np.argwhere(missing)[0])
    position, source_row = source_of(column, [len(each) for each in arrays])
    return (
        f"row {row} of result {result} changes with row {source_row} of source {position}, which "
        f"is not among its dependencies ({int(missing.sum())} such pairs)"
    )


def precision(
    function: Callable[..., Any], *arrays: Array, finite: bool = False
) -> tuple[int, int]:
    """Count the pairs in a function's lineage that some nudge shows, and all that are in it.

    Results that are untouched arguments don't count.

    Returns
    -------
    shown, recorded : int
        Their quotient is the share of the lineage that can be seen to matter.
    """
    return count_shown(function, arrays, perturbed(function, arrays, finite), recorded)


def count_shown(
    function: Callable[..., Any],
    arrays: Sequence[Array],
    changed: Sequence[Pairs],
    recorded_in: Callable[[ProvenanceTensor, Sequence[ProvenanceTensor]], Pairs],
) -> tuple[int, int]:
    """Count the pairs that nudges showed among those that `recorded_in` a lineage, and the latter.

    Parameters
    ----------
    changed : sequence of pairs
        What nudges showed, for each result.
    recorded_in : callable
        Takes a result and the sources, and returns the pairs that its lineage has.
    """
    sources = track(arrays)
    tracked = flat_results(run_quietly(function, *(each.copy() for each in sources)))
    shown = total = 0
    for tensor, pairs in zip(tracked, changed, strict=True):
        if isinstance(tensor, ProvenanceTensor) and tensor.node.op is not SOURCE:
            in_lineage = recorded_in(tensor, sources)
            shown += int((in_lineage & pairs).sum())
            total += int(in_lineage.sum())
    return shown, total
