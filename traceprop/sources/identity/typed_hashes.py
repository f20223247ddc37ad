"""A 64-bit hash for each row of an Arrow table, over its values and not over how they are stored.

A row's hash is XXH64 (seed 0) of one 64-bit word a column, in order, little-endian:

- integers and booleans: the value, as two's complement;
- floats: the bits of the value as float64, every NaN alike;
- dates: days since 1970; timestamps, times and durations: nanoseconds, modulo 2⁶⁴;
- text, bytes and decimals: XXH64 of the UTF-8 text or bytes;
- a missing value: XXH64 of the four bytes ``null``.

Chunks, dictionaries, the width of an integer and the unit of a time don't matter, nor do names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError

_ROWS = 1 << 16  # rows whose words are made at a time, where they must be made
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DAY_MS = 86_400_000
EXACT = 2**53  # integers up to here are float64 exactly

Words = npt.NDArray[np.uint64]
Dictionaries = dict[int, tuple[Any, Words]]


def hash_table(table: Any) -> Words:
    """Hash the rows of a pyarrow.Table or RecordBatch.

    Parameters
    ----------
    table : pyarrow.Table or pyarrow.RecordBatch

    Returns
    -------
    uint64 array, shape (rows,)

    Raises
    ------
    SourceError
        Where a column is of a nested or unknown type; it names the column.
    """
    import pyarrow as pa

    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    out = np.empty(table.num_rows, np.uint64)
    nothing = np.empty((0, table.num_columns))
    dictionaries: Dictionaries = {}
    start = 0
    for batch in table.to_batches(max_chunksize=_ROWS):
        stop = start + batch.num_rows
        _hash_batch(batch, out[start:stop], nothing, dictionaries)
        start = stop
    return out


def hash_numbers(batch: Any, hashes: Words, matrix: npt.NDArray[np.float64]) -> str | None:
    """Hash the rows of a batch of numbers, and put them into a matrix while they are at hand.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        Of integers, floats, booleans, decimals, and dictionaries of these.
    hashes : uint64 array, shape (rows,)
        Receives the hashes.
    matrix : float64 array, shape (rows, columns)
        Receives the numbers, NaN where they are missing.

    Returns
    -------
    str, optional
        The name of a column with an integer that no float64 is exactly; the matrix isn't filled
        then.
    """
    return _hash_batch(batch, hashes, matrix, {})


def _hash_batch(
    batch: Any, hashes: Words, matrix: npt.NDArray[np.float64], known: Dictionaries
) -> str | None:
    from numba_kernels import typed_columns as kernel

    places = np.zeros((batch.num_columns, len(kernel.FIELDS)), np.int64)
    kept: list[Any] = []  # what the addresses point to
    for j, (name, array) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        if len(matrix):
            array = _plain_numbers(array)
            if array is None:
                return str(name)
        if not _place_numbers(array, places[j], kept):
            words = np.empty(len(array), np.uint64)
            if hasattr(array, "dictionary"):
                _dictionary_words(array, words, known, name, j)
            else:
                _fill_words(array, words, name)
            places[j, [kernel.KIND, kernel.WORDS]] = kernel.MADE, words.ctypes.data
            kept.append(words)
            if len(matrix):
                floats = _as_floats(array)
                places[j, kernel.VALUES] = floats.ctypes.data
                kept.append(floats)
    inexact = kernel.hash_columns(places, hashes, matrix)
    return None if inexact < 0 else str(batch.schema.names[inexact])


def _plain_numbers(array: Any) -> Any:
    """Undo dictionaries and widths of integers; None where an integer is no float64 exactly."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    if kinds.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if not kinds.is_uint64(array.type):
        return array
    largest = pc.max(array).as_py()
    return None if largest is not None and largest > EXACT else array.cast(pa.int64())


def _as_floats(array: Any) -> npt.NDArray[np.float64]:
    import pyarrow as pa

    floats = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(floats, np.float64)


