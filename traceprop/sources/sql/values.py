"""Values of a query's result as Arrow columns of few kinds, whichever driver brought them.

Kinds: ``number`` (int64 or float64), ``boolean``, ``text``, ``date``, ``timestamp`` (naive),
``timestamp UTC``, ``time`` and ``nothing`` (only NULLs). Decimals become the nearest float64,
moments with a time zone the same moment in UTC, a UUID its text. Promise: what doesn't fit one of
these is refused by the column's name, and so is a column that holds two kinds, as SQLite's may.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from traceprop.errors import SourceError

NOTHING = "nothing"
_EXACT = 2**53  # integers up to here are float64 exactly
_FIRST_YEAR, _LAST_YEAR = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59", "us")
_SHOWN = 40  # characters of a value that a message shows


def kind_of(array: Any) -> str:
    """Return the kind of one of this module's Arrow arrays."""
    import pyarrow.types as kinds

    type_ = array.type
    if kinds.is_null(type_) or array.null_count == len(array):
        return NOTHING
    if kinds.is_timestamp(type_):
        return "timestamp" if type_.tz is None else "timestamp UTC"
    for name, is_kind in (
        ("boolean", kinds.is_boolean),
        ("text", kinds.is_string),
        ("date", kinds.is_date),
        ("time", kinds.is_time),
    ):
        if is_kind(type_):
            return name
    return "number"


def from_python(values: Sequence[Any], column: str, first_row: int) -> Any:
    """Turn one column of DBAPI rows into an Arrow array.

    Parameters
    ----------
    values : sequence of object
    column : str
        The column's name, and `first_row` the number of its first row, for messages.

    Raises
    ------
    SourceError
        Where a value has no kind, or values are of two kinds; it names column, row and value.
    """
    import pyarrow as pa

    names = {_python_kind(each) for each in set(map(type, values))} - {None}
    if "moment" in names:
        names = {_kind_of_value(value) for value in values} - {None}
    if not names:
        return pa.nulls(len(values))
    name = next(iter(names)) if len(names) == 1 else None
    if name is None and names <= {"integer", "float", "decimal"}:
        name = "decimal" if "decimal" in names else "float"
    unknown = next((each for each in names if each is not None and each not in _MAKERS), None)
    if unknown is not None:
        row = next(i for i, value in enumerate(values) if _kind_of_value(value) == unknown)
        raise unfit(column, unknown, first_row + row)
    if name is None:
        raise _mixed_values(values, column, first_row)
    try:
        return _MAKERS[name](values, column)
    except (pa.ArrowException, OverflowError) as error:
        raise _unreadable(column, error) from None


def from_arrow(array: Any, column: str, postgres_type: str | None = None) -> Any:
    """Turn one Arrow array of a driver into one of this module's kinds.

    Parameters
    ----------
    array : pyarrow.Array
    column : str
        The column's name, for messages.
    postgres_type : str, optional
        PostgreSQL's own name of its type, where that is known: its driver gives money as an integer
        of cents without saying so.

    Raises
    ------
    SourceError
        Where its type has no kind here.
    """
    import pyarrow as pa
    import pyarrow.types as kinds

    type_ = array.type
    target = None
    if isinstance(type_, pa.BaseExtensionType):
        if type_.extension_name == "arrow.uuid":
            return pa.array([v and str(v) for v in array.to_pylist()], pa.string())
        is_numeric = getattr(type_, "type_name", None) == "numeric"
        if is_numeric or type_.extension_name == "arrow.json":
            texts = from_arrow(array.storage, column)
            return _from_decimals(texts, column) if is_numeric else texts
    elif postgres_type != "money":
        target = _target(type_)
    if target is None:
        name = "bytes" if kinds.is_binary(type_) or kinds.is_large_binary(type_) else str(type_)
        name = getattr(type_, "type_name", name)
        raise unfit(column, postgres_type if postgres_type == "money" else name, None)
    try:
        if kinds.is_decimal(type_):
            return _from_decimals(array.cast(pa.string()), column)
        cast = array if type_ == target else array.cast(target)
    except pa.ArrowException as error:
        raise _unreadable(column, error) from None
    _check_years(cast, column)
    return cast


