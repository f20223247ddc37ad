"""Columns made of others: a tensor put back into the table it came from, missing values filled.

A tensor that is put into a table must be of the table's rows: where it comes of the same source row
by row, but of other rows than the table has there, it was computed before a sort, a join or a
filter, and is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from traceprop.errors import DataError, SourceError
from traceprop.lineage.answers.origins import row_maps_to_sources
from traceprop.lineage.graph.node import Op
from traceprop.lineage.recording.calls import call
from traceprop.lineage.registry import implements
from traceprop.lineage.tensor import ProvenanceTensor, array, values
from traceprop.sources.table import ops
from traceprop.sources.table.base import missing_in
from traceprop.sources.table.stored import Columns, Stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def _encode(text: npt.NDArray[Any], categories: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return the place of each text in sorted categories; -1 for the empty text."""
    codes = np.searchsorted(categories, text).astype(np.int32)
    return np.where(text == "", np.int32(-1), codes)


_CODES_OF_TEXT = Op("codes_of_text", _encode)

implements(_CODES_OF_TEXT, family="sources")(ops.rows_stay)


def as_column(name: str, data: Any, columns: Columns, n_rows: int, check: bool) -> Stored:
    """Make a column of a tensor, or of plain data, which is a source of its own.

    Raises
    ------
    DataError
        Where it isn't one value for each row, or, with `check`, is of other rows of a source than
        the table.
    """
    tensor = data if isinstance(data, ProvenanceTensor) else array(data, name=name)
    if tensor.shape != (n_rows,):
        raise DataError(
            f"column {name!r} has shape {tensor.shape} and the table {n_rows} rows; give one value "
            "for each row"
        )
    if check:
        _check_aligned(name, tensor, columns)
    if tensor.dtype.kind == "U":
        texts = np.unique(values(tensor))
        gaps = bool(len(texts)) and texts[0] == ""
        categories = texts[1:] if gaps else texts
        codes = call(_CODES_OF_TEXT, (tensor, categories), {})
        return Stored(codes, None, tuple(categories.tolist()), bool(gaps))
    if tensor.dtype.kind not in "biufmM":
        raise DataError(
            f"column {name!r} is {tensor.dtype}; a table holds numbers, dates and text (str)"
        )
    if tensor.node is not tensor._node or tensor.flags.writeable:
        tensor = tensor.copy()
        tensor.setflags(write=False)
    return Stored(tensor)


def _check_aligned(name: str, tensor: ProvenanceTensor, columns: Columns) -> None:
    """Compare the tensor's rows of each source with those that the table has of it."""
    found = {
        source: row_map for source, row_map in row_maps_to_sources(tensor.node).items()
        if row_map.functional
    }  # fmt: skip
    wrong = ""
    for column in {id(each.rows): each for each in columns.values()}.values():
        for source, row_map in row_maps_to_sources(column.tensor().node).items():
            if source not in found or not row_map.functional:
                continue
            differ = np.flatnonzero(row_map.index() != found[source].index())
            if not len(differ):
                return  # a table may have a source's rows twice: one of them is enough
            row = int(differ[0])
            wrong = wrong or (
                f"column {name!r} is of other rows than the table: its row {row} is {source} row "
                f"{found[source].index()[row]}, the table's is row {row_map.index()[row]}; compute "
                "it from this table's columns, or give check=False if it is meant to be shifted"
            )
    if wrong:
        raise DataError(wrong)


def filled(name: str, column: Stored, value: Any) -> Stored:
    """Return a column with a value, plain or tracked, in the place of its missing ones.

    Raises
    ------
    SourceError
        Where the value is of another kind than the column.
    """
    if column.categories is not None:
        if not isinstance(value, str) or not value:
            raise SourceError(f"column {name!r} holds text; fill it with a text, not {value!r}")
        merged: Sequence[str] = sorted({*column.categories, value})
        codes = ops.recoded(column.tensor(), column.categories, merged, merged.index(value))
        return Stored(codes, None, tuple(merged), False)
    tensor = column.tensor()
    dated = tensor.dtype.kind in "mM"
    if isinstance(value, str) and not dated:
        raise SourceError(f"column {name!r} holds numbers; fill it with a number, not {value!r}")
    if dated and not isinstance(value, ProvenanceTensor):
        value = np.array(value, tensor.dtype)
    result = cast("ProvenanceTensor", np.where(missing_in(column), value, tensor))
    result.setflags(write=False)
    return Stored(result)
