"""The data rows of a CSV text as pyarrow reads them: columns of any kind.

What it refuses is said for people, with line and column (`csv_errors`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.csv.errors import check_encoding, encoding_error, explain
from traceprop.sources.csv.format import QUOTE
from traceprop.sources.csv.text import CsvText
from traceprop.sources.identity.row_index import RowIndex, tidied

_BLOCK_BYTES = 1 << 20
_MAX_INT32 = 2**31 - 1
_CR = 13


def column_types(text: CsvText, *, numeric: bool) -> dict[str, Any]:
    """Return the pyarrow type of each chosen column that has one before its values are seen."""
    import pyarrow as pa

    types: dict[str, Any] = dict.fromkeys(text.chosen, pa.float64()) if numeric else {}
    for column, name in text.declared.items():
        if column not in text.chosen:
            continue
        if numeric and (name == "str" or name.startswith("datetime")):
            raise SourceError(
                f"dtypes= declares column {column!r} of {text.name} as {name}, but load_csv gives "
                "numbers; load it with read_csv, or choose other columns with columns="
            )
        if name == "str":
            types[column] = pa.dictionary(pa.int32(), pa.string())
        elif name == "datetime64[D]":
            types[column] = pa.date32()
        else:
            types[column] = pa.from_numpy_dtype(name)
    return types


def check_count(text: CsvText, table: Any, n_rows: int) -> None:
    """Refuse a table of another number of rows than the line scan found: nobody's row is known."""
    if table.num_rows != n_rows:
        raise SourceError(
            f"{text.name}: pyarrow read {table.num_rows} rows where the line scan found {n_rows}, "
            "so rows can't be told apart; please report this file"
        )


class CsvReader:
    """pyarrow's reading of the data rows of a text.

    Parameters
    ----------
    text : CsvText
    types : mapping of str to pyarrow.DataType
        Of columns whose type is known; the others' are inferred.
    index : callable
        Gives the rows' index; called only where a problem is to be explained.
    """

    def __init__(
        self, text: CsvText, types: Mapping[str, Any], index: Callable[[], RowIndex]
    ) -> None:
        self._text = text
        self._types = types
        self._index = index
        self._blocks: _Blocks | None = None

    def position(self) -> int:
        """Bytes that pyarrow has taken so far."""
        return 0 if self._blocks is None else self._blocks.position

    def read(self) -> Any:
        """Read the chosen columns into a pyarrow.Table, text as dictionaries."""
        import pyarrow as pa

        try:
            body = _body(self._text)
            table = self._parse_in_blocks(body)
        except UnicodeDecodeError as error:
            raise encoding_error(self._text, self._index(), error) from error
        except pa.ArrowInvalid as error:
            raise explain(error, self._text, body, self._index(), self._types) from error
        check_encoding(table, self._text, self._index)
        return table

    def _parse_in_blocks(self, body: npt.NDArray[np.uint8]) -> Any:
        import pyarrow as pa

        try:
            return self._parse(body, _BLOCK_BYTES)
        except pa.ArrowInvalid:
            # A block must hold the longest row, which UTF-8 may make three times as long.
            needed = 4 * self._index().longest
            if needed <= _BLOCK_BYTES:
                raise
            return self._parse(body, min(needed, _MAX_INT32))

    def _parse(self, body: npt.NDArray[np.uint8], block_bytes: int) -> Any:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        from numba_kernels.lines import contains

        text, format = self._text, self._text.format
        self._blocks = _Blocks(body)
        return arrow_csv.read_csv(
            pa.PythonFile(self._blocks, "r"),
            read_options=arrow_csv.ReadOptions(
                column_names=list(text.columns), block_size=block_bytes
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=format.separator,
                quote_char=QUOTE,
                # Blocks are cut at plain newlines where there is no quote: a third faster.
                newlines_in_values=contains(text.units, text.body, ord(QUOTE)),
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(text.chosen),
                column_types=self._types,
                null_values=list(format.missing),
                strings_can_be_null=True,
                auto_dict_encode=True,
                auto_dict_max_cardinality=_MAX_INT32,
            ),
        )


class _Blocks:
    """A text handed out in blocks of which none ends between CR and LF.

    pyarrow drops a LF that begins a block when a CR ended the one before, also where both belong
    to a quoted value (26.0.1). So a block that would end in CR is cut one byte shorter.
    """

    closed = False

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self._data = data
        self.position = 0

    def read(self, size: int) -> memoryview:
        """Return the next `size` bytes, or one fewer; none at the end."""
        stop = min(self.position + size, self._data.size)
        if self.position + 1 < stop < self._data.size and self._data[stop - 1] == _CR:
            stop -= 1
        block = self._data[self.position : stop].data
        self.position = stop
        return block


def _body(text: CsvText) -> npt.NDArray[np.uint8]:
    """Return the data rows as pyarrow must see them: UTF-8, only what belongs to rows."""
    body = text.encoding.utf8(text.content[text.body * text.encoding.width :])
    return tidied(body, text.format.grammar)