def _target(type_: Any) -> Any:
    """Return the Arrow type that one of a driver's becomes; None where there is none."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_timestamp(type_):
        return pa.timestamp("us", None if type_.tz is None else "UTC")
    if kinds.is_dictionary(type_):
        return pa.string() if _target(type_.value_type) == pa.string() else None
    targets = (
        (kinds.is_integer, pa.int64()),
        (kinds.is_floating, pa.float64()),
        (kinds.is_decimal, pa.float64()),
        (kinds.is_boolean, pa.bool_()),
        (kinds.is_string, pa.string()),
        (kinds.is_large_string, pa.string()),
        (kinds.is_string_view, pa.string()),
        (kinds.is_date, pa.date32()),
        (kinds.is_time, pa.time64("us")),
        (kinds.is_null, pa.null()),
    )
    return next((target for is_kind, target in targets if is_kind(type_)), None)


def joined(parts: Sequence[Any], column: str) -> Any:
    """Join the batches of a column into one pyarrow.ChunkedArray of one type.

    Its kinds agree already; integers meet floats as float64.
    """
    import pyarrow as pa

    types = {part.type for part in parts} - {pa.null()}
    if not types:
        return pa.chunked_array(parts)
    target = pa.float64() if len(types) > 1 else types.pop()
    if pa.types.is_floating(target):
        return pa.chunked_array([as_float(part, column) for part in parts], target)
    return pa.chunked_array([part.cast(target) for part in parts], target)


def as_float(array: Any, column: str) -> Any:
    """Return numbers, booleans or nothing as float64.

    Raises
    ------
    SourceError
        Where an integer is too large for float64 to hold it exactly.
    """
    import pyarrow as pa

    if pa.types.is_integer(array.type):
        _check_exact(array, column)
    return array if pa.types.is_floating(array.type) else array.cast(pa.float64(), safe=False)


def _check_exact(array: Any, column: str) -> None:
    import pyarrow.compute as pc

    ends = pc.min_max(array).as_py()
    largest = max((end for end in ends.values() if end is not None), key=abs, default=0)
    if abs(largest) > _EXACT:
        raise SourceError(
            f"column {column!r} holds {largest}, which a float64 can't hold exactly; leave the "
            "column out with columns=, or cast it to text in the query and use read_sql"
        )


def _check_years(array: Any, column: str) -> None:
    """Refuse dates outside the years 1 to 9999: infinity comes as such a number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        return
    whole = pa.int64() if pa.types.is_timestamp(array.type) else pa.int32()
    unit = "us" if whole == pa.int64() else "D"
    for end in pc.min_max(array.cast(whole)).values():
        if end.is_valid and not (
            _FIRST_YEAR.astype(f"M8[{unit}]").view("i8")
            <= end.as_py()
            <= _LAST_YEAR.astype(f"M8[{unit}]").view("i8")
        ):
            raise SourceError(
                f"column {column!r} holds a date outside the years 1 to 9999, or an infinite one; "
                "leave such rows out, or make NULL of them in the query"
            )


def _python_kind(type_: type) -> str | None:
    """Name what a Python type is; None for missing."""
    if type_ is type(None):
        return None
    for known, name in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "float"),
        (str, "text"),
        (decimal.Decimal, "decimal"),
        (datetime.datetime, "moment"),
        (datetime.date, "date"),
        (datetime.time, "time"),
        (uuid.UUID, "text"),
        ((bytes, bytearray, memoryview), "bytes"),
    ):
        if issubclass(type_, known):
            return name
    return type_.__name__


def _kind_of_value(value: Any) -> str | None:
    if isinstance(value, datetime.datetime):
        return "timestamp" if value.tzinfo is None else "timestamp UTC"
    return _python_kind(type(value))


def mixed(
    column: str, kind: str, other: str, row: int | None = None, value: object = None
) -> SourceError:
    """Return the error of a column whose values are of two kinds.

    Parameters
    ----------
    column : str
    kind, other : str
        What it holds before `row`, and what it holds there.
    row : int, optional
    value : object, optional
        The value at `row`.
    """
    shown = "" if value is None else f" ({shortened(value)})"
    where = "" if row is None else f" in row {row}{shown}"
    return SourceError(
        f"column {column!r} holds values of two kinds: {kind}, but {other}{where}; "
        f'CAST it in the query, as in CAST("{column}" AS REAL), or make NULL of the odd ones'
    )


