"""Which source rows each output row came from, written out: what a store or a data set keeps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.answers.compose import compose_path, merge
from traceprop.lineage.answers.survey import survey
from traceprop.lineage.graph.edge import DIRECT
from traceprop.lineage.graph.edges import edges
from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import SOURCE, Node
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
    return [
        Origin(source, *row_map.groups()) for source, row_map in row_maps_to_sources(node).items()
    ]


def row_maps_to_sources(node: Node) -> dict[Source, RowMap]:
    """Return the row map from `node` to each source, composed along every direct path."""
    kept = memo(node)
    if kept.origins is None:
        kept.origins = _compose_paths(node)
    return kept.origins  # type: ignore[no-any-return]


def only_path(node: Node) -> tuple[Source, list[RowMap]] | None:
    """Return the source and the maps on the way to it where one direct path leads there alone.

    Each of its maps gives an output row one row at most, so that what follows it needs no joining
    of sets. None where there are several paths, or none.
    """
    path = []
    while node.op is not SOURCE:
        direct = [edge for edge in edges(node) if edge.kind == DIRECT]
        if len(direct) != 1 or not direct[0].map.functional:
            return None
        path.append(direct[0].map)
        node = node.inputs[direct[0].input]
    source, rows, _ = node.args
    if rows is not None:
        path.append(Take(rows, source.n_rows))
    return source, path


def _compose_paths(root: Node) -> dict[Source, RowMap]:
    """Compose along every direct path, joining paths where they meet.

    Where one path leads to a node and one leads on, its maps are only listed, so that
    `compose_path` can begin at the cheaper end.
    """
    followed, waiting = survey(root, direct_only=True)
    arriving: dict[Node, list[RowMap]] = {root: []}  # maps from root's rows to the node's
    found: dict[Source, RowMap] = {}
    ready = [root]
    while ready:
        node = ready.pop()
        path = arriving.pop(node)
        if node.op is SOURCE:
            source, rows, _ = node.args
            if rows is not None:
                path.append(Take(rows, source.n_rows))
            to_source = compose_path(path, root.n_rows)
            found[source] = merge(found[source], to_source) if source in found else to_source
            continue
        onward = followed[node]
        if len(onward) > 1:
            path = [compose_path(path, root.n_rows)]
        for edge in onward:
            parent = node.inputs[edge.input]
            longer = path if len(onward) == 1 else path.copy()
            if type(edge.map) is not Identity:
                longer.append(edge.map)
            other = arriving.get(parent)
            if other is not None:
                n = root.n_rows
                longer = [merge(compose_path(other, n), compose_path(longer, n))]
            arriving[parent] = longer
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
    return found
