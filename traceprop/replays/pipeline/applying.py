"""`tp.apply`: new rows prepared as a recorded tensor's rows were, its statistics frozen."""

from __future__ import annotations

from typing import Any, Literal, overload

from numpy.typing import NDArray

from traceprop.errors import LineageError
from traceprop.lineage.answers.query import node_of
from traceprop.lineage.graph.counted import count_asked
from traceprop.lineage.graph.lineage_graph import LineageGraph
from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import SOURCE, Node, inputs_first
from traceprop.lineage.recording.tracked import Tracked
from traceprop.lineage.source import Source, find_source, is_there
from traceprop.replays.leaves import Given
from traceprop.replays.pipeline.compiling import compiled
from traceprop.replays.pipeline.pipeline import Kept, Pipeline

Array = NDArray[Any]


@overload
def apply(
    X: Any, raw: Any, *, sources: Given | None = None, return_kept: Literal[False] = False
) -> Array: ...
@overload
def apply(
    X: Any, raw: Any, *, sources: Given | None = None, return_kept: Literal[True]
) -> tuple[Array, Kept]: ...
def apply(
    X: Any, raw: Any, *, sources: Given | None = None, return_kept: bool = False
) -> Array | tuple[Array, Kept]:
    """Prepare new rows as a tensor's rows were prepared, with the tensor's statistics.

    Parameters
    ----------
    X : ProvenanceTensor, LineageGraph or Pipeline
        What rows were prepared to be: the recorded tensor, a replayed one, or a saved pipeline.
    raw : array, ProvenanceTensor, mapping, DataFrame, Table, or a row of one
        New rows of the source: of an array all its columns in order, shape (columns,) or
        (rows, columns); by name those that the pipeline reads. Where it reads several sources, a
        mapping of each source, or its name, to its new rows; a source that isn't given is taken as
        it was recorded, as a table to look things up in.
    sources : mapping of source to array, optional
        As for `tp.replay`.
    return_kept : bool
        Leave out rows that the recorded filters would have, and say which were kept.

    Returns
    -------
    values : ndarray, one row for each new row
    kept : bool array, (new rows,)
        With `return_kept`: which new rows `values` has.

    Raises
    ------
    LineageError
        When a step isn't row-wise: it is named, with the reason.
    RowError
        When a recorded filter would have left a new row out; it names both.
    DataError
        When the new rows haven't the columns or the types of the source.
    SourceError
        When a source can't be read again for its statistics.

    Notes
    -----
    Rows that the recording chose, or moved, by their places (slices, samples, splits, sorting) are
    prepared no otherwise than the rest: new rows pass such steps. The statistics are computed once
    for each tensor, by running its recorded pipeline again.

    Examples
    --------
    >>> tp.apply(X, {"age": 41, "income": 38_000.0})  # doctest: +SKIP
    >>> model(torch.from_numpy(tp.apply(X, declined)))  # doctest: +SKIP
    """
    if isinstance(X, Tracked):
        count_asked((node_of(X),), "tp.apply")  # what comes out rests on X's statistics
    found = X if isinstance(X, Pipeline) else pipeline_of(X, _named_sources(X, raw), sources)
    if return_kept:
        return found.apply(raw, return_kept=True)
    return found.apply(raw)


def pipeline_of(X: Any, only: list[Source] | None = None, sources: Given | None = None) -> Pipeline:
    """Return how new rows are prepared to be rows of a tensor.

    Parameters
    ----------
    X : ProvenanceTensor or LineageGraph
    only : list of Source, optional
        The sources of which new rows will be given; default all that flow into its rows.
    sources : mapping of source to array, optional
        As for `tp.replay`.
    """
    root = _root(X)
    kept = memo(root)
    key = None if only is None else frozenset(source.uri for source in only)
    if kept.pipelines is None:
        kept.pipelines = {}
    if key not in kept.pipelines:
        chosen = _leaves(root) if only is None else only
        made = compiled(root, chosen, sources or {})
        kept.pipelines[key] = Pipeline(
            made.plan,
            {source.uri: source.name for source in chosen},
            made.columns,
            tuple(made.escapes),
            made.off,
            made.tried,
        )
    found: Pipeline = kept.pipelines[key]
    return found


def _root(X: Any) -> Node:
    if isinstance(X, LineageGraph):
        if len(X.roots) != 1:
            raise LineageError(
                f"This lineage is that of {len(X.roots)} tensors: save the one that is to be "
                "applied by itself."
            )
        return X.roots[0]
    if not isinstance(X, Tracked):
        raise LineageError(f"{type(X).__name__} has no recorded pipeline: give a tensor.")
    return node_of(X)


def _leaves(root: Node) -> list[Source]:
    return list({node.args[0]: None for node in inputs_first(root) if node.op is SOURCE})


def _named_sources(X: Any, raw: Any) -> list[Source] | None:
    """Return the sources that a mapping of sources names; None where it is no such mapping."""
    if not isinstance(raw, dict) or not raw:
        return None
    known = _leaves(_root(X))
    if not all(isinstance(key, (str, Source)) and is_there(known, key) for key in raw):
        return None
    return [find_source(known, key) for key in raw]