def shortened(value: object) -> str:
    """Return a value as a message shows it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _mixed_values(values: Sequence[Any], column: str, first_row: int) -> SourceError:
    """Find the first value whose kind isn't that of the first one."""
    seen = [(i, _kind_of_value(value)) for i, value in enumerate(values) if value is not None]
    broad = [(i, _BROAD.get(str(name), str(name))) for i, name in seen]
    first = broad[0][1]
    row, other = next((i, name) for i, name in broad if name != first)
    return mixed(column, first, other, first_row + row, values[row])


def unfit(column: str, what: str, row: int | None) -> SourceError:
    """Return the error of a column whose values are neither numbers, text nor dates."""
    what = _SAID.get(what, f"values of type {what}")
    where = "" if row is None else f" (row {row})"
    return SourceError(
        f"column {column!r} holds {what}{where}, which can't be loaded; leave it out with "
        "columns=, or make a number or text of it in the query"
    )


def _unreadable(column: str, error: Exception) -> SourceError:
    return SourceError(f"column {column!r} can't be read: {error}; cast it in the query")


_BROAD = {"integer": "number", "float": "number", "decimal": "number"}
_SAID = {
    "bytes": "bytes (a BLOB)",
    "timedelta": "intervals",
    "month_day_nano_interval": "intervals",
    "money": "amounts of money in a form of PostgreSQL's own",
}


def _from_decimals(texts: Any, column: str) -> Any:
    """Return decimals, given as text, as the nearest float64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    floats = texts.cast(pa.float64())
    overflown = pc.and_(pc.is_inf(floats), pc.invert(pc.match_like(texts, "%nf%")))
    if pc.any(overflown).as_py():
        value = texts.filter(overflown)[0].as_py()
        raise SourceError(
            f"column {column!r} holds the decimal {shortened(value)}, which is too large for a "
            "float64; make it a text or a smaller number in the query"
        )
    return floats


def _decimals(values: Sequence[Any], column: str) -> Any:
    import pyarrow as pa

    texts = pa.array([None if value is None else str(value) for value in values], pa.string())
    return _from_decimals(texts, column)


def _integers(values: Sequence[Any], column: str) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values, pa.int64())
    except (OverflowError, pa.ArrowInvalid):
        largest = max((value for value in values if value is not None), key=abs)
        raise SourceError(
            f"column {column!r} holds {largest}, which doesn't fit 64 bits; cast it in the query"
        ) from None


def _floats(values: Sequence[Any], column: str) -> Any:
    import pyarrow as pa

    if set(map(type, values)) <= {float, type(None)}:
        return pa.array(values, pa.float64(), from_pandas=False)
    if any(isinstance(value, int) for value in values):
        largest = max((value for value in values if isinstance(value, int)), key=abs)
        _check_exact(pa.array([largest]), column)
    floats = [None if value is None else float(value) for value in values]
    return pa.array(floats, pa.float64(), from_pandas=False)


def _texts(values: Sequence[Any], column: str) -> Any:
    import pyarrow as pa

    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _times(values: Sequence[Any], column: str) -> Any:
    import pyarrow as pa

    if any(value is not None and value.tzinfo is not None for value in values):
        raise SourceError(
            f"column {column!r} holds times of day with a time zone; make it a text or a timestamp "
            "in the query"
        )
    return pa.array(values, pa.time64("us"))


def _plain(type_name: str, *arguments: Any) -> Any:
    def make(values: Sequence[Any], column: str) -> Any:
        import pyarrow as pa

        return pa.array(values, getattr(pa, type_name)(*arguments))

    return make


_MAKERS = {
    "boolean": _plain("bool_"),
    "integer": _integers,
    "float": _floats,
    "decimal": _decimals,
    "text": _texts,
    "date": _plain("date32"),
    "timestamp": _plain("timestamp", "us"),
    "timestamp UTC": _plain("timestamp", "us", "UTC"),
    "time": _times,
}
