"""Which source rows each output row came from, written out: what a store or a data set keeps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.compose import compose, merge
from traceprop.lineage.memo import memo
from traceprop.lineage.node import SOURCE, Node
from traceprop.lineage.query import survey
from traceprop.lineage.rowmap import Identity, RowMap, Take
from traceprop.lineage.rowset import Rows
from traceprop.lineage.source import Source


class Origin(NamedTuple):
    """The rows of one source that each output row came from directly.

    Attributes
    ----------
    source : Source
    indptr : int64 array, (n + 1,)
        Row i's source rows are `rows[indptr[i]:indptr[i + 1]]`.
    rows : integer array, (m,)
        Sorted and distinct within each output row.
    """

    source: Source
    indptr: NDArray[np.int64]
    rows: Rows


def origins_of(node: Node) -> list[Origin]:
    """Return one `Origin` per source that flows into `node` directly."""
    return [Origin(source, *row_map.groups()) for source, row_map in source_maps(node).items()]


def source_maps(node: Node) -> dict[Source, RowMap]:
    """Return the row map from `node` to each source, composed along every direct path."""
    kept = memo(node)
    if kept.origins is None:
        kept.origins = _compose_paths(node)
    return kept.origins  # type: ignore[no-any-return]


def _compose_paths(root: Node) -> dict[Source, RowMap]:
    followed, waiting = survey(root, direct_only=True)
    maps: dict[Node, RowMap] = {root: Identity(root.n_rows)}
    found: dict[Source, RowMap] = {}
    ready = [root]
    while ready:
        node = ready.pop()
        row_map = maps.pop(node)
        if node.op is SOURCE:
            source, rows = node.args
            to_source = row_map if rows is None else compose(row_map, Take(rows, source.n_rows))
            found[source] = merge(found[source], to_source) if source in found else to_source
            continue
        for edge in followed[node]:
            parent = node.inputs[edge.input]
            path = compose(row_map, edge.map)
            maps[parent] = merge(maps[parent], path) if parent in maps else path
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
    return found