def _place_numbers(array: Any, place: npt.NDArray[np.int64], kept: list[Any]) -> bool:
    """Say where a column's values lie, if they are their own words and lie as the kernel reads."""
    import pyarrow as pa
    import pyarrow.types as kinds

    from numba_kernels import typed_columns as kernel

    kind = array.type
    if kinds.is_boolean(kind) or (kinds.is_integer(kind) and kind.bit_width < 32):
        array = array.cast(pa.int32())
    elif kinds.is_uint32(kind):
        array = array.cast(pa.int64())
    read = {
        pa.int32(): (kernel.INT32, 4),
        pa.int64(): (kernel.INT64, 8),
        pa.float32(): (kernel.FLOAT32, 4),
        pa.float64(): (kernel.FLOAT64, 8),
    }
    if array.type not in read:
        return False
    place[kernel.KIND], width = read[array.type]
    validity, values = array.buffers()
    place[kernel.VALUES] = values.address + width * array.offset if len(array) else 0
    if array.null_count:
        place[kernel.VALIDITY], place[kernel.OFFSET] = validity.address, array.offset
    kept.append(array)
    return True


def _dictionary_words(
    array: Any, out: Words, known: dict[int, tuple[Any, Words]], name: str, j: int
) -> None:
    """Look each row's value up among the words of the dictionary, which are made once a column."""
    from numba_kernels.typed_columns import NULL

    values = array.dictionary
    if j not in known or not _same_memory(known[j][0], values):
        words = np.empty(len(values) + 1, np.uint64)
        _fill_words(values, words[:-1], name)
        words[-1] = NULL
        known[j] = values, words
    out[:] = known[j][1][array.indices.cast("int64").fill_null(-1).to_numpy()]


def _same_memory(one: Any, other: Any) -> bool:
    """Whether two arrays are one: the batches of a chunk share their dictionary."""

    def place(array: Any) -> list[Any]:
        parts = [None if part is None else part.address for part in array.buffers()]
        return [array.offset, len(array), *parts]

    return place(one) == place(other)


def _fill_words(array: Any, out: Words, name: str) -> None:
    """Write the word of each value of one Arrow array."""
    import pyarrow as pa
    import pyarrow.types as kinds

    from numba_kernels.row_hashes import float_words
    from numba_kernels.typed_columns import NULL

    kind = array.type
    if kinds.is_null(kind):
        out[:] = NULL
        return
    if kinds.is_decimal(kind):
        array = array.cast(pa.string())
    if kinds.is_fixed_size_binary(kind) and not kinds.is_decimal(kind):
        array = array.cast(pa.binary())
    if _is_text(array.type):
        _text_words(array, out)
    elif kinds.is_floating(kind):
        values = array.fill_null(0) if array.null_count else array
        float_words(values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False), out)
    else:
        _whole_number_words(array, out, name)
    if array.null_count:
        out[array.is_null().to_numpy(zero_copy_only=False)] = NULL


def _is_text(kind: Any) -> bool:
    import pyarrow.types as kinds

    return any(
        is_kind(kind)
        for is_kind in (
            *(kinds.is_string, kinds.is_large_string, kinds.is_string_view),
            *(kinds.is_binary, kinds.is_large_binary, kinds.is_binary_view),
        )
    )


def _text_words(array: Any, out: Words) -> None:
    """Hash texts where they lie in Arrow's buffer."""
    import pyarrow as pa

    from numba_kernels.row_hashes import hash_spans

    if not pa.types.is_large_binary(array.type):
        array = array.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    stops = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    hash_spans(content, stops[:-1], np.diff(stops), 0, out)


def _whole_number_words(array: Any, out: Words, name: str) -> None:
    """Write integers, booleans, dates and times as two's complement."""
    import pyarrow as pa
    import pyarrow.types as kinds

    kind = array.type
    scale = np.uint64(1)
    if kinds.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif kinds.is_date32(kind):
        array = array.view(pa.int32())
    elif kinds.is_date64(kind):
        array = array.view(pa.int64())
    elif kinds.is_time32(kind) or kinds.is_time(kind) or kinds.is_duration(kind):
        scale = np.uint64(_NANOSECONDS[kind.unit])
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif kinds.is_timestamp(kind):
        scale = np.uint64(_NANOSECONDS[kind.unit])
        array = array.view(pa.int64())
    elif not kinds.is_integer(kind):
        raise SourceError(
            f"column {name!r} holds {kind} values, which have no row hash; leave it out with "
            "columns=, or flatten it first"
        )
    values = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    if kinds.is_date64(kind):
        values = values // _DAY_MS
    signed = values.dtype.kind == "i"
    np.copyto(out.view(np.int64) if signed else out, values)
    if scale != 1:
        np.multiply(out, scale, out=out)
