"""New rows of a source, in any form that users have them in, as the arrays that a plan starts from.

Promise: a value stands in the column, the type and the category code that a recorded row's value
would; what can't is an error that names the column and the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import DataError
from traceprop.lineage.source import Source
from traceprop.lineage.tensor import values
from traceprop.replays.pipeline.plan import Leaf

Array = NDArray[Any]


class _Given(NamedTuple):
    """New rows of one source: by name, or as they stand side by side."""

    by_name: Mapping[str, Any] | None
    array: Any


def arrays_of(
    leaves: Sequence[Leaf], sources: Mapping[str, str], raw: Any
) -> tuple[list[Array], int]:
    """Return an array for each leaf, and how many new rows there are.

    Parameters
    ----------
    leaves : sequence of Leaf
    sources : mapping of str to str
        The name of each source, by its uri, those that no leaf is of included.
    raw
        As for `tp.apply`.

    Raises
    ------
    DataError
        When a column is missing, of another type, or of another length.
    """
    by_source = _by_source(leaves, sources, raw)
    named = {uri: _given(each) for uri, each in by_source.items()}
    arrays = [_of_leaf(leaf, named[leaf.source]) for leaf in leaves]
    lengths = {len(each) for each in arrays}
    if len(lengths) > 1:
        raise DataError(f"the new rows are {sorted(lengths)} in number: give as many of each")
    return arrays, lengths.pop()


def _by_source(leaves: Sequence[Leaf], sources: Mapping[str, str], raw: Any) -> dict[str, Any]:
    """Return the new rows of each source."""
    names = {leaf.source: leaf.name for leaf in leaves}
    if isinstance(raw, Mapping) and raw:
        keys = {_called(key): each for key, each in raw.items()}
        known = {**{name: uri for uri, name in sources.items()}, **{uri: uri for uri in sources}}
        if all(key in known for key in keys):
            found = {known[key]: each for key, each in keys.items()}
            missing = [names[uri] for uri in names if uri not in found]
            if missing:
                raise DataError(f"give new rows of {missing[0]} too: the pipeline reads them")
            return found
    if len(names) > 1:
        listed = ", ".join(repr(name) for name in names.values())
        raise DataError(
            f"the pipeline reads rows of {len(names)} sources ({listed}): give a mapping of each "
            "to its new rows"
        )
    return dict.fromkeys(names, raw)


def _called(key: Any) -> str:
    return key.uri if isinstance(key, Source) else str(key)


def _given(raw: Any) -> _Given:
    if isinstance(raw, Mapping):
        return _Given(raw, None)
    if hasattr(raw, "to_dict") and hasattr(raw, "index") and getattr(raw, "ndim", 0) == 1:
        return _Given(raw.to_dict(), None)  # a row of a pandas.DataFrame
    names = getattr(getattr(raw, "dtype", None), "names", None)
    if names is None and not hasattr(raw, "node") and hasattr(raw, "columns"):
        names = list(raw.columns)  # pandas, polars, a Table
    if names:
        return _Given({str(name): raw[name] for name in names}, raw)
    if isinstance(raw, (list, tuple)) and raw and all(isinstance(each, Mapping) for each in raw):
        return _Given({name: [each.get(name) for each in raw] for name in raw[0]}, None)
    return _Given(None, raw)


def _of_leaf(leaf: Leaf, given: _Given) -> Array:
    if leaf.column is not None:
        return _typed(leaf, leaf.column, _column(leaf, given), leaf.dtype)
    records = isinstance(given.array, np.ndarray) and given.array.dtype == leaf.dtype
    if given.by_name is None or records:
        return _whole(leaf, given.array)
    if leaf.dtype.names and not leaf.tail:
        return _records(leaf, given.by_name)
    if len(leaf.tail) != 1 or len(leaf.columns) != leaf.tail[0]:
        raise DataError(f"the columns of {leaf.name} have no names: give its new rows as an array")
    by_name = given.by_name
    needed = range(len(leaf.columns)) if leaf.needed is None else leaf.needed
    found = {j: _typed(leaf, leaf.columns[j], _named(leaf, leaf.columns[j], by_name), leaf.dtype)
             for j in needed}  # fmt: skip
    n = len(next(iter(found.values()))) if found else 1
    array = np.zeros((n, *leaf.tail), leaf.dtype)
    for j, column in found.items():
        if len(column) != n:
            raise DataError(
                f"column {leaf.columns[j]!r} of the new rows has {len(column)}, not {n}"
            )
        array[:, j] = column
    return array


def _records(leaf: Leaf, by_name: Mapping[str, Any]) -> Array:
    """Return records of their fields."""
    names = leaf.dtype.names or ()
    fields = [np.atleast_1d(np.asarray(values(_named(leaf, name, by_name)))) for name in names]
    array = np.zeros(len(fields[0]), leaf.dtype)
    for name, field in zip(names, fields, strict=True):
        array[name] = _cast(f"field {name!r} of the new rows", field, leaf.dtype[name])
    return array


def _named(leaf: Leaf, name: str, by_name: Mapping[str, Any]) -> Any:
    if name not in by_name:
        raise DataError(
            f"the new rows have no column {name!r}, which the pipeline reads of {leaf.name}; they "
            f"have {', '.join(map(str, by_name)) or 'none'}"
        )
    return by_name[name]


def _column(leaf: Leaf, given: _Given) -> Any:
    """Return the values of a table's column."""
    assert leaf.column is not None
    if given.by_name is not None:
        return _named(leaf, leaf.column, given.by_name)
    raw = given.array
    cells = np.asarray(raw if isinstance(raw, (list, tuple)) else values(raw), object)
    place = leaf.columns.index(leaf.column)
    if not cells.ndim or cells.shape[-1] != len(leaf.columns) or cells.ndim > 2:
        raise DataError(
            f"a row of {leaf.name} has {len(leaf.columns)} columns ({', '.join(leaf.columns)}) and "
            f"the new rows are {list(cells.shape)}: give them by name"
        )
    return cells[..., place]


