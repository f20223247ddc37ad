"""Tables put one below the other: columns by name, categories merged.

What the tables disagree on is refused, with the names of the tables and the column; a column that
misses every value, as a file may have it, fits any kind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from traceprop.errors import SourceError
from traceprop.sources.table import ops
from traceprop.sources.table.stored import Columns, Stored

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor


def concat_columns(tables: Sequence[Columns], names: Sequence[str]) -> dict[str, Stored]:
    """Put the columns of several tables one below the other.

    Parameters
    ----------
    tables : sequence of mapping of str to Stored
        One at least.
    names : sequence of str
        What to call each table in an error.

    Raises
    ------
    SourceError
        Where the tables don't have the same columns, or a column is of different kinds.
    """
    first = tables[0]
    for columns, name in zip(tables[1:], names[1:], strict=True):
        _check_names(first, names[0], columns, name)
    rows = ops.concat_rows([next(iter(columns.values())).tensor() for columns in tables])
    return {
        column: _one_column(column, [columns[column] for columns in tables], names, rows)
        for column in first
    }


def _check_names(first: Columns, first_name: str, other: Columns, name: str) -> None:
    lacking = [column for column in first if column not in other]
    if lacking:
        raise SourceError(
            f"{name} has no column {lacking[0]!r}, which {first_name} has; give tables of the same "
            "columns, as with table[[…]], or load the files with columns="
        )
    added = [column for column in other if column not in first]
    if added:
        raise SourceError(
            f"{name} has a column {added[0]!r} that {first_name} lacks; give tables of the same "
            "columns, as with table[[…]], or load the files with columns="
        )


def _one_column(
    name: str, parts: Sequence[Stored], tables: Sequence[str], rows: ProvenanceTensor
) -> Stored:
    tensors = [part.tensor() for part in parts]
    kinds = [_kind(part, tensor) for part, tensor in zip(parts, tensors, strict=True)]
    known = [kind for kind in dict.fromkeys(kinds) if kind != _NOTHING]
    if len(known) > 1:
        said = " and ".join(
            f"{kind} in {tables[kinds.index(kind)]}{_example(parts[kinds.index(kind)])}"
            for kind in known[:2]
        )
        raise SourceError(
            f"column {name!r} is {said}; make them alike first: leave it out, or load it with "
            "other types or missing= markers"
        )
    if known == ["text"]:
        merged = tuple(sorted({each for part in parts for each in part.categories or ()}))
        codes = [
            ops.all_missing(tensor, np.dtype(np.int32))
            if part.categories is None
            else ops.recoded(tensor, part.categories, merged)
            for part, tensor in zip(parts, tensors, strict=True)
        ]
        gaps = any(part.gaps or not part.is_text for part in parts)
        return Stored(ops.one_below_the_other(codes, rows), None, merged, gaps)
    if known in (["dates"], ["durations"]):
        dtype = np.result_type(*(tensor.dtype for tensor in tensors if tensor.dtype.kind in "mM"))
        tensors = [
            tensor if tensor.dtype.kind in "mM" else ops.all_missing(tensor, dtype)
            for tensor in tensors
        ]
    return Stored(ops.one_below_the_other(tensors, rows))


def _example(column: Stored) -> str:
    """Show the first text that is no number, and where it stands; nothing of other columns."""
    from traceprop.lineage import values

    if column.categories is None:
        return ""
    codes = values(column.tensor())
    odd = [code for code, text in enumerate(column.categories) if not _NUMBER.fullmatch(text)]
    rows = np.flatnonzero(np.isin(codes, odd))
    if not rows.size:
        return ""
    row = int(rows[0])
    return f" ({column.categories[codes[row]]!r} in {column.tensor()[row].trace()})"


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOTHING = "nothing but missing values"
_KINDS = {"M": "dates", "m": "durations", "b": "numbers", "i": "numbers", "u": "numbers",
          "f": "numbers"}  # fmt: skip


def _kind(part: Stored, tensor: ProvenanceTensor) -> str:
    """Return what a column holds, as far as columns of the same can be put together."""
    from traceprop.lineage import values

    if part.is_text:
        return "text"
    if tensor.dtype.kind == "f" and bool(np.isnan(values(tensor)).all()):
        return _NOTHING
    return _KINDS.get(tensor.dtype.kind, str(tensor.dtype))
