"""The digest of a query's result: what a SQL source's `sha256` is.

SHA-256 over a header and two streams per column, so that it depends on names, kinds, values and the
order of the rows, and not on how a driver cut the result into batches. The header is the canonical
JSON list ``["traceprop.sql-result.v1", n_rows, [[name, kind, presence, values], …]]``, where
``presence`` and ``values`` are the hexadecimal SHA-256 of

presence
    one byte a row: 0 for NULL, 1 for a value, 2 for a number that is no 64-bit integer
values
    eight little-endian bytes a row: of a number that is a 64-bit integer (3.0 is 3; -0.0 is not)
    the integer, of another its float64 (one NaN for all); of a boolean 0 or 1; of a date its day
    since 1970, of a timestamp and a time of day its microseconds; of a text the length in bytes of
    its UTF-8, which is a stream of its own (a third digest in the column's list). 0 for NULL.

A column of NULLs alone has the kind ``nothing``, whatever type the driver gave it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.sources.sql.values import NOTHING, kind_of

_VERSION = "traceprop.sql-result.v1"
_INT64 = 2.0**63


@dataclass(frozen=True, slots=True)
class Encoded:
    """One column of a batch, as this module's first lines say.

    Attributes
    ----------
    kind : str
        Its `kind_of`.
    presence : uint8 array, shape (n,)
    words : int64 array, shape (n,)
    text : uint8 array
        The UTF-8 of a text's values, one after the other; else empty.
    """

    kind: str
    presence: npt.NDArray[np.uint8]
    words: npt.NDArray[np.int64]
    text: npt.NDArray[np.uint8]


class ResultDigest:
    """The running digest of some columns, batch after batch.

    Parameters
    ----------
    columns : sequence of str
        Their names, in order.

    Attributes
    ----------
    n_rows : int
        Rows so far.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.n_rows = 0
        self._columns = [_ColumnDigest(name) for name in columns]

    def add(self, batch: Sequence[Encoded]) -> None:
        """Take in one batch: its columns, encoded."""
        for column, encoded in zip(self._columns, batch, strict=True):
            column.add(encoded)
        self.n_rows += len(batch[0].words)

    def hexdigest(self) -> str:
        """Return the digest of what was taken in so far."""
        header = [_VERSION, self.n_rows, [column.summary() for column in self._columns]]
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


class _ColumnDigest:
    def __init__(self, name: str) -> None:
        self._name = name
        self._kind = NOTHING
        self._presence, self._words, self._text = (hashlib.sha256() for _ in range(3))

    def add(self, encoded: Encoded) -> None:
        if encoded.kind != NOTHING:
            self._kind = encoded.kind
        self._presence.update(encoded.presence.data)
        self._words.update(encoded.words.data)
        self._text.update(encoded.text.data)

    def summary(self) -> list[str]:
        parts = [self._name, self._kind, self._presence.hexdigest(), self._words.hexdigest()]
        return [*parts, self._text.hexdigest()] if self._kind == "text" else parts


def row_hashes(batch: Sequence[Encoded]) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each row: XXH64 of two words a column, its presence and its value.

    A text's value is XXH64 of its UTF-8, that of NULL is 0. Two rows of equal values have one hash,
    whatever batches and drivers they came by.
    """
    from numba_kernels.row_hashes import hash_spans, hash_words

    n_rows = len(batch[0].words)
    words = np.empty((2 * len(batch), n_rows), np.uint64)
    for j, encoded in enumerate(batch):
        words[2 * j] = encoded.presence
        if encoded.kind == "text":
            starts = np.cumsum(encoded.words) - encoded.words
            hash_spans(encoded.text, starts, encoded.words, 0, words[2 * j + 1])
            words[2 * j + 1, encoded.presence == 0] = 0
        else:
            words[2 * j + 1] = encoded.words.view(np.uint64)
    hashes = np.empty(n_rows, np.uint64)
    hash_words(words, hashes)
    return hashes


def encode(array: Any) -> Encoded:
    """Encode an Arrow array of one of the kinds of `sql_values`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    n, kind, empty = len(array), kind_of(array), np.empty(0, np.uint8)
    if kind == NOTHING:
        return Encoded(kind, np.zeros(n, np.uint8), np.zeros(n, "<i8"), empty)
    presence = array.is_valid().cast(pa.uint8()).to_numpy(zero_copy_only=False)
    if kind == "text":
        lengths = pc.binary_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        return Encoded(kind, presence, lengths.astype("<i8"), _text_of(array))
    if kind == "number" and pa.types.is_floating(array.type):
        floats = array.fill_null(0.0).to_numpy(zero_copy_only=False)
        return Encoded(kind, *_encode_floats(presence, floats), empty)
    if kind == "date":
        array = array.cast(pa.int32())
    words = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return Encoded(kind, presence, words.astype("<i8"), empty)


def _encode_floats(
    presence: npt.NDArray[np.uint8], floats: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Encode integral values as integers, the others by their bits."""
    with np.errstate(invalid="ignore"):
        integral = (np.trunc(floats) == floats) & (np.abs(floats) < _INT64)
        integral &= ~(np.signbit(floats) & (floats == 0))
        integers = np.where(integral, floats, 0.0).astype("<i8")
    bits = np.where(np.isnan(floats), np.nan, floats).astype("<f8").view("<i8")
    present = presence.copy()
    present[(presence == 1) & ~integral] = 2
    return present, np.where(integral, integers, bits)


def _text_of(array: Any) -> npt.NDArray[np.uint8]:
    """Return the bytes of a string array's values, one after the other."""
    import pyarrow as pa

    array = pa.concat_arrays([array.fill_null("")])  # offsets from 0, whatever slice it was
    _, offsets, data = array.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4)
    return np.frombuffer(data, np.uint8)[int(ends[0]) : int(ends[-1])]