def _typed(leaf: Leaf, name: str, column: Any, dtype: np.dtype[Any]) -> Array:
    """Return a column's new values as those of the recording are held; shape (n,)."""
    found = np.atleast_1d(np.asarray(values(column)))
    if found.ndim != 1:
        raise DataError(f"column {name!r} of the new rows is {list(found.shape)}: give one axis")
    if leaf.categories is not None:
        return _codes(leaf, name, found)
    return _cast(f"column {name!r} of the new rows", found, dtype)


def _codes(leaf: Leaf, name: str, texts: Array) -> Array:
    """Return the codes of texts.

    Raises
    ------
    DataError
        When a text is in no recorded row, or missing where none was.
    """
    assert leaf.categories is not None
    place = {text: code for code, text in enumerate(leaf.categories)}
    codes = np.empty(len(texts), np.int32)
    for row, text in enumerate(texts.tolist()):
        if text is None or text == "" or text != text:
            if not leaf.gaps:
                raise DataError(
                    f"new row {row} misses a value in column {name!r}, and no recorded row of "
                    f"{leaf.name} does: fill it in"
                )
            codes[row] = -1
        elif text in place:
            codes[row] = place[text]
        else:
            raise DataError(
                f"new row {row} has {text!r} in column {name!r}, and no recorded row of "
                f"{leaf.name} has: the pipeline knows {_listed(leaf.categories)}"
            )
    return codes


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts[:8])) + (
        f" and {len(texts) - 8} more" if len(texts) > 8 else ""
    )


def _cast(what: str, found: Array, dtype: np.dtype[Any]) -> Array:
    """Return values in the recorded type, of which they must be."""
    text = found.dtype.kind in "US"
    if found.dtype.kind == "O":
        text = any(isinstance(each, (str, bytes)) for each in found.ravel())
    if text and dtype.kind not in "USOT":
        raise DataError(f"{what} holds text where {dtype} was recorded: give numbers")
    try:
        cast: Array = found.astype(dtype)
    except (TypeError, ValueError) as wrong:
        raise DataError(f"{what} can't be {dtype}, as it was recorded: {wrong}") from wrong
    if dtype.kind in "biu" and not np.array_equal(cast, found):
        raise DataError(f"{what} holds values that {dtype}, as it was recorded, can't")
    return cast


def _whole(leaf: Leaf, raw: Any) -> Array:
    """Return new rows of an array; a single row gets an axis of rows."""
    array = np.asarray(values(raw)) if not isinstance(raw, (list, tuple)) else np.asarray(raw)
    if array.shape == leaf.tail and (array.ndim or not leaf.tail):
        array = array[np.newaxis]
    if array.ndim != len(leaf.tail) + 1 or array.shape[1:] != leaf.tail:
        raise DataError(
            f"a row of {leaf.name} is {list(leaf.tail)} and the new rows are {list(array.shape)}: "
            "give the columns of the source, in its order"
        )
    return _cast(f"what is given for {leaf.name}", array, leaf.dtype)
