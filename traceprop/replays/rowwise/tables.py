"""A table's own steps: rows chosen by number, columns gathered, texts, tables joined or chained."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.graph.node import Held, Op
from traceprop.replays.rowwise.alignment import (
    Call,
    NotRowwise,
    Outcome,
    Rows,
    passed,
    rowwise_named,
    same_rows,
)
from traceprop.replays.rowwise.cells import KNOWN_CODES, gathered
from traceprop.replays.rowwise.keys import by_index


@rowwise_named("row_numbers")
def _numbered(call: Call) -> Outcome:
    _, rows = call.main()
    return call.outcome(Rows(rows.order, -1, rows.order.key))


@rowwise_named("column", "column_of_codes", "rows_of_rows")
def _gathered(call: Call) -> Outcome:
    """Rows of a column that row numbers name."""
    node = call.node
    base, index = call.held
    if base is None:
        return gathered(call, 1)
    if index is not None:
        if index.numbers != base.order.key:
            raise NotRowwise("its row numbers are of another table")
        return call.outcome(Rows(index.order, -1, base.numbers))
    held = node.args[1]
    if not isinstance(held, Held) or held.array is None:
        raise NotRowwise("its mask or index wasn't kept; record at granularity 'row'")
    array = np.asarray(held.array)
    if array.min(initial=0) < 0:
        raise NotRowwise("some of its rows are missing ones")
    order = by_index(call, base.order, node.inputs[1], array)
    return Outcome(Rows(order, -1, base.numbers), passes=0)


@rowwise_named("text_of_codes", "recode", "all_missing", "one_hot", "to_tensor")
def _columns(call: Call) -> Outcome:
    rows = None
    for own in call.held:
        if own is None:
            raise NotRowwise("one of its columns has a value for each row of the recording")
        if rows is not None:
            same_rows(rows, own)
        rows = own
    if rows is None:
        raise NotRowwise("it has no columns")
    return call.outcome(Rows(rows.order, -len(call.node.shape)))


@rowwise_named("codes_of_text")
def _coded(call: Call) -> Outcome:
    _, rows = call.main()
    return call.outcome(Rows(rows.order, -1), op=KNOWN_CODES)


@rowwise_named("concat")
def _numbered_in_several(call: Call) -> Outcome:
    k, rows, start = _only_part(call, len(call.node.inputs))
    order = rows.order.by_place(("part", start, call.node.n_rows))
    return Outcome(
        Rows(order, -1, order.key),
        op=Op.called("row_numbers"),
        args=(call.node.args[k],),
        kwargs={},
    )


@rowwise_named("column_of_parts")
def _chained(call: Call) -> Outcome:
    k, rows, start = _only_part(call, len(call.node.inputs) - 1)
    order = rows.order.by_place(("part", start, call.node.n_rows))
    return passed(call, k, Rows(order, -1, rows.numbers))


def _only_part(call: Call, count: int) -> tuple[int, Rows, int]:
    """Return the one part that holds rows: its input, the rows, and where they start."""
    found = [(k, rows) for k, rows in enumerate(call.held[:count]) if rows is not None]
    if len(found) != 1:
        raise NotRowwise("each new row would become several, one in each of the tables it joins")
    k, rows = found[0]
    return k, rows, sum(parent.n_rows for parent in call.node.inputs[:k])
